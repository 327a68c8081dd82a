"""What identifies an item: the SHA-256 of its text or of its file. Hashes of unchanged files are remembered."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from melink.errors import BadImage
from melink.features.images import Limits, read
from melink.features.shards import KEY

_RACY: Final = 2.0
"""A file changed less than this many seconds ago may change again without a new time stamp: it is not remembered."""

_TABLE: Final = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INT, mtime_ns INT, hash BLOB)"


@dataclass
class Keys:
    """Keys of a list of items.

    Attributes:
        keys: SHA-256 of each item; empty where there is none.
        absent: Position → reason code, for items without a key: ``none``, ``empty``, or that of a
            :class:`~melink.errors.BadImage`.
        errors: Item → what could not be read, once for each file.
    """

    keys: np.ndarray
    absent: dict[int, str] = field(default_factory=dict)
    errors: dict[str, BadImage] = field(default_factory=dict)


def text_keys(texts: Sequence[str | None]) -> Keys:
    """Return the keys of some texts; None and blank ones are absent."""
    found = Keys(np.zeros(len(texts), KEY))
    for place, text in enumerate(texts):
        if text is None or not text.strip():
            found.absent[place] = "none" if text is None else "empty"
        else:
            found.keys[place] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return found


class FileKeys:
    """Hashes of files, remembered by path, size and time of change, so that a second run reads no picture.

    Args:
        path: A small database; it is a cache, and may be deleted.
        limits: What one picture may cost.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._known: dict[str, tuple[int, int, bytes]] = {}

    def of(self, items: Sequence[str | os.PathLike[str] | None]) -> Keys:
        """Return the keys of some picture files; a file that cannot be read is absent, with its error."""
        found = Keys(np.zeros(len(items), KEY))
        paths = {item: os.path.abspath(item) for item in dict.fromkeys(items) if item is not None}  # noqa: PTH100 (cheaper)
        self._recall([path for path in paths.values() if path not in self._known])
        fresh: dict[str, tuple[int, int, bytes]] = {}
        hashes: dict[Any, bytes] = {}
        for name, path in paths.items():
            try:
                hashes[name] = self._hash(path, fresh)
            except BadImage as error:
                found.errors[str(name)] = error
        self._remember(fresh)
        for place, item in enumerate(items):
            if item is None:
                found.absent[place] = "none"
            elif item in hashes:
                found.keys[place] = hashes[item]
            else:
                found.absent[place] = found.errors[str(item)].reason
        return found

    def remembered(self, items: Sequence[str | os.PathLike[str]]) -> set[bytes]:
        """Return the hashes that files had when they were last read, those that are gone by now too."""
        paths = [os.path.abspath(item) for item in items]  # noqa: PTH100 (cheaper)
        self._recall(paths)
        return {self._known[path][2] for path in paths if path in self._known}

    def _hash(self, path: str, fresh: dict[str, tuple[int, int, bytes]]) -> bytes:
        before = _stamp(path)
        known = self._known.get(path)
        if known is not None and known[:2] == before:
            return known[2]
        digest = hashlib.sha256(read(path, self._limits)).digest()
        if before is not None and before == _stamp(path) and time.time() - before[1] / 1e9 > _RACY:
            fresh[path] = self._known[path] = (*before, digest)
        return digest

    def _recall(self, paths: Sequence[str]) -> None:
        if not paths or not self._path.exists():
            return
        # Only a cache: one that cannot be read costs time and nothing else.
        with contextlib.suppress(sqlite3.Error, UnicodeError), contextlib.closing(self._connect()) as database:
            for path in paths:
                for row in database.execute("SELECT size, mtime_ns, hash FROM files WHERE path = ?", (path,)):
                    self._known[path] = row

    def _remember(self, fresh: dict[str, tuple[int, int, bytes]]) -> None:
        if not fresh:
            return
        # Only a cache: a folder that cannot be written means hashing again next time.
        with contextlib.suppress(sqlite3.Error, OSError, UnicodeError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(self._connect()) as database, database:
                database.execute(_TABLE)
                rows = [(path, *row) for path, row in fresh.items()]
                database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns
