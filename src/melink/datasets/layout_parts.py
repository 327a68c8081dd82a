"""What several layouts need: finding files, ids that do not tell the answer, rows with several mentions, title URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from melink.datasets.base import SPLITS
from melink.datasets.files import Place, open_bytes
from melink.errors import Problems

_QID: Final = re.compile(r"Q\d+")
_WIKI_URL: Final = re.compile(r"https?://[^/]+/wiki/(.+)", re.IGNORECASE)


def first(folder: Path, *names: str) -> Path | None:
    """Return the first of these paths below ``folder`` that exists."""
    return next((path for name in names if (path := folder / name).exists()), None)


def splits(folder: Path, pattern: str, opens_with: bytes, named: Mapping[str, str] | None = None) -> dict[str, Path]:
    """Find the files of the splits.

    Args:
        folder: Where to look.
        pattern: File name with ``{}`` for the split; ``*`` may stand for a subfolder.
        opens_with: First byte of the JSON, which tells layouts apart that use the same names.
        named: How the release calls the splits, when not by our names.

    Returns:
        Our split name → file, of those that are there.
    """
    found = {}
    for split in SPLITS:
        path = first(folder, pattern.format((named or {}).get(split, split)))
        if path is not None and _opens_with(path) == opens_with:
            found[split] = path
    return found


def mention_id(benchmark: str, key: str, place: str | int, *parts: str | int) -> str:
    """Build a stable id from the key of a row; where the release took the gold QID as key, from the row's place."""
    stem = place if _QID.fullmatch(key) else key
    return "-".join(map(str, (benchmark, stem, *parts)))


def parallel(
    row: dict[str, Any], names: tuple[str, ...], place: Place, problems: Problems
) -> Iterator[tuple[Any, ...]]:
    """Yield the i-th values of fields that hold parallel lists; single values count as lists of one.

    A row whose lists have different lengths is reported and yields nothing.
    """
    columns = [value if isinstance(value := row.get(name), list) else [value] for name in names]
    if len({len(column) for column in columns}) == 1:
        yield from zip(*columns, strict=True)
    else:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in zip(names, columns, strict=True))
        problems.add(*place, f"lists of different lengths: {lengths}", kind="unequal lists")


def title_of(url: object) -> object:
    """Return the page title that a WikiDiverse URL names, as an entity id; ``nil`` and other values come back as is.

    Some URLs of the release have a stray character before ``https``; titles keep their underscores, as the keys of
    the release's entity files do.
    """
    match = _WIKI_URL.search(url) if isinstance(url, str) else None
    return unquote(match[1]) if match else url


def titled(name: str) -> str:
    """Return a page title as people write it."""
    return unquote(name).replace("_", " ")


def text(value: object) -> str:
    """Return text, or the empty string for anything else (``null``, NaN)."""
    return value.strip() if isinstance(value, str) else ""


def _opens_with(path: Path) -> bytes:
    with open_bytes(path) as stream:
        return stream.read(256).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
