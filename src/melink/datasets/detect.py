"""Which layout a directory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from melink import registry
from melink.datasets import drin, dwe, kgmel, melbench, mimic, passages, shared
from melink.datasets.base import Benchmark, Dataset, Layout
from melink.errors import InputError, NotFound

LAYOUTS: Final[tuple[Layout, ...]] = tuple(
    module.LAYOUT for module in (shared, kgmel, mimic, drin, dwe, melbench, passages)
)
"""Tried in this order; a layout with the more telling files comes before one that shares a file name with it."""


def open_dataset(name: str, folder: str | Path, layout: str | None = None) -> Dataset:
    """Recognise the layout of a benchmark in a directory.

    Args:
        name: Benchmark: ``wikimel``, ``richpediamel`` or ``wikidiverse``.
        folder: The directory.
        layout: Look for this layout only.

    Raises:
        NotFound: No such benchmark, layout or directory.
        InputError: No known layout; lists the files that were looked for.
    """
    benchmark: Benchmark = registry.load("dataset", name)
    known = {each.name: each for each in LAYOUTS if each.name in benchmark.stems}
    if layout is not None and layout not in known:
        raise NotFound.among(f"layout of {name}", layout, known)
    folder = Path(folder)
    if not folder.is_dir():
        raise NotFound(f"no directory {folder}", f"give the directory that holds {benchmark.title}")
    tried = [known[layout]] if layout else list(known.values())
    for each in tried:
        if (dataset := each.open(folder, benchmark)) is not None:
            return dataset
    looked_for = "; ".join(f"{each.name}: {each.expects(benchmark)}" for each in tried)
    raise InputError(f"{folder}: no layout of {benchmark.title} found here", f"put there one of these: {looked_for}")
