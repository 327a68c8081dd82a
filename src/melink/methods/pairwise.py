"""What a method offers so that :mod:`melink.ranking` can rank a whole knowledge base exactly, and fast.

The total of a pair is split into a cheap *middle* and a *remainder* that needs both sides' tokens. The remainder's size
is bounded per entity (or per pair) without computing it, so most entities are ruled out unscored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from melink.kb.view import EntityView
from melink.methods.base import Parts
from melink.records import Mention


class Bounds(NamedTuple):
    """Totals lie in ``middle ± reach``.

    Attributes:
        middle: The total without its remainder.
        reach: How large the remainder can be at most; one row stands for all mentions.
    """

    middle: Float[Tensor, "m n"]
    reach: Float[Tensor, "one_or_m n"]


@runtime_checkable
class Pairwise(Protocol):
    """A method with a remainder. Sides are what its own ``mentions`` and ``entities`` return.

    Attributes:
        device: Where it computes.
        heavy: Fields of the terms that only the remainder needs, each with more than one number for an entity.
        remainder: Fields that it needs; the others may come empty.
        refining: Fields that :meth:`refined` needs, likewise.
    """

    device: str
    heavy: frozenset[str]
    remainder: frozenset[str]
    refining: frozenset[str]

    def fingerprint(self) -> str:
        """Hash everything that the terms of an entity depend on, beside the entity."""

    def terms(self, view: EntityView) -> Any:
        """Return the terms of a chunk of entities: a NamedTuple of tensors, a row for each, in 16 bits."""

    def revived(self, terms: Any, view: EntityView | None) -> Any:
        """Return the entity side that :meth:`terms` stand for; without names when there is no view."""

    def mentions(self, mentions: Sequence[Mention]) -> Any:
        """Prepare a batch of mentions."""

    def score(self, mentions: Any, entities: Any, where: Bool[np.ndarray, "m n"] | None = None) -> Parts:
        """Return weighted part scores, as :meth:`~melink.methods.base.Method.score`; only ``where`` they matter."""

    def roughly(self, mentions: Any, entities: Any) -> Float[Tensor, "m n"]:
        """Return the part of the total that is a product of vectors: what a shortlist is found by."""

    def refined(self, mentions: Any, m: int, entities: Any) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
        """Return what the middle has beyond :meth:`roughly`, and the reach, of one mention with some entities."""

    def bounded(self, mentions: Any, entities: Any) -> Bounds:
        """Return middle and reach of all pairs."""

    def tightened(self, mentions: Any, m: int, entities: Any) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
        """Return lower and upper bound of the remainder of one mention with some entities, closer than the reach."""

    def exactly(self, mentions: Any, m: int, entities: Any) -> Float[Tensor, " k"]:
        """Return the remainder of one mention with some entities."""

    def densely(self, mentions: Any, entities: Any) -> Float[Tensor, "m n"]:
        """Return the remainder of all pairs."""
