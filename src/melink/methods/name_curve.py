"""How much a name similarity is worth: a learned curve that rises everywhere.

A better name never counts against an entity; where the curve is steep is learned.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional as F

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
