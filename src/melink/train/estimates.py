"""The three things that a confidence is fitted by: likelihood, isotonic regression, and a search for a threshold."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float64
from scipy.optimize import isotonic_regression, minimize

from melink.methods.confidence import MOST_POINTS, Confidence, Curve
from melink.train.answers import Answers

COLDEST: Final = 1e-3
HOTTEST: Final = 1e3
"""Bounds of a fitted temperature."""
LEAST: Final = 25
"""Mentions that a point of a curve stands for, at least."""


def fit_temperature(answers: Answers, start: Confidence) -> Confidence:
    """Fit temperature and NIL score by maximum likelihood; the NIL score stays when no mention is NIL.

    In 1/T and nil/T this is a multinomial logistic regression, so that there is one maximum.

    Returns:
        ``start`` with both, or ``start`` itself without mentions.
    """
    if not len(answers):
        return start
    there, outside = answers.scores > -np.inf, answers.outside
    values = np.where(there, answers.scores, 0.0)
    gold = np.where(outside, 0.0, np.take_along_axis(_padded(values), np.maximum(answers.gold, 0)[:, None], 1)[:, 0])
    free = bool(outside.any())
    unit, nil = 1 / start.temperature, start.nil
    if free and nil is None:
        nil = float(np.median(values.max(axis=1, initial=0.0)))

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        sharp = point[0] * unit
        last = point[1] if free else -np.inf if nil is None else sharp * nil
        logits = np.column_stack([np.where(there, sharp * values, -np.inf), np.full(len(values), last)])
        highest = logits.max(axis=1, keepdims=True)
        odds = np.exp(logits - highest)
        sums = odds.sum(axis=1, keepdims=True)
        odds /= sums
        value = float(np.mean((np.log(sums) + highest)[:, 0] - np.where(outside, last, sharp * gold)))
        by_nil = float(np.mean(odds[:, -1] - outside))
        by_sharp = float(np.mean((odds[:, :-1] * values).sum(axis=1) - gold))
        slopes = [by_sharp * unit, by_nil] if free else [(by_sharp + by_nil * (nil or 0.0)) * unit]
        return value, np.array(slopes)

    bounds = [(1 / HOTTEST / unit, 1 / COLDEST / unit), (None, None)][: 1 + free]
    point = minimize(loss, [1.0, unit * (nil or 0.0)][: 1 + free], jac=True, method="L-BFGS-B", bounds=bounds).x
    sharp = float(point[0]) * unit
    found = {"nil": round(float(point[1]) / sharp, 6)} if free else {}
    return start.model_copy(update={"temperature": round(1 / sharp, 6), "fitted": True, **found})


def fit_curve(first: Float64[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> Curve:
    """Fit the curve from the probability of the first candidate to how often it is right.

    Mentions are cut into classes of equal size by that probability; each class gives its mean and, pulled towards one
    half by one success and one failure (Laplace), its share of right ones. Isotonic regression makes these rise.
    Classes that it levels become one point in their middle, so that unequal probabilities stay unequal between the
    ends (centred isotonic regression: Oron & Flournoy, 2017).

    Returns:
        At most :data:`~melink.methods.confidence.MOST_POINTS` points; none for fewer than two classes.
    """
    count = min(MOST_POINTS, len(first) // LEAST)
    if count < 2:
        return ()
    classes = np.array_split(np.argsort(first, kind="stable"), count)
    sizes = np.array([len(rows) for rows in classes])
    shares = np.array([(right[rows].sum() + 1) / (len(rows) + 2) for rows in classes])
    means = np.array([first[rows].mean() for rows in classes])
    _, level = np.unique(np.round(isotonic_regression(shares, weights=sizes).x, 6), return_inverse=True)
    middles, heights = (np.bincount(level, sizes * own) / np.bincount(level, sizes) for own in (means, shares))
    places, which = np.unique(np.round(middles, 6), return_inverse=True)  # one point at one place
    values = np.bincount(which, heights) / np.bincount(which)
    return tuple(zip(places.tolist(), np.round(values, 6).tolist(), strict=True))


def fit_threshold(
    best: Float64[np.ndarray, " n"],
    outside: Bool[np.ndarray, " n"],
    right: Bool[np.ndarray, " n"],
    objective: Literal["f1", "accuracy"] = "f1",
) -> float | None:
    """Return the score below which NIL is best answered; of equally good ones that which says NIL least.

    None when nobody has a candidate.

    Args:
        best: Score of the first candidate, ``-inf`` without one: NIL whatever the threshold.
        outside: Gold is NIL.
        right: Gold is the first candidate.
        objective: ``f1`` of NIL, or ``accuracy`` over all mentions.
    """
    if not np.isfinite(best).any():
        return None
    order = np.argsort(best, kind="stable")
    values = best[order]
    told = np.arange(len(best) + 1)
    hits = np.r_[0, np.cumsum(outside[order])]
    if objective == "f1":
        gain = 2 * hits / np.maximum(told + outside.sum(), 1)
    else:
        gain = hits + right.sum() - np.r_[0, np.cumsum(right[order])]
    below, above = np.r_[values[:1], values], np.r_[values, values[-1:]]
    middle = np.where(np.isfinite(below), (below + above) / 2, above)  # between two scores: NIL is said ``told`` times
    middle[0], middle[-1] = above[0] - 1e-5, below[-1] + 1e-5
    possible = np.r_[True, values[:-1] < values[1:], True] & np.isfinite(middle)
    return round(float(middle[possible][gain[possible].argmax()]), 6)


def _padded(values: Float64[np.ndarray, "m k"]) -> Float64[np.ndarray, "m k1"]:
    """Return values with one more column, so that there is something to take where nobody has a candidate."""
    return np.column_stack([values, np.zeros(len(values))])
