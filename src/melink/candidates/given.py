"""Given lists: candidates that somebody published or computed elsewhere, by mention id."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import orjson

from melink.candidates.base import Hits
from melink.datasets.files import json_rows
from melink.errors import BadRow, Problems
from melink.records import Mention


class Given:
    """Returns the list that was given for each mention, in its order.

    Args:
        lists: Mention id → entity ids, best first; an id again is passed over.
        known: Ids of the knowledge base: others are passed over, as published lists name entities that it may lack.
            None keeps all.
    """

    name: ClassVar[str] = "given"

    def __init__(self, lists: Mapping[str, Sequence[str]], known: Collection[str] | None = None) -> None:
        self._lists = {
            mention: [id for id in dict.fromkeys(ids) if known is None or id in known] for mention, ids in lists.items()
        }

    @classmethod
    def read(cls, path: str | Path, known: Collection[str] | None = None) -> Given:
        """Read JSONL rows with ``id`` and ``candidates``: ids, or objects with an ``id``.

        That is what ``melink candidates -o`` and ``melink link -o`` write.

        Raises:
            NotFound: No such file.
            BadRow: A row that is not of that form, or the second of a mention; names the line.
        """
        lists: dict[str, list[str]] = {}
        problems = Problems(strict=True)
        try:
            for place, row in json_rows(path, problems):
                id, ids = str(row.get("id", "")), _ids(row.get("candidates"))
                if not id or ids is None:
                    problems.add(*place, "expected an object with an id and a list of candidates")
                elif id in lists:
                    problems.add(*place, "a row before has this id", id)
                else:
                    lists[id] = ids
        except BadRow as error:
            raise BadRow(error.problem, "write such rows with 'melink candidates KB MENTIONS -o F'") from error
        return cls(lists, known)

    @property
    def digest(self) -> str:
        """Hash of the lists."""
        return hashlib.sha256(orjson.dumps(self._lists, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def search(self, mentions: Sequence[Mention], k: int) -> list[Hits]:
        """Return the given lists; a mention without one gets nothing."""
        found = [self._lists.get(mention.id, [])[:k] for mention in mentions]
        return [[(id, 1 / place) for place, id in enumerate(ids, start=1)] for ids in found]


def _ids(candidates: Any) -> list[str] | None:
    """Return the ids of a list of candidates; None when it is no such list."""
    if not isinstance(candidates, list):
        return None
    ids = [candidate.get("id") if isinstance(candidate, dict) else candidate for candidate in candidates]
    return None if any(isinstance(id, bool) or not isinstance(id, str | int) for id in ids) else [str(id) for id in ids]
