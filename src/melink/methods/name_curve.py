"""Name evidence of a trained method: how much a name similarity is worth, by a learned curve that rises everywhere.

A better name never counts against an entity; where the curve is steep is learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn
from torch.nn import functional as F

from melink.candidates.name_score import NameScorer, NameSide

KNOTS: Final = 10
"""Pieces of the curve."""


class NameCurve(nn.Module):
    """A rising piecewise-linear function of the name similarity; 0 at 0."""

    def __init__(self, total: float) -> None:
        super().__init__()
        slope = torch.tensor(total / KNOTS)
        self.raw = nn.Parameter(torch.log(torch.expm1(slope)).repeat(KNOTS))

    def forward(self, similarity: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Return the contribution of each similarity in 0–1."""
        return torch.stack(
            [rise * ((similarity - k / KNOTS) * KNOTS).clamp(0, 1) for k, rise in enumerate(F.softplus(self.raw))]
        ).sum(0)

    def points(self) -> Float64[np.ndarray, " k"]:
        """Return its values at 0, 1/K … 1."""
        return np.concatenate([[0.0], np.cumsum(F.softplus(self.raw.detach().double()).cpu().numpy())])

    def bend(self, similarity: Float32[np.ndarray, "m n"]) -> Float32[np.ndarray, "m n"]:
        """Return the same as :meth:`forward`, of arrays."""
        found: np.ndarray = np.interp(similarity, np.arange(KNOTS + 1) / KNOTS, self.points())
        return found.astype(np.float32)


class NameEvidence:
    """Similarities of names (:mod:`melink.candidates.name_score`), and what a curve makes of them.

    Args:
        used: Whether names play a part in the method; if not, everything is None.
    """

    def __init__(self, used: bool) -> None:
        self._scorer = NameScorer() if used else None

    def side(self, names: Iterable[Sequence[str]]) -> NameSide | None:
        """Index one side: a surface of each mention, or all names of each entity."""
        return None if self._scorer is None else self._scorer.side(names)

    def similarity(self, surfaces: Iterable[str], names: Iterable[Sequence[str]]) -> Float32[np.ndarray, "m n"] | None:
        """Return how alike mentions and entities are called, 0–1."""
        return self._scored(self.side([surface] for surface in surfaces), self.side(names))

    def bent(
        self, mentions: NameSide | None, entities: NameSide | None, curve: NameCurve | None
    ) -> Float32[np.ndarray, "m n"] | None:
        """Return the contribution of names to a score, None where either side has none."""
        similarity = self._scored(mentions, entities)
        return None if similarity is None or curve is None else curve.bend(similarity)

    def _scored(self, mentions: NameSide | None, entities: NameSide | None) -> Float32[np.ndarray, "m n"] | None:
        if self._scorer is None or mentions is None or entities is None:
            return None
        return self._scorer.score(mentions, entities)
