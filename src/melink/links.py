"""Links as JSON rows, and a file of them that a killed run can go on with."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from melink.kb.disk import read_json, storing, sync_folder, write_json
from melink.records import NIL, Labelled, Link, Scored

_QID = re.compile(r"Q[1-9]\d*")


def link_row(labelled: Labelled, link: Link, about: Mapping[str, Any], top: int | None = None) -> dict[str, Any]:
    """Return the JSON row of one answer.

    Fields of the input row that melink does not know pass through; those that it writes itself win.

    Args:
        labelled: The input.
        link: The answer.
        about: What every row states: ``model``, ``kb_version``.
        top: How many candidates to write; all by default. Two are needed to say what decided.
    """
    mention = link.mention
    span = {"text": mention.surface, "start": mention.start, "end": mention.end}
    row: dict[str, Any] = {**labelled.extra, "id": mention.id, "text": mention.text, "mention": span}
    if mention.image is not None:
        row["image"] = mention.image
    if labelled.gold is not None:
        row["gold"] = labelled.gold
    first = link.candidates[0] if link.candidates and not link.nil else None
    row["prediction"] = {
        "id": link.id,
        "label": first.label if first else None,
        "url": url(link.id),
        "score": first.score if first else None,
        "probability": link.probability,
        "nil": link.nil,
    }
    row["candidates"] = [_candidate(candidate) for candidate in link.candidates[:top]]
    row["explanation"] = {"decided_by": _decided(link), **link.evidence}
    return {**row, **about}


def url(id: str) -> str | None:
    """Return the page of a Wikidata item, None for any other id."""
    return f"https://www.wikidata.org/wiki/{id}" if _QID.fullmatch(id) else None


def _candidate(scored: Scored) -> dict[str, Any]:
    return {
        "id": scored.id,
        "label": scored.label,
        "score": scored.score,
        "probability": scored.probability,
        "features": dict(scored.parts),
        "evidence": dict(scored.evidence),
        "sources": dict(scored.sources),
    }


def decisive_part(first: Scored, second: Scored) -> tuple[str, float]:
    """Return the part that gives most to ``first`` over ``second``, and how much.

    ``Scored.parts`` are weighted contributions: they add up to the total score, so their differences add up to the
    margin and compare directly. A part that one of the two lacks contributes 0. Without parts, the answer is
    ``score`` and the margin.
    """
    names = dict.fromkeys((*first.parts, *second.parts))
    gaps = {name: first.parts.get(name, 0.0) - second.parts.get(name, 0.0) for name in names}
    if not gaps:
        return "score", first.score - second.score
    best = max(gaps, key=lambda name: gaps[name])
    return best, gaps[best]


def _decided(link: Link) -> str | None:
    """Name the part that separates the first candidate from the second, or None for a tie or no rival.

    ``nil`` when the answer is that, ``rerank`` when a reranker put the first candidate first.
    """
    if link.nil:
        return NIL.lower()
    if len(link.candidates) < 2:
        return None
    if "reranked_by" in link.candidates[0].evidence:
        return "rerank"
    part, gap = decisive_part(*link.candidates[:2])
    return part if gap > 0 else None


@contextmanager
def resumable(path: Path, settings: Mapping[str, Any], block: int = 1) -> Iterator[tuple[BinaryIO, int]]:
    """Open a JSONL file that appears when it is complete, and that a killed run goes on with.

    Rows collect in ``PATH.partial``; ``PATH.partial.json`` says what they depend on. A later call with the same
    settings finds the complete rows, drops a torn last one, and goes on behind them; other settings start anew.

    Args:
        path: The file to make.
        settings: What the rows depend on: input, model, knowledge base.
        block: Rows that were computed together: an incomplete block is dropped, so that the blocks of a resumed run
            are those of an undisturbed one.

    Yields:
        The open file, and how many rows it holds already.

    Raises:
        StoreError: The disk is full or the folder cannot be written.
    """
    partial, sidecar = path.with_name(path.name + ".partial"), path.with_name(path.name + ".partial.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    if read_json(sidecar) != settings or not partial.exists():
        partial.unlink(missing_ok=True)
        write_json(sidecar, dict(settings))
        partial.touch()
    rows, good = _complete(partial, block)
    with storing(partial), partial.open("r+b") as file:
        file.truncate(good)
        file.seek(good)
        yield file, rows
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sidecar.unlink()
    sync_folder(path.parent)


def _complete(partial: Path, block: int) -> tuple[int, int]:
    """Return the number of rows in complete blocks and the offset behind them."""
    rows = offset = 0
    good = (0, 0)
    with partial.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            rows, offset = rows + 1, offset + len(line)
            if rows % block == 0:
                good = rows, offset
    return good
