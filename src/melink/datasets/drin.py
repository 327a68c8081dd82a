"""Layout ``drin``: the lists that protocol B ranks, 100 candidates a mention for WikiMEL and 10 for WikiDiverse.

WikiMEL: ``WIKIMEL_{train,valid,test}.json`` map a mention id to ``{sentence, mentions, answer}``; the picture is named
by the part of the id before ``-``. ``candidates-answer.tsv`` has an id and its QIDs; ``qid2ne.json`` names and
``qid2abs.json`` attributes. (WikiDiverse in this layout: :mod:`melink.datasets.drin_wikidiverse`.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from melink.datasets import drin_wikidiverse
from melink.datasets.base import Benchmark, Dataset, Knowledge, Layout, Rows, Split
from melink.datasets.drin_answers import check_answers
from melink.datasets.files import json_items, json_records, load_json, tsv_rows
from melink.datasets.layout_parts import first, mention_id, splits, text
from melink.errors import Problems
from melink.records import Entity

_FOLDERS: Final = ("", "mentions/", "candidates/", "entities/")
_QID: Final = re.compile(r"Q\d+")


def _expects(benchmark: Benchmark) -> str:
    if benchmark.name == "wikidiverse":
        return drin_wikidiverse.EXPECTS
    return "WIKIMEL_train.json, WIKIMEL_valid.json, WIKIMEL_test.json (objects), candidates-answer.tsv, qid2ne.json"


def _open(folder: Path, benchmark: Benchmark) -> Dataset | None:
    if benchmark.name == "wikidiverse":
        return drin_wikidiverse.open_folder(folder, benchmark, LAYOUT.name)
    stem = benchmark.stems[LAYOUT.name]
    files = splits(folder, f"mentions/{stem}_{{}}.json", b"{") or splits(folder, f"{stem}_{{}}.json", b"{")
    if not files:
        return None
    release = _Release(benchmark.name, folder, files)
    found = {name: Split(name, path, partial(release.rows, name)) for name, path in files.items()}
    knowledge = Knowledge(release.entities) if release.file("qid2ne.json") else None
    lists = release.lists if release.file("candidates-answer.tsv") else None
    return Dataset(benchmark, LAYOUT.name, folder, found, first(folder, "images", "image"), knowledge, lists)


@dataclass(frozen=True)
class _Release:
    """The files of WikiMEL, which may lie in folders of their own."""

    name: str
    folder: Path
    files: dict[str, Path]

    def file(self, name: str) -> Path | None:
        return first(self.folder, *(folder + name for folder in _FOLDERS))

    def rows(self, split: str, problems: Problems) -> Rows:
        for number, (place, key, row) in enumerate(json_records(self.files[split], problems)):
            sentence_id = key.partition("-")[0]
            shaped = {"id": mention_id(self.name, key, number), "sentence_id": sentence_id, "qid": row.get("answer")}
            shaped |= {"sentence": row.get("sentence"), "mention": row.get("mentions")}
            yield place, shaped | {"image_file": f"{sentence_id}.jpg"}

    def entities(self, problems: Problems) -> Iterator[Entity]:
        names, attributes = self.file("qid2ne.json"), self.file("qid2abs.json")
        known = load_json(attributes, dict) if attributes else {}
        for place, qid, value in json_items(names) if names else ():
            found = [name for name in map(text, value if isinstance(value, list) else [value]) if name]
            if found:
                yield Entity(qid, found[0], tuple(found[1:]), attributes=text(known.get(qid)))
            else:
                problems.add(*place, "no name", qid, "bad entity")

    def lists(self, split: str, problems: Problems) -> dict[str, list[str]]:
        path = self.file("candidates-answer.tsv")
        rows = {row["id"]: row["qid"] for _, row in self.rows(split, problems)}
        found = {}
        for _, (key, *candidates) in tsv_rows(path, 2, problems) if path else ():
            if (id := f"{self.name}-{key}") in rows:
                found[id] = _QID.findall(" ".join(candidates))
        check_answers(first(self.folder, f"answer_{split}.npy"), rows, found, problems)
        return found


LAYOUT = Layout("drin", _expects, _open)
