"""What a candidate generator is, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from melink.records import Mention

Hits = list[tuple[str, float]]
"""Entity ids with the generator's own score, best first."""


class Generator(Protocol):
    """Proposes entities that a mention could mean."""

    name: str

    def search(self, mentions: Sequence[Mention], k: int) -> list[Hits]:
        """Return at most ``k`` hits for each mention, best first."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of a batch of mentions.

    Attributes:
        ids: For each mention, entity ids, best first, without repeats.
        sources: For each mention, entity id → generator name → rank there (1-based).
    """

    ids: tuple[tuple[str, ...], ...]
    sources: tuple[Mapping[str, Mapping[str, int]], ...] = field(default_factory=tuple)

    def union(self) -> list[str]:
        """Return every id that is a candidate of some mention, once, in order of first appearance."""
        return list(dict.fromkeys(id for row in self.ids for id in row))
