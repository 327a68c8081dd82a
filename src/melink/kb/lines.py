"""Lines of plain, gzip and bzip2 files, with line numbers and with positions to go on from."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from melink.errors import InputError

LONGEST: Final = 64 * 2**20
"""Bytes of the longest line that is read; the largest items of Wikidata have about 5 MB."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        number: 1-based.
        end: Position after it in the uncompressed file.
        raw: Its bytes without the line end; empty when it was too long.
        too_long: Whether it was longer than :data:`LONGEST`.
    """

    number: int
    end: int
    raw: bytes
    too_long: bool = False


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, uncompressing ``.gz`` and ``.bz2``.

    Raises:
        InputError: It cannot be opened.
    """
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    try:
        return cast(IO[bytes], opener(path, "rb"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", "check the path") from error


def lines(path: Path, number: int = 0, position: int = 0) -> Iterator[Line]:
    """Yield the lines after line ``number``, which ended at ``position``.

    Raises:
        InputError: The file cannot be read, or its compressed data is cut off or damaged.
    """
    with open_bytes(path) as file:
        try:
            file.seek(position)
            while raw := file.readline(LONGEST):
                number += 1
                position += len(raw)
                too_long = not raw.endswith(b"\n") and len(raw) == LONGEST
                while too_long and (rest := file.readline(LONGEST)):
                    position += len(rest)
                    if rest.endswith(b"\n"):
                        break
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                yield Line(number, position, b"" if too_long else raw.rstrip(b"\r\n"), too_long)
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(
                f"{path}: after line {number} the file is cut off or damaged ({error})",
                "fetch or make the file again; the knowledge base stays as it was before this build",
            ) from error


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line; bytes that are not UTF-8 become U+FFFD."""
    for line in lines(path):
        yield line.number, line.raw.decode("utf-8", "replace")


def fingerprint(path: Path) -> dict[str, Any]:
    """Return what tells whether an input is still the same: path, size, time, hash of both ends; for a folder its list.

    Raises:
        InputError: It cannot be read.
    """
    end = 2**20
    try:
        about = path.stat()
        digest = hashlib.sha256()
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                digest.update(f"{file}\0{file.stat().st_size}\0{file.stat().st_mtime_ns}\0".encode())
        else:
            with path.open("rb") as opened:
                digest.update(opened.read(end))
                opened.seek(max(0, about.st_size - end))
                digest.update(opened.read(end))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", "check the path") from error
    return {"path": str(path.absolute()), "size": about.st_size, "time": about.st_mtime_ns, "hash": digest.hexdigest()}
