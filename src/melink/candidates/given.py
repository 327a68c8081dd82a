"""Given lists: candidates that somebody published or computed elsewhere, by mention id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import orjson

from melink.candidates.base import Hits
from melink.errors import InputError
from melink.records import Mention


class Given:
    """Returns the list that was given for each mention, in its order.

    Args:
        lists: Mention id → entity ids, best first.
    """

    name: ClassVar[str] = "given"

    def __init__(self, lists: Mapping[str, Sequence[str]]) -> None:
        self._lists = lists

    @classmethod
    def read(cls, path: str | Path) -> Given:
        """Read JSONL rows with ``id`` and ``candidates`` (ids, or objects with an ``id``), as ``melink candidates`` writes.

        Raises:
            InputError: A row that is not of that form; names the line.
        """
        lists = {}
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    row = orjson.loads(line)
                    lists[str(row["id"])] = [c["id"] if isinstance(c, dict) else str(c) for c in row["candidates"]]
                except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                    reason = f"{path}:{number}: expected an object with id and candidates ({error})"
                    raise InputError(reason, "write such rows with 'melink candidates KB MENTIONS -o F'") from error
        return cls(lists)

    def search(self, mentions: Sequence[Mention], k: int) -> list[Hits]:
        """Return the given lists; a mention without one gets nothing."""
        return [[(id, 1 / place) for place, id in enumerate(self._lists.get(m.id, ())[:k], 1)] for m in mentions]
