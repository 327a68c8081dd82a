"""Layout ``melbench``: the first release of WikiMEL and RichpediaMEL, without splits.

``Wikidata-MEL.json`` and ``Richpedia-MEL.json`` map a sentence id to ``{sentence, mentions, entities, answer}``:
parallel lists in the first, single values in the second, where the sentence id may be the gold QID (mentions are then
named by their row number).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from melink.datasets.base import Benchmark, Dataset, Layout, Rows, Split
from melink.datasets.files import json_records
from melink.datasets.layout_parts import first, mention_id, parallel, text
from melink.datasets.spans import find_spans
from melink.errors import Problems


def _expects(benchmark: Benchmark) -> str:
    return f"{benchmark.stems[LAYOUT.name]}.json"


def _open(folder: Path, benchmark: Benchmark) -> Dataset | None:
    stem = benchmark.stems[LAYOUT.name]
    path = first(folder, f"{stem}.json", f"{stem}/{stem}.json")
    if path is None:
        return None
    splits = {"all": Split("all", path, partial(_rows, path, benchmark.name))}
    return Dataset(benchmark, LAYOUT.name, folder, splits, first(path.parent, "images", "image"))


def _rows(path: Path, name: str, problems: Problems) -> Rows:
    for place_of_row, (place, key, row) in enumerate(json_records(path, problems)):
        sentence = text(row.get("sentence"))
        known: dict[str, Any] = {"sentence": sentence, "sentence_id": key, "image_file": f"{key}.jpg"}
        triples = list(parallel(row, ("mentions", "entities", "answer"), place, problems))
        found = find_spans(sentence, [text(mention) for mention, _, _ in triples])
        for number, ((mention, entity, answer), span) in enumerate(zip(triples, found, strict=True)):
            shaped = known | {"id": mention_id(name, key, place_of_row, number), "mention": mention, "qid": answer}
            yield place, shaped | {"entity_title": entity, "start": span[0], "end": span[1]}


LAYOUT = Layout("melbench", _expects, _open)
