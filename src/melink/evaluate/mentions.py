"""The part of a result that another result is compared with: the rank of each mention, by sentence and slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from melink.config import Config
from melink.evaluate.outcome import Outcome
from melink.evaluate.slices import Slice


class MentionRanks(Config):
    """Linkable mentions in columns; the same place in each is the same mention.

    Attributes:
        id: Mention ids, each once.
        rank: Rank of gold, from 1; None for a miss.
        sentence: Sentence ids, None where a mention has none; absent when no mention has one.
        slices: Name → places of the mentions in it, ascending.
    """

    id: tuple[str, ...]
    rank: tuple[float | None, ...]
    sentence: tuple[str | None, ...] | None = None
    slices: dict[str, tuple[int, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        if len(set(self.id)) < len(self.id):
            raise ValueError("an id occurs twice")
        if {len(self.rank), len(self.id if self.sentence is None else self.sentence)} != {len(self.id)}:
            raise ValueError("columns of different lengths")
        if not all(rank is None or 1 <= rank < float("inf") for rank in self.rank):
            raise ValueError("ranks count from 1")
        for name, places in self.slices.items():
            if list(places) != sorted({*places} & {*range(len(self.id))}):
                raise ValueError(f"slice {name!r} holds places that are not there or not in order")
        return self

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], slices: Mapping[str, Slice]) -> MentionRanks:
        """Return the columns of judged mentions; those that are not linkable are left out, and so are empty slices."""
        linkable = [outcome for outcome in outcomes if outcome.linkable]
        sentences = tuple(outcome.sentence for outcome in linkable)
        places = {
            name: tuple(place for place, outcome in enumerate(linkable) if outcome.mention.id in part.ids)
            for name, part in slices.items()
        }
        return cls(
            id=tuple(outcome.mention.id for outcome in linkable),
            rank=tuple(outcome.rank for outcome in linkable),
            sentence=sentences if any(name is not None for name in sentences) else None,
            slices={name: inside for name, inside in places.items() if inside},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return self.model_dump(mode="json", exclude_none=False)
