"""From scores to a probability and to NIL.

NIL takes part as one more candidate with a fixed score, so that one temperature serves both (temperature scaling:
Guo et al., ICML 2017)::

    p(e | m) = exp(s(m, e) / T) / (exp(nil / T) + Σ_e' exp(s(m, e') / T))

A *curve* g may correct what p says of the first candidate, where validation shows that it helps (isotonic regression:
Zadrozny & Elkan, KDD 2002). With p₁ the probability of the first candidate::

    P(first | m) = g(p₁)        P(e | m) = min(p(e | m) · (1 − g(p₁)) / (1 − p₁), g(p(e | m)))

so that what is taken from the first goes to the others, the order of candidates never changes, a higher score never
means a lower probability, and the sum with NIL is at most 1.

Whether the answer *is* NIL is a decision of its own: the score of the first candidate against a threshold. A score
depends neither on T nor on how many candidates were listed. :mod:`melink.train.calibrate` fits all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Float64
from pydantic import Field, model_validator

from melink.config import Config

MOST_POINTS: Final = 20
"""Points that a curve may have."""
Scores = Sequence[float] | Float[np.ndarray, " k"]
Curve = tuple[tuple[float, float], ...]


class Decision(NamedTuple):
    """What the scores of one mention come to.

    Attributes:
        is_nil: Whether the answer is "not in the knowledge base".
        certainty: Probability of the answer given, NIL included.
        probabilities: Of each candidate, in the order of the scores.
        nil: Probability of NIL.
    """

    is_nil: bool
    certainty: float
    probabilities: Float64[np.ndarray, " k"]
    nil: float


class Confidence(Config):
    """How a method's scores become probabilities, and when the answer is NIL.

    Attributes:
        temperature: T above, larger than 0; larger means less sure.
        nil: Score of the answer "not in the knowledge base"; None when the method never says NIL.
        curve: Points (p, g) of g above, rising, straight between them and level beyond; empty for g(p) = p.
        threshold: The answer is NIL when the score of the first candidate is below this; None: below ``nil``.
        objective: What the threshold is fitted to: ``f1`` of NIL, or ``accuracy`` over all answers.
        fitted: Whether all this comes from validation data rather than from the defaults.
    """

    temperature: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    nil: float | None = Field(default=None, allow_inf_nan=False)
    curve: Curve = Field(default=(), max_length=MOST_POINTS)
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    objective: Literal["f1", "accuracy"] = "f1"
    fitted: bool = False

    @model_validator(mode="after")
    def _rises(self) -> Self:
        points = np.asarray(self.curve, dtype=np.float64).reshape(-1, 2)
        steps = np.diff(points, axis=0)
        if not ((points >= 0) & (points <= 1)).all() or (steps[:, 0] <= 0).any() or (steps[:, 1] < 0).any():
            raise ValueError("the points of a curve lie in 0–1 and rise")
        return self

    def probabilities(self, scores: Scores) -> tuple[Float64[np.ndarray, " k"], float]:
        """Return the probability of each candidate and that of NIL; together at most 1, and 1 without a curve.

        Without candidates NIL is certain.
        """
        found = spread(self, np.asarray(scores, dtype=np.float64).reshape(1, -1))
        return found.candidates[0], float(found.nil[0])

    def decide(self, scores: Scores) -> Decision:
        """Return what the scores of one mention come to: the highest is the answer, or NIL; NIL without candidates."""
        found = spread(self, np.asarray(scores, dtype=np.float64).reshape(1, -1))
        return Decision(bool(found.is_nil[0]), float(found.certainty[0]), found.candidates[0], float(found.nil[0]))


class Spread(NamedTuple):
    """The same as :class:`Decision` for many mentions; candidates that do not exist have probability 0."""

    is_nil: Bool[np.ndarray, " m"]
    certainty: Float64[np.ndarray, " m"]
    candidates: Float64[np.ndarray, "m k"]
    nil: Float64[np.ndarray, " m"]


def spread(confidence: Confidence, scores: Float64[np.ndarray, "m k"]) -> Spread:
    """Return the probabilities and answers of many mentions.

    Args:
        confidence: Temperature, NIL score, curve and threshold.
        scores: Of the candidates of each mention, in any order, ``-inf`` where there is none.
    """
    highest = scores.max(axis=1, initial=-np.inf)
    nil = -np.inf if confidence.nil is None else confidence.nil
    peak = np.maximum(highest, nil)
    alone = highest == -np.inf
    offset = np.where(peak > -np.inf, peak, 0.0)
    weights = np.exp((np.column_stack([scores, np.full(len(scores), nil)]) - offset[:, None]) / confidence.temperature)
    weights[alone, -1] = 1.0
    weights /= weights.sum(axis=1, keepdims=True)
    own, missing = weights[:, :-1], weights[:, -1]
    if confidence.curve:
        own, missing = _bent(confidence.curve, own, missing, (scores == highest[:, None]) & ~alone[:, None])
    is_nil = alone | (highest < (nil if confidence.threshold is None else confidence.threshold))
    return Spread(is_nil, np.where(is_nil, missing, own.max(axis=1, initial=0.0)), own, missing)


def _bent(
    curve: Curve, own: Float64[np.ndarray, "m k"], nil: Float64[np.ndarray, " m"], first: Bool[np.ndarray, "m k"]
) -> tuple[Float64[np.ndarray, "m k"], Float64[np.ndarray, " m"]]:
    """Bend probabilities by the curve; candidates that share the first place get at most an equal share of 1."""
    bent = np.interp(own, *np.asarray(curve).T)
    count = np.maximum(first.sum(axis=1), 1)
    after = np.minimum(np.where(first, bent, 0.0).max(axis=1, initial=0.0), 1 / count)
    rest = np.where(first, 0.0, own).sum(axis=1) + nil
    some = rest > np.finfo(np.float64).tiny  # by less nothing can be divided
    scale = np.divide(1 - count * after, rest, out=np.zeros(len(own)), where=some).clip(min=0)
    return np.where(first, after[:, None], np.minimum(own * scale[:, None], bent)), nil * scale
