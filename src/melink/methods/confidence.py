"""From scores to a probability and to NIL.

NIL takes part as one more candidate with a fixed score, so that one temperature serves both::

    P(e | m) = exp(s(m, e) / T) / (exp(nil / T) + Σ_e' exp(s(m, e') / T))

T and the NIL score are fitted on validation by :func:`fit`, never on test data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy.optimize import minimize

COLDEST: Final = 1e-3
HOTTEST: Final = 1e3
"""Bounds of a fitted temperature."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """A temperature and a NIL score.

    Attributes:
        temperature: T above, larger than 0; larger means less sure.
        nil: Score of the answer "not in the knowledge base"; ``-inf`` when the method never says NIL.
        fitted: Whether they come from validation data rather than from the defaults.
    """

    temperature: float = 0.1
    nil: float = -np.inf
    fitted: bool = False

    def probabilities(self, scores: Sequence[float]) -> tuple[Float64[np.ndarray, " k"], float]:
        """Return the probability of each candidate and that of NIL; they sum to 1."""
        logits = np.asarray([*scores, self.nil], dtype=np.float64) / self.temperature
        if not np.isfinite(logits.max()):
            return np.zeros(len(scores)), 1.0
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        return weights[:-1], float(weights[-1])


def fit(scores: Sequence[Sequence[float]], gold: Sequence[int | None], start: Confidence) -> Confidence:
    """Fit temperature and NIL score by maximum likelihood.

    Args:
        scores: Candidate scores of each validation mention.
        gold: Position of gold among them; None for NIL. Mentions whose gold is in the knowledge base but not among
            the candidates must be left out by the caller.
        start: Where to begin; its ``nil`` is kept when no mention is NIL.

    Returns:
        The fitted confidence, or ``start`` when there is nothing to fit on.
    """
    if not scores:
        return start
    with_nil = any(place is None for place in gold)
    first = start.nil if np.isfinite(start.nil) else float(np.median([max(row, default=0.0) for row in scores]))

    def loss(point: np.ndarray) -> float:
        current = Confidence(_temperature(point[0]), float(point[1]) if with_nil else start.nil)
        total = 0.0
        for row, place in zip(scores, gold, strict=True):
            candidates, nil = current.probabilities(row)
            total -= np.log(max(nil if place is None else candidates[place], 1e-12))
        return total / len(scores)

    found = minimize(loss, [np.log(start.temperature), first], method="Nelder-Mead", options={"maxiter": 120})
    nil = float(found.x[1]) if with_nil else start.nil
    return Confidence(_temperature(found.x[0]), nil, fitted=True)


def _temperature(logarithm: float) -> float:
    """Return the temperature of its logarithm, kept from 0, where perfectly separated data would push it."""
    return float(np.exp(np.clip(logarithm, np.log(COLDEST), np.log(HOTTEST))))
