"""Layout ``mimic``: the cleaned releases of MIMIC, which MELOV, OT-MEL, M3EL and others use.

``{stem}_{train,dev,test}.json`` are lists of ``{mentions, sentence, imgPath, answer, entities}``. An empty ``imgPath``
means no picture; pictures were converted to JPEG under the old stem. ``kb_entity.json`` has the entities under row
numbers that ``qid2id.json`` maps to QIDs; their text is ``attr``, or ``desc`` in M3EL's copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import orjson

from melink.datasets.base import Benchmark, Dataset, Knowledge, Layout, Rows, Split
from melink.datasets.files import json_records, lines
from melink.datasets.images import ImageResolver
from melink.datasets.layout_parts import first, splits, text
from melink.errors import InputError, Problems
from melink.records import Entity

_NAMED: Final = {"valid": "dev"}


def _expects(benchmark: Benchmark) -> str:
    stem = benchmark.stems[LAYOUT.name]
    return f"{stem}_train.json, {stem}_dev.json, {stem}_test.json (lists); kb_entity.json, qid2id.json"


def _open(folder: Path, benchmark: Benchmark) -> Dataset | None:
    files = splits(folder, benchmark.stems[LAYOUT.name] + "_{}.json", b"[", _NAMED)
    if not files:
        return None
    found = {name: Split(name, path, partial(_rows, path, f"{benchmark.name}-{name}")) for name, path in files.items()}
    knowledge = None
    if (folder / "kb_entity.json").is_file():
        knowledge = Knowledge(partial(_entities, folder))
    pictures = first(folder, "mention_image", "mention_images")
    return Dataset(benchmark, LAYOUT.name, folder, found, pictures, knowledge)


def _rows(path: Path, prefix: str, problems: Problems) -> Rows:
    for place, key, row in json_records(path, problems):
        shaped: dict[str, Any] = {"id": f"{prefix}-{key}", "sentence": row.get("sentence")}
        shaped |= {"mention": unquote(text(row.get("mentions"))), "qid": row.get("answer")}
        shaped |= {"entity_title": row.get("entities"), "image_file": row.get("imgPath") or None}
        yield place, shaped


def _entities(folder: Path, problems: Problems) -> Iterator[Entity]:
    numbers = _first_line(folder / "qid2id.json")
    qids = {number: qid for qid, number in numbers.items() if isinstance(number, int)}
    images = ImageResolver(first(folder, "kb_image"), beside=folder)
    for place, _, row in json_records(folder / "kb_entity.json", problems):
        number, label = row.get("id"), unquote(text(row.get("entity_name")))
        qid = qids.get(number) if isinstance(number, int) else None
        if qid is None or not label:
            reason = f"entity {number!r} has no {'name' if qid else 'QID in qid2id.json'}"
            problems.add(*place, reason, kind="bad entity")
            continue
        names = row.get("image_list")
        found = [images.find(name).path for name in (names if isinstance(names, list) else []) if isinstance(name, str)]
        pictures = tuple(path for path in found if path is not None)
        yield Entity(qid, label, description=text(row.get("desc")), attributes=text(row.get("attr")), images=pictures)


def _first_line(path: Path) -> dict[str, Any]:
    """Read the map QID → row number, which is all on the first line."""
    _, line = next(lines(path, Problems(strict=True)), (0, b""))
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: line 1 is not JSON: {error}", "fetch the file again; it may be cut short") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected an object on line 1", "check that this is MIMIC's qid2id.json")
    return value


LAYOUT = Layout("mimic", _expects, _open)
