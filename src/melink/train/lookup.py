"""Candidates of many mentions, looked up once: seeds, ablations and a resumed training ask for the same ones.

FEATURES/candidates/HASH.rows    rows of each mention's candidates, best first, -1 at the end; their sha256
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from melink import progress
from melink.candidates.base import Generator
from melink.candidates.fusion import fused
from melink.datasets.files import replacing
from melink.kb.view import EntityView
from melink.records import Mention

BLOCK: Final = 256
"""Mentions looked up at once."""
KEPT: Final = frozenset({"names", "fuzzy", "fuzzy-dwe", "persons", "lexical"})
"""Generators that depend on the knowledge base and the mention alone."""
ROWS: Final = np.dtype("<i4")
DIGEST: Final = 32
"""Bytes of a sha256."""
VERSION: Final = 1
"""To be raised when one of them finds something else."""


def looked_up(
    generators: Sequence[Generator], mentions: Sequence[Mention], view: EntityView, k: int, folder: Path, what: str
) -> list[list[int]]:
    """Return the rows of each mention's candidates, best first; from disk where they were looked up before.

    Args:
        generators: Where they come from; none give none.
        mentions: Any number.
        view: The knowledge base.
        k: Candidates of each mention.
        folder: Where they are kept, when every generator allows it.
        what: For the progress bar.
    """
    if not generators:
        return [[] for _ in mentions]
    names = [generator.name for generator in generators]
    file = folder / f"{_key(names, mentions, view, k)}.rows" if set(names) <= KEPT else None
    if file is not None and file.is_file():
        found = _read(file, (len(mentions), k))
        if found is not None:
            return found
    rows = _look_up(generators, mentions, view, k, what)
    if file is not None:
        with suppress(OSError):  # a folder that cannot be written, a full disk: they are looked up again next time
            _write(file, rows, k)
    return rows


def _look_up(
    generators: Sequence[Generator], mentions: Sequence[Mention], view: EntityView, k: int, what: str
) -> list[list[int]]:
    found: list[list[int]] = []
    with progress.task(what, len(mentions), "mentions") as advance:
        for start in range(0, len(mentions), BLOCK):
            block = mentions[start : start + BLOCK]
            found += [view.rows(ids).tolist() for ids in fused(generators, block, k).ids]
            advance(len(block))
    return found


def _key(names: Sequence[str], mentions: Sequence[Mention], view: EntityView, k: int) -> str:
    digest = hashlib.sha256(json.dumps([VERSION, names, k, view.key]).encode())
    for mention in mentions:
        digest.update(json.dumps([mention.surface, mention.text, mention.start, mention.end]).encode())
    return digest.hexdigest()[:32]


def _read(file: Path, shape: tuple[int, int]) -> list[list[int]] | None:
    """Return the lists of a file; None where it is damaged: then they are looked up anew."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    table, digest = content[:-DIGEST], content[-DIGEST:]
    if hashlib.sha256(table).digest() != digest:
        return None
    return [own[own >= 0].tolist() for own in np.frombuffer(table, ROWS).reshape(shape)]


def _write(file: Path, rows: Sequence[Sequence[int]], k: int) -> None:
    table = np.full((len(rows), k), -1, dtype=ROWS)
    for own, places in zip(table, rows, strict=True):
        own[: len(places)] = places
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as out:
        out.write(table.tobytes() + hashlib.sha256(table.tobytes()).digest())
