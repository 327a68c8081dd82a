"""Layout ``kgmel``: ``<DS>.json`` with one row per sentence, mappings beside it, and a knowledge graph in TSV files.

Rows are ``{id, sentence, imgPath, mention, entity, answer, img-url}`` with parallel lists for the mentions. The file
that triple generation writes (``output/<DS>_<vlm>_total.json``) adds ``type``, ``desc`` and ``triple`` by mention, and
is read instead when it is there. ``mapping/ids_split_mappings.json`` assigns sentences to splits; some are in two.
Pictures of sentences in ``ids_blank_image.json`` are placeholders and count as absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from melink.datasets.base import Benchmark, Dataset, Knowledge, Layout, Rows, Split
from melink.datasets.files import json_records, load_json, tsv_rows
from melink.datasets.images import ImageResolver
from melink.datasets.layout_parts import first, mention_id, parallel, text
from melink.datasets.spans import find_spans
from melink.errors import InputError, Problems
from melink.records import Entity

_NAMED: Final = {"train": "train", "valid": "val", "test": "test"}


def _expects(benchmark: Benchmark) -> str:
    stem = benchmark.stems[LAYOUT.name]
    return f"{stem}.json with mapping/ids_split_mappings.json (here, in dataset/ or in data/dataset/)"


def _open(folder: Path, benchmark: Benchmark) -> Dataset | None:
    stem = benchmark.stems[LAYOUT.name]
    plain = first(folder, f"{stem}.json", f"dataset/{stem}.json", f"data/dataset/{stem}.json")
    if plain is None or not (plain.parent / "mapping" / "ids_split_mappings.json").is_file():
        return None
    generated = min([*folder.glob(f"output/{stem}_*_total.json"), *folder.glob(f"{stem}_*_total.json")], default=plain)
    release = _Release(benchmark.name, stem, plain.parent, generated)
    splits = {name: Split(name, generated, partial(release.rows, name)) for name in _NAMED}
    knowledge = None
    if release.labels is not None:
        knowledge = Knowledge(release.entities, release.triples, release.relations)
    pictures = first(plain.parent, f"image/{stem}", "image")
    return Dataset(benchmark, LAYOUT.name, folder, splits, pictures, knowledge)


@dataclass(frozen=True)
class _Release:
    """The files of one benchmark in a checkout of the release."""

    name: str
    stem: str
    folder: Path
    path: Path

    @property
    def labels(self) -> Path | None:
        return first(self.folder.parent, "KB/QID2Label.tsv") or first(self.folder, "QID2Label.tsv", "KB/QID2Label.tsv")

    def mapping(self, name: str) -> dict[str, Any]:
        path = self.folder / "mapping" / f"{name}.json"
        return load_json(path, dict) if path.is_file() else {}

    def rows(self, split: str, problems: Problems) -> Rows:
        parts = self.mapping("ids_split_mappings").get(self.stem)
        if not isinstance(parts, dict) or not isinstance(parts.get(_NAMED[split]), list):
            reason = f"{self.folder / 'mapping/ids_split_mappings.json'}: nothing for {self.stem} {_NAMED[split]}"
            raise InputError(reason, "fetch the mapping that belongs to this release")
        wanted = set(map(str, parts[_NAMED[split]]))
        blanks = self.mapping("ids_blank_image").get(self.stem)
        blank = set(map(str, blanks)) if isinstance(blanks, list) else set()
        for place, _, row in json_records(self.path, problems):
            key = str(row.get("id"))
            if key not in wanted:
                continue
            sentence = text(row.get("sentence"))
            known: dict[str, Any] = {
                "sentence": sentence,
                "sentence_id": row.get("id"),
                "image_url": row.get("img-url"),
            }
            known |= {"image_file": None if key in blank else row.get("imgPath"), "blank_image": key in blank}
            pairs = list(parallel(row, ("mention", "entity", "answer"), place, problems))
            found = find_spans(sentence, [text(mention) for mention, _, _ in pairs])
            for number, ((mention, entity, answer), span) in enumerate(zip(pairs, found, strict=True)):
                shaped = known | {
                    "id": mention_id(self.name, key, place.file, number),
                    "mention": mention,
                    "qid": answer,
                }
                shaped |= {"entity_title": entity, "start": span[0], "end": span[1]}
                yield place, shaped | _generated(row, text(mention))

    def entities(self, problems: Problems) -> Iterator[Entity]:
        candidates = self.mapping("qids_candidate").get(self.stem)
        wanted = set(map(str, candidates)) if isinstance(candidates, list) else None
        images = ImageResolver(first(self.folder.parent, "KB/image"), beside=self.folder)
        for qid, label, description in _labels(self.labels, problems):
            if wanted is None or qid in wanted:
                picture = images.find(f"{qid}_0.jpg").path
                yield Entity(qid, label, description=description, images=() if picture is None else (picture,))

    def triples(self, problems: Problems) -> Iterator[tuple[str, str, str]]:
        path = self.labels and first(self.labels.parent, f"Triples-{self.stem}.tsv")
        if path:
            for _, (head, relation, tail, *_) in tsv_rows(path, 3, problems):
                yield head, relation, tail

    def relations(self, problems: Problems) -> Iterator[tuple[str, str, str]]:
        yield from _labels(self.labels and first(self.labels.parent, "PID2Label.tsv"), problems)


def _labels(path: Path | None, problems: Problems) -> Iterator[tuple[str, str, str]]:
    """Read a TSV without header: id, label, description (which may be absent)."""
    if path is not None:
        for line, (id, label, *rest) in tsv_rows(path, 2, problems):
            if label:
                yield id, label, rest[0] if rest else ""
            else:
                problems.add(path, line, "no label", id, "bad entity")


def _generated(row: dict[str, Any], mention: str) -> dict[str, Any]:
    """Return what triple generation wrote about a mention; absent before that step."""
    values = {name: row[name].get(mention) for name in ("type", "desc", "triple") if isinstance(row.get(name), dict)}
    facts = {"type": text(values.get("type")), "description": text(values.get("desc"))}
    made: dict[str, Any] = {"triples": values["triple"]} if values.get("triple") else {}
    return made | ({"attributes": known} if (known := {key: fact for key, fact in facts.items() if fact}) else {})


LAYOUT = Layout("kgmel", _expects, _open)
