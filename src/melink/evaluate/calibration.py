"""How far confidence can be trusted: what is said to be right 8 times in 10 should be right 8 times in 10.

Every labelled mention has one answer, NIL included, with one probability; an answer is right or wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float64

from melink.evaluate.outcome import Outcome

BINS: Final = 15
"""Classes of equal width, as in Guo et al. (ICML 2017), so that figures compare with published ones."""
POINTS: Final = 20
"""Points of the coverage–accuracy curve."""


def calibration(certainty: Float64[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> dict[str, Any]:
    """Return every figure of this file; None and empty lists without answers.

    Args:
        certainty: Probability of each answer, in 0–1.
        right: Whether it is right.
    """
    return {
        "n": len(right),
        "ece": ece(certainty, right),
        "brier": brier(certainty, right),
        "aurc": aurc(certainty, right),
        "bins": bins(certainty, right),
        "coverage": coverage(certainty, right),
    }


def certainties(outcomes: Sequence[Outcome]) -> tuple[Float64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return how sure each answer was and whether it was right; the unlabelled and those without confidence are out."""
    judged = [o for o in outcomes if o.labelled and o.link.probability is not None]
    sure = np.array([o.link.probability for o in judged], dtype=np.float64)
    return sure, np.array([bool(o.correct) for o in judged], dtype=bool)


def bins(
    certainty: Float64[np.ndarray, " n"], right: Bool[np.ndarray, " n"], count: int = BINS
) -> list[dict[str, Any]]:
    """Return the classes of a reliability diagram that hold an answer: from, to, n, mean confidence and accuracy.

    A class includes its lower end; the last includes 1.
    """
    place = np.minimum((certainty * count).astype(np.int64), count - 1)
    sizes = np.bincount(place, minlength=count)
    sums, hits = np.bincount(place, certainty, count), np.bincount(place, right, count)
    filled = np.flatnonzero(sizes)
    means = zip(sums[filled] / sizes[filled], hits[filled] / sizes[filled], strict=True)
    return [
        {"from": b / count, "to": (b + 1) / count, "n": int(sizes[b]), "confidence": float(p), "accuracy": float(a)}
        for b, (p, a) in zip(filled.tolist(), means, strict=True)
    ]


def ece(certainty: Float64[np.ndarray, " n"], right: Bool[np.ndarray, " n"], count: int = BINS) -> float | None:
    """Return the expected calibration error: the mean gap of confidence and accuracy over the classes, by size."""
    found = bins(certainty, right, count)
    gaps = [row["n"] * abs(row["confidence"] - row["accuracy"]) for row in found]
    return float(sum(gaps) / len(right)) if found else None


def brier(certainty: Float64[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float | None:
    """Return the mean squared difference of confidence and outcome (Brier 1950); 0 is perfect."""
    return float(np.mean((certainty - right) ** 2)) if len(right) else None


def accuracies(certainty: Float64[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Return the accuracy of the 1, 2, … n surest answers; equally sure ones share their outcomes evenly."""
    levels, which = np.unique(-certainty, return_inverse=True)
    shares = np.bincount(which, right, len(levels)) / np.maximum(np.bincount(which, minlength=len(levels)), 1)
    found: np.ndarray = np.cumsum(shares[np.sort(which)]) / np.arange(1, len(right) + 1)
    return found


def coverage(certainty: Float64[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> list[tuple[float, float]]:
    """Return points of the curve (share answered, accuracy there), the surest answers first; the last has all."""
    if not len(right):
        return []
    found, n = accuracies(certainty, right), len(right)
    places = np.unique(np.ceil(np.arange(1, POINTS + 1) * n / POINTS).astype(int))
    return [(float(place / n), float(found[place - 1])) for place in places]


def aurc(certainty: Float64[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float | None:
    """Return the area under the risk–coverage curve: the mean error of the k surest, over k.

    Geifman et al., ICLR 2019. Lower is better. Only the order of the confidences matters.
    """
    return float(np.mean(1 - accuracies(certainty, right))) if len(right) else None
