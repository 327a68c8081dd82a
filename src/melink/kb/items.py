"""What an importer makes of one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from melink.records import Entity


class Unusable(Exception):
    """A row that cannot be used.

    Args:
        reason: Why, for a person.
        kind: Short code to count by.
        id: Its id when that much could be read.
    """

    def __init__(self, reason: str, kind: str, id: str | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.id = id


@dataclass(frozen=True, slots=True)
class Relation:
    """Name and description of a relation."""

    id: str
    label: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Outside:
    """An entity that is not wanted itself, but whose label names tails of triples."""

    id: str
    label: str


Item = Entity | Relation | Outside


class Parser(Protocol):
    """Reads the lines of one kind of file."""

    def __call__(self, raw: bytes) -> Item | None:
        """Return what a line holds, or None when it holds nothing.

        Raises:
            Unusable: The line cannot be used.
        """
