"""Answers that were paid for, in one SQLite file that several processes may use at a time.

Only answers are kept, keyed by the hash of the request: no prompt, no picture, no key and no failure. Each is on disk
before the next request of the same worker is sent. Where two processes paid for one request, the first answer stays.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from melink.errors import StoreError

VERSION: Final = 1
_BUSY: Final = 60.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS answers (
  key BLOB PRIMARY KEY, text TEXT NOT NULL, cut INTEGER NOT NULL, structured INTEGER NOT NULL,
  pictures INTEGER NOT NULL, text_only INTEGER NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
  reused INTEGER NOT NULL, seconds REAL NOT NULL, made REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS abilities (
  server TEXT, model TEXT, ability TEXT, works INTEGER NOT NULL, seen REAL NOT NULL,
  PRIMARY KEY (server, model, ability)
);
"""
_KEEP: Final = """
INSERT INTO answers VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (key) DO UPDATE SET
  text = excluded.text, cut = excluded.cut, structured = excluded.structured, pictures = excluded.pictures,
  text_only = excluded.text_only, tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out,
  reused = excluded.reused, seconds = excluded.seconds, made = excluded.made
  WHERE (answers.text_only AND NOT excluded.text_only) OR (excluded.structured AND NOT answers.structured)
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer as it is kept; the fields are those of :class:`melink.rerank.answer.Answer`."""

    text: str
    cut: bool
    structured: bool
    pictures: int
    text_only: bool
    tokens_in: int
    tokens_out: int
    reused: int
    seconds: float


class Cache:
    """Answers by the hash of their request.

    Args:
        path: The file, made when it is absent, on a local disk; None keeps everything in memory.

    Raises:
        StoreError: It cannot be written, or is something else.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else None
        self._lock = threading.Lock()
        with self._storing():
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                self.path or ":memory:", timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
            self._open()

    def get(self, key: bytes) -> Stored | None:
        """Return the answer to a request, or None."""
        row = self._run(
            "SELECT text, cut, structured, pictures, text_only, tokens_in, tokens_out, reused, seconds"
            " FROM answers WHERE key = ?",
            (key,),
        )
        if not row:
            return None
        text, cut, structured, pictures, text_only, *rest = row[0]
        return Stored(text, bool(cut), bool(structured), pictures, bool(text_only), *rest)

    def put(self, key: bytes, stored: Stored) -> None:
        """Keep an answer; as :meth:`put_all`."""
        self.put_all({key: stored})

    def put_all(self, answers: Mapping[bytes, Stored]) -> None:
        """Keep answers, all or none; they are on disk when this returns.

        What is there already stays, but a text-only answer gives way to one with pictures, and free text to an answer
        that was held to a schema.
        """
        now = time.time()
        rows = [(key, *astuple(stored), now) for key, stored in answers.items()]
        with self._lock, self._storing():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(_KEEP, rows)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def ability(self, server: str, model: str, ability: str, newer_than: float) -> bool | None:
        """Return what was learnt about a server after a time (seconds since 1970), or None."""
        row = self._run(
            "SELECT works FROM abilities WHERE server = ? AND model = ? AND ability = ? AND seen > ?",
            (server, model, ability, newer_than),
        )
        return bool(row[0][0]) if row else None

    def learn(self, server: str, model: str, ability: str, works: bool) -> None:
        """Remember whether a server offers something."""
        self._run("INSERT OR REPLACE INTO abilities VALUES (?,?,?,?,?)", (server, model, ability, works, time.time()))

    def __len__(self) -> int:
        """Return how many answers there are."""
        return int(self._run("SELECT count(*) FROM answers")[0][0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _run(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock, self._storing():
            return self._db.execute(statement, values).fetchall()

    def _open(self) -> None:
        self._db.execute("PRAGMA synchronous = FULL")
        until = time.monotonic() + _BUSY
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:  # several processes that make the file do not wait for each other
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.05)
        self._db.execute("BEGIN IMMEDIATE")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version != VERSION and (version or tables):
            self._db.execute("ROLLBACK")
            raise StoreError(f"{self.path}: not a cache of this version of melink", "name another file for the cache")
        for statement in filter(str.strip, _TABLES.split(";")):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {VERSION}")
        self._db.execute("COMMIT")

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            full = "disk is full" in str(error)
            remedy = "free some space" if full else "check the path, or move the file away to begin with an empty cache"
            raise StoreError(f"{self.path}: {error}", f"{remedy}, and run the same command again") from error
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}", "name a file that you may write") from error
