"""Mentions as JSONL: what every verb that takes mentions reads, and what ``datasets convert`` writes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import orjson

from melink.datasets.files import json_rows, replacing
from melink.datasets.images import ImageResolver
from melink.datasets.rows import read_rows, write_row
from melink.errors import Problems
from melink.records import Labelled

PASSED_OVER: Final = ("not JSON", "not an object", "line too long", "no text", "no mention", "duplicate id")
"""Kinds of problem for which a row is left out; every other kind keeps the row without the part that is wrong."""


def read_mentions(
    path: str | Path, images: str | Path | ImageResolver | None = None, problems: Problems | None = None
) -> Iterator[Labelled]:
    """Stream the mentions of a JSONL file.

    A row without an id is called ``line-N`` after its line. A span that does not match the mention is moved to the
    closest occurrence; a mention without a span is searched for; one that is no substring keeps ``start=None``. A
    picture that is not found leaves ``image=None`` (a masked modality) and is counted; no URL is ever fetched.

    Args:
        path: A JSONL file, plain or gzip, or ``-`` for standard input.
        images: Directory or index CSV that holds the pictures; without it they are looked for beside the file.
        problems: Collects what was passed over or repaired, with file, line and reason.

    Yields:
        One record per usable row, in file order, each id once.

    Raises:
        NotFound: The file or ``images`` does not exist.
        InputError: The file cannot be read.
        BadRow: At the first problem, when ``problems`` is strict.
    """
    problems = Problems() if problems is None else problems
    if not isinstance(images, ImageResolver):
        images = ImageResolver(images, beside="" if str(path) == "-" else Path(path).parent)
    yield from read_rows(json_rows(path, problems), images, problems)


def write_mentions(labelled: Iterable[Labelled], path: str | Path) -> int:
    """Write mentions as JSONL, in the shape that :func:`read_mentions` reads, and return how many.

    The file appears when it is complete. Pictures are written relative to it where they lie below its folder.

    Args:
        labelled: The mentions; an unknown gold is left out.
        path: Where to write; ``.gz`` is packed, ``-`` is standard output.
    """
    count = 0
    to_stdout = str(path) == "-"
    folder = None if to_stdout else Path(path).resolve().parent
    with nullcontext(sys.stdout.buffer) if to_stdout else replacing(Path(path)) as out:
        for item in labelled:
            out.write(orjson.dumps(write_row(item, folder), option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count
