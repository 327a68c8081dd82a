"""What a knowledge base holds, in numbers."""

from __future__ import annotations

import pyarrow.compute as pc

from melink.kb.schema import LIGHT
from melink.kb.tables import Tables, batches


def statistics(tables: Tables) -> dict[str, int]:
    """Count entities, names, facts, pictures and filled fields, reading in bounded memory."""
    counts = dict.fromkeys(
        ("entities", "aliases", "triples", "triples_id", "triples_literal", "images", "with_text", "with_description",
         "with_attributes", "with_extract", "with_aliases", "with_types", "with_images", "with_triples"),
        0,
    )  # fmt: skip
    for batch in batches(tables.entities, (*LIGHT, "triples")):
        counts["entities"] += batch.num_rows
        filled = {
            name: pc.greater(pc.binary_length(batch[name]), 0) for name in ("description", "attributes", "extract")
        }
        for name, flags in filled.items():
            counts[f"with_{name}"] += pc.sum(flags).as_py() or 0
        some = pc.or_(pc.or_(filled["description"], filled["attributes"]), filled["extract"])
        counts["with_text"] += pc.sum(some).as_py() or 0
        for name in ("aliases", "types", "images", "triples"):
            lengths = pc.list_value_length(batch[name])
            counts[f"with_{name}"] += pc.sum(pc.greater(lengths, 0)).as_py() or 0
            if name in counts:
                counts[name] += pc.sum(lengths).as_py() or 0
        counts["triples_literal"] += pc.sum(batch["triples"].flatten().field("literal")).as_py() or 0
    counts["triples_id"] = counts["triples"] - counts["triples_literal"]
    counts["relations"] = int(tables.relations.count_rows())
    return counts
