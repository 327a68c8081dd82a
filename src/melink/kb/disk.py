"""Writing that survives a crash: whole files or nothing, one writer at a time, plain errors when the disk is full."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import orjson

from melink.errors import Locked, StoreError


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file so that a reader sees the old one or the new one: temporary name, fsync, rename.

    Raises:
        StoreError: The disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with storing(path), temporary.open("wb") as out:
        out.write(orjson.dumps(value, option=orjson.OPT_INDENT_2))
        out.flush()
        os.fsync(out.fileno())
    with storing(path):
        temporary.replace(path)
        sync_folder(path.parent)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, or None when it is missing or damaged."""
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None


def sync_folder(path: Path) -> None:
    """Flush a directory, so that a rename in it outlives a power cut. Nothing happens where that is impossible."""
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(path: Path) -> None:
    """Flush every file and directory below ``path``."""
    for folder, _, files in os.walk(path):
        for name in files:
            with (Path(folder) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(folder))


def size_of(path: Path) -> int:
    """Return the bytes that the files below ``path`` hold."""
    return sum((Path(folder) / name).stat().st_size for folder, _, files in os.walk(path) for name in files)


def writable(folder: Path) -> bool:
    """Return whether a folder, or the first that exists above it, may be written."""
    own = folder.absolute()
    return os.access(next(path for path in (own, *own.parents) if path.exists()), os.W_OK)


_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_FULL_SIGNS: Final = ("No space left", "index writer was killed")
"""How LanceDB and tantivy word it; tantivy's writer threads die without saying why."""


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn what the operating system and the storage engines say about a failed write into a :class:`StoreError`."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        if getattr(error, "errno", None) in _FULL or any(sign in str(error) for sign in _FULL_SIGNS):
            raise StoreError(
                f"{path}: the disk is full",
                "free some space and run the same command again; what was there before is still readable",
            ) from error
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise StoreError(
                f"{path}: cannot be written ({error.strerror})", "choose a folder you may write"
            ) from error
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock of a knowledge base; the system gives it back even when the process is killed.

    Raises:
        Locked: Somebody else holds it.
    """
    with storing(path):
        file = path.open("a+b")
    with file:
        try:
            _lock(file)
        except OSError as error:
            raise Locked(
                f"{path.parent}: another process is writing to this knowledge base",
                "wait until it has finished, then run the same command again",
            ) from error
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
