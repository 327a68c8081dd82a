"""Dataset files: JSON, JSONL and TSV, plain or gzip or standard input, with errors that name the line."""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

import orjson

from melink.errors import InputError, NotFound, Problems
from melink.kb.disk import sync_folder

MAX_LINE: Final = 16 << 20
"""Bytes that one line may have; a longer one is reported and passed over without being held in memory."""

_GZIP: Final = b"\x1f\x8b"


class Place(NamedTuple):
    """Where a row came from: the file, and its line or None (items of one JSON document are named in ``file``)."""

    file: str
    line: int | None


@contextmanager
def open_bytes(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacking gzip by content; ``-`` is standard input.

    Raises:
        NotFound: No such file.
        InputError: The file cannot be opened or its gzip stream is broken.
    """
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else Path(path).open("rb") as raw:
            packed = hasattr(raw, "peek") and raw.peek(2)[:2] == _GZIP
            yield cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw
    except FileNotFoundError as error:
        raise NotFound(f"no file {path}", "check the path") from error
    except (EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: the gzip stream ends early or is damaged: {error}", "fetch the file again"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}", "check that it is a readable file") from error


def lines(path: str | Path, problems: Problems) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank with their 1-based numbers; report those over :data:`MAX_LINE`."""
    with open_bytes(path) as stream:
        number = 0
        while line := stream.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                problems.add(path, number, f"longer than {MAX_LINE >> 20} MiB", kind="line too long")
                while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                    continue
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield number, line.rstrip(b"\r\n")


def json_rows(path: str | Path, problems: Problems) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the objects of a JSONL file with their place; report lines that are not JSON objects."""
    for number, line in lines(path, problems):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            problems.add(path, number, f"not JSON: {error}", kind="not JSON")
            continue
        if isinstance(row, dict):
            yield Place(str(path), number), row
        else:
            problems.add(path, number, f"expected an object, found {type(row).__name__}", kind="not an object")


def tsv_rows(path: str | Path, columns: int, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a tab-separated file; report those with fewer than ``columns`` fields or not UTF-8.

    Fields that pandas put into double quotes (KGMEL's files) are unquoted.
    """
    for number, line in lines(path, problems):
        try:
            fields = [_unquoted(field) for field in line.decode().split("\t")]
        except UnicodeDecodeError as error:
            problems.add(path, number, f"not UTF-8: {error}", kind="not UTF-8")
            continue
        if len(fields) < columns:
            problems.add(
                path, number, f"expected {columns} tab-separated fields, found {len(fields)}", kind="too few fields"
            )
        else:
            yield number, fields


def _unquoted(field: str) -> str:
    inside = field[1:-1]
    quoted = len(field) > 1 and field[0] == field[-1] == '"' and '"' not in inside.replace('""', "")
    return inside.replace('""', '"') if quoted else field


def load_json(path: Path, kind: type[list[Any]] | type[dict[str, Any]] | None = None) -> Any:
    """Read a whole JSON file.

    Args:
        path: The file.
        kind: Type that the top level must have, or None for any.

    Raises:
        NotFound: No such file.
        InputError: Not JSON, or another type at the top.
    """
    with open_bytes(path) as stream:
        content = stream.read()
    try:
        value = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON: {error}", "fetch the file again; it may be cut short") from error
    if kind is not None and not isinstance(value, kind):
        found = type(value).__name__
        raise InputError(
            f"{path}: expected a {kind.__name__} at the top, found {found}", "check that this is the right file"
        )
    return value


def json_items(path: Path) -> Iterator[tuple[Place, str, Any]]:
    """Yield the items of a JSON array or object with their place and key (position or name).

    Raises:
        NotFound: No such file.
        InputError: Not JSON, or neither an array nor an object at the top.
    """
    value = load_json(path)
    if not isinstance(value, list | dict):
        raise InputError(f"{path}: expected an array or object at the top", "check that this is the right file")
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield Place(f"{path}[{key}]", None), str(key), item


def json_records(path: Path, problems: Problems) -> Iterator[tuple[Place, str, dict[str, Any]]]:
    """Yield what :func:`json_items` does where the item is an object; report the others."""
    for place, key, item in json_items(path):
        if isinstance(item, dict):
            yield place, key, item
        else:
            problems.add(*place, f"expected an object, found {type(item).__name__}", kind="not an object")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under a temporary name and rename it when complete; ``.gz`` names are packed.

    A reader sees the old file or the new one, never a part; an error leaves the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed:
                    yield cast(IO[bytes], packed)
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        part.chmod(0o644)
        part.replace(path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)
