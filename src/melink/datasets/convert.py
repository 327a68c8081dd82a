"""A published layout written out as mentions JSONL and the files that ``melink kb build`` reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from melink import progress
from melink.datasets.base import Dataset, Knowledge
from melink.datasets.files import replacing
from melink.datasets.mentions import write_mentions
from melink.errors import Problems
from melink.records import Entity


def convert(dataset: Dataset, out: str | Path, problems: Problems, images: str | Path | None = None) -> dict[str, int]:
    """Write a dataset in our own formats.

    ``<split>.jsonl`` has the mentions, ``<split>.candidates.jsonl`` the published lists. Where the release has a
    knowledge base: ``entities.jsonl`` (with the paths of their pictures), ``triples.tsv`` (head, relation, tail) and
    ``relations.tsv`` (id, label, description) are what ``melink kb build`` takes.

    Args:
        dataset: As :func:`melink.datasets.detect.open_dataset` returns it.
        out: Directory, made when absent; each file appears when it is complete.
        problems: Collects what was passed over or repaired.
        images: Folder or index CSV of the mention pictures, when not where the layout has them.

    Returns:
        File name → number of rows.
    """
    out = Path(out)
    written: dict[str, int] = {}
    for split in dataset.splits:
        mentions = progress.track(dataset.mentions(split, images, problems), f"{split} mentions")
        written[f"{split}.jsonl"] = write_mentions(mentions, out / f"{split}.jsonl")
        if lists := dataset.candidates_for(split, problems):
            name = f"{split}.candidates.jsonl"
            rows = ({"id": id, "candidates": ids} for id, ids in lists.items())
            written[name] = _write(out / name, map(orjson.dumps, rows))
    if dataset.knowledge is not None:
        written |= _write_knowledge(dataset.knowledge, out, problems)
    return written


def _write_knowledge(knowledge: Knowledge, out: Path, problems: Problems) -> dict[str, int]:
    entities = progress.track(knowledge.entities(problems), "entities")
    rows = (orjson.dumps(_entity_row(entity)) for entity in entities)
    written = {"entities.jsonl": _write(out / "entities.jsonl", rows)}
    if knowledge.triples is not None:
        triples = progress.track(knowledge.triples(problems), "triples")
        written["triples.tsv"] = _write(out / "triples.tsv", map(_tsv, triples))
    if knowledge.relations is not None:
        relations = [("pid", "label", "description"), *knowledge.relations(problems)]
        written["relations.tsv"] = _write(out / "relations.tsv", map(_tsv, relations)) - 1
    return written


def _entity_row(entity: Entity) -> dict[str, Any]:
    texts = {"description": entity.description, "attributes": entity.attributes, "aliases": list(entity.aliases)}
    texts["images"] = [str(Path(image).absolute()) for image in entity.images]
    return {"qid": entity.id, "label": entity.label} | {name: value for name, value in texts.items() if value}


def _tsv(fields: Iterable[str]) -> bytes:
    return "\t".join(" ".join(field.split()) for field in fields).encode()


def _write(path: Path, rows: Iterable[bytes]) -> int:
    count = 0
    with replacing(path) as file:
        for row in rows:
            file.write(row + b"\n")
            count += 1
    return count
