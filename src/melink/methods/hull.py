"""How near the convex hull of a mention's values comes to the origin, certified from below.

The context of any attention is a convex combination of the mention's centred values v_j, so ‖z̃‖ ≥ δ, the distance of
their hull from the origin, and ⟨g, z̃⟩ lies between min_j ⟨g, v_j⟩ and max_j ⟨g, v_j⟩. Together they bound G2L's
⟨g, z̃⟩ / √(‖z̃‖²/d + ε) far more closely than the norm of g does when the values of a text are alike, which they are in
contextual encoders. For any y, δ ≥ min_j ⟨y, v_j⟩ / ‖y‖: a bound that needs no exact optimum (docs/ranking.md).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

STEPS: Final = 32
"""Of Frank and Wolfe's method; each brings y nearer to the hull's nearest point."""
SLACK: Final = 1 - 1e-5
"""For the last digits of 32-bit arithmetic."""
NOISE: Final = 1e-6
"""How far a context in 32 bits lies from where it should, in lengths of the longest value."""


class Hull(NamedTuple):
    """Reciprocal standard deviations that a context can have: at least ``low``, at most ``high``."""

    low: float
    high: float


def hull_of(values: Float[Tensor, "l d"], eps: float) -> Hull:
    """Return the range of 1 / √(‖z̃‖²/d + ε) over the hull of some values.

    Args:
        values: Centred values of a mention's tokens, at least one.
        eps: Of the layer norm.
    """
    d = values.shape[1]
    exact = values.cpu().double()  # where the hull holds the origin, 32 bits would see a distance in rounding errors
    gram = exact @ exact.T
    weights = torch.full((len(exact),), 1 / len(exact), dtype=exact.dtype)
    best = exact.new_zeros(())
    for _ in range(STEPS):
        towards = gram @ weights  # ⟨y, v_j⟩ of y = Σ w_j v_j
        length = (weights @ towards).clamp(min=1e-30).sqrt()
        best = torch.maximum(best, towards.min() / length)
        corner = towards.argmin()
        gap = towards - gram[corner]  # ⟨y − corner, v_j⟩
        move = (weights @ gap) / (weights @ gap - gap[corner]).clamp(min=1e-30)
        keep = 1 - move.clamp(0, 1)
        weights = weights * keep
        weights[corner] += 1 - keep
    farthest = float(gram.diagonal().max())
    nearest = max(0.0, float(best) * SLACK - NOISE * farthest**0.5)
    return Hull((farthest / SLACK / d + eps) ** -0.5, (nearest**2 / d + eps) ** -0.5)


def between(products: Float[Tensor, "k l"], hull: Hull) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
    """Return the range of ⟨g, z̃⟩ / sd(z) for some g, given ⟨g, v_j⟩."""
    low, high = products.amin(1), products.amax(1)
    least = torch.where(low < 0, low * hull.high, low * hull.low)
    most = torch.where(high > 0, high * hull.high, high * hull.low)
    return least, most
