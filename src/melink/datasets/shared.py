"""Layout ``jsonl``: ``train.jsonl``, ``valid.jsonl``, ``test.jsonl``, as ``datasets convert`` writes them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from melink.datasets.base import SPLITS, Benchmark, Dataset, Layout, Split
from melink.datasets.files import json_rows
from melink.datasets.layout_parts import first


def _expects(benchmark: Benchmark) -> str:
    return "train.jsonl, valid.jsonl, test.jsonl (any of them, .gz too)"


def _open(folder: Path, benchmark: Benchmark) -> Dataset | None:
    found = {split: first(folder, f"{split}.jsonl", f"{split}.jsonl.gz") for split in SPLITS}
    splits = {name: Split(name, path, partial(json_rows, path)) for name, path in found.items() if path is not None}
    if not splits:
        return None
    return Dataset(benchmark, LAYOUT.name, folder, splits, first(folder, "images", "images.csv", "../images"))


LAYOUT = Layout("jsonl", _expects, _open)
