"""Layout ``passages``: WikiDiverse as its authors release it.

``{train,valid,test}.json`` are lists of ``[caption, image URL, topic, [[mention, type, start, end, gold URL], …]]``.
Gold is a Wikipedia page; its title becomes the entity id. ``nil`` means not in Wikipedia.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from melink.datasets.base import Benchmark, Dataset, Layout, Rows, Split
from melink.datasets.files import json_items
from melink.datasets.layout_parts import first, splits, text, title_of
from melink.errors import Problems


def _expects(benchmark: Benchmark) -> str:
    return "train.json, valid.json, test.json (lists of four values)"


def _open(folder: Path, benchmark: Benchmark) -> Dataset | None:
    files = splits(folder, "{}.json", b"[")
    if not files:
        return None
    found = {name: Split(name, path, partial(_rows, path, f"{benchmark.name}-{name}")) for name, path in files.items()}
    return Dataset(benchmark, LAYOUT.name, folder, found, first(folder, "images", "image"))


def _rows(path: Path, prefix: str, problems: Problems) -> Rows:
    for place, key, row in json_items(path):
        if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list):
            problems.add(*place, "expected [caption, image URL, topic, mentions]", kind="bad row")
            continue
        sentence, url, topic, mentions = row
        known: dict[str, Any] = {"sentence": sentence, "image_url": url, "topic": topic}
        known["image_file"] = text(url).rsplit("/", 1)[-1] or None
        for number, mention in enumerate(mentions):
            if not isinstance(mention, list) or len(mention) != 5:
                problems.add(*place, f"mention {number}: expected [text, type, start, end, URL]", kind="bad row")
                continue
            surface, type_, start, end, gold = mention
            shaped = known | {"id": f"{prefix}-{key}-{number}", "mention": surface, "mention_type": type_}
            yield place, shaped | {"start": start, "end": end, "qid": title_of(gold)}


LAYOUT = Layout("passages", _expects, _open)
