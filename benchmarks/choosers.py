"""Two rerankers that need no wit, to prove the plumbing and to bound what any reranker can reach.

The oracle knows gold: no reranker of the same k can do better. The random chooser knows nothing. Neither is registered,
and no run can name one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from melink.records import Labelled, Mention
from melink.rerank.base import Case, Look, Scope


class Oracle:
    """Names gold where it is shown; says nothing elsewhere.

    Args:
        samples: Mentions with gold; recognised by what a reranker sees of them.
        scope: Which mentions, and how many candidates.
    """

    name = "oracle"
    paper = "none: the upper bound"

    def __init__(self, samples: Iterable[Labelled], scope: Scope | None = None) -> None:
        self.scope = scope or Scope()
        self._gold = {seen(sample.mention): sample.gold for sample in samples}

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name

    def settings(self) -> dict[str, Any]:
        """Return the scope."""
        return self.scope.model_dump(mode="json")

    def states(self) -> dict[str, Any]:
        """Return what a protocol states."""
        return {"name": self.name, **self.scope.model_dump(mode="json", exclude_none=True)}

    def look(self, cases: Sequence[Case]) -> list[Look]:
        """Return what is named in each case."""
        return [Look(self._named(case)) for case in cases]

    def usage(self) -> dict[str, Any]:
        """Return nothing: it costs nothing."""
        return {}

    def _named(self, case: Case) -> tuple[int, ...]:
        gold = self._gold.get(seen(case.mention))
        return tuple(place for place, candidate in enumerate(case.candidates) if candidate.id == gold)


class Chance(Oracle):
    """Names one of the shown candidates at random; the same one for the same mention and seed."""

    name = "chance"
    paper = "none: the lower bound"

    def __init__(self, scope: Scope | None = None, seed: int = 0) -> None:
        super().__init__((), scope)
        self._seed = seed

    def _named(self, case: Case) -> tuple[int, ...]:
        draw = random.Random(repr((self._seed, seen(case.mention), [each.id for each in case.candidates])))
        return (draw.randrange(len(case.candidates)),)


def seen(mention: Mention) -> tuple[str, str, int | None, str | None]:
    """Return what tells a mention from another without its id."""
    return mention.text, mention.surface, mention.start, mention.image
