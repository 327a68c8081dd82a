"""How often triples that were generated for mentions are triples of the right entity.

Gold is read here, to measure, and nowhere else. A triple counts when relation and tail are among those of the gold
entity (relations that mean the same count as one). Knowledge bases are incomplete, so the share among triples whose
relation the gold entity has at all is shown as well. Without ``--enriched`` patterns make the triples, and are timed.

    python benchmarks/mention_triples.py KB valid.jsonl
    python benchmarks/mention_triples.py KB valid.jsonl --enriched valid.facts.jsonl
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from melink.datasets.mentions import read_mentions
from melink.enrich.patterns import FromPatterns
from melink.enrich.rows import by_sentence, read
from melink.enrich.tails import TailIndex
from melink.enrich.vocabulary import INSTANCE
from melink.errors import Problems
from melink.kb.folding import fold
from melink.kb.store import KnowledgeBase
from melink.records import Triple

SAME = (
    ("occupation", "position held"), ("sex", "sex or gender"), ("birth place", "place of birth"),
    ("death place", "place of death"), ("alma mater", "educated at"), ("religion", "religion or worldview"),
    ("language", "languages spoken written or signed"), ("spouse", "unmarried partner"),
)  # fmt: skip
CANON = {name: names[0] for names in SAME for name in names}


def key(triple: Triple) -> tuple[str, str]:
    """Return relation and tail in one spelling."""
    relation = fold(triple.relation_label or triple.relation)
    return CANON.get(relation, relation), fold(triple.tail_label or triple.tail)


def measure(kb: KnowledgeBase, made: dict[str, Iterable[Triple]], gold: dict[str, str | None]) -> dict[str, Any]:
    """Count generated triples that gold entities have, in all and by relation."""
    view = kb.view()
    right, known, every, there, found = Counter[str](), Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    mentions = some = 0
    for id, triples in made.items():
        row = view.row(gold.get(id) or "")
        if row is None:
            continue
        own = {key(triple) for triple in view.triples(row)}
        said = {key(triple) for triple in triples if triple.relation != INSTANCE}
        mentions, some = mentions + 1, some + bool(said)
        for names, counts in ((said, every), (said & own, right), (own, there), (own & said, found)):
            counts.update(name for relation, _ in names for name in (relation, "all"))
        relations = {relation for relation, _ in own}
        known.update(name for relation, _ in said if relation in relations for name in (relation, "all"))
    rows = {
        name: {
            "triples": count,
            "precision": round(right[name] / count, 3),
            "precision_where_known": round(right[name] / known[name], 3) if known[name] else None,
            "recall": round(found[name] / there[name], 4) if there[name] else None,
        }
        for name, count in every.most_common(12)
    }
    return {"linkable": mentions, "with_triples": some, "relations": rows}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kb", type=Path)
    parser.add_argument("mentions", type=Path)
    parser.add_argument("--enriched", type=Path)
    args = parser.parse_args()
    kb = KnowledgeBase.open(args.kb)
    gold = {sample.mention.id: sample.gold for sample in read_mentions(args.mentions)}
    made: dict[str, Iterable[Triple]]
    result: dict[str, Any] = {}
    if args.enriched:
        made = {sample.mention.id: sample.mention.triples for sample in read_mentions(args.enriched)}
    else:
        groups = by_sentence(read(args.mentions, None, Problems()))
        began = time.process_time()
        generator = FromPatterns(TailIndex.of(kb))
        indexed = time.process_time()
        parts = generator.make(groups)
        done = time.process_time()
        result = {"sentences": len(groups), "index_cpu_s": round(indexed - began, 2)}
        result["sentences_per_cpu_s"] = round(len(groups) / (done - indexed))
        made = {id: facts.triples for part in parts for id, facts in part.facts.items()}
    print(json.dumps(result | measure(kb, made, gold), indent=1))


if __name__ == "__main__":
    main()
