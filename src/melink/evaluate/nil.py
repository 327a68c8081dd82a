"""How well "not in the knowledge base" is told from the rest, and how well the rest is linked."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

Figures = dict[str, float | int | None]


def nil_figures(
    is_nil: Bool[np.ndarray, " n"],
    nil_score: Float[np.ndarray, " n"],
    predicted: Bool[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
) -> Figures:
    """Return NIL precision, recall, F1 and AUROC, and the accuracy of mentions in the knowledge base apart.

    A figure that the data cannot give is None, never 0: recall, F1 and AUROC without a NIL mention, precision when
    nothing was answered NIL, in-KB accuracy without such a mention.

    Args:
        is_nil: Gold says NIL.
        nil_score: Higher where NIL is more likely; NaN counts as "not at all". Only its order matters.
        predicted: NIL was answered.
        correct: The answer given is right.
    """
    right = int(np.count_nonzero(is_nil & predicted))
    nils, answered = int(np.count_nonzero(is_nil)), int(np.count_nonzero(predicted))
    return {
        "n_nil": nils,
        "n_in_kb": len(is_nil) - nils,
        "n_predicted": answered,
        "precision": _ratio(right, answered),
        "recall": _ratio(right, nils),
        "f1": 2 * right / (nils + answered) if nils else None,
        "auroc": auroc(nil_score, is_nil),
        "in_kb_accuracy": _mean(correct[~is_nil]),
        "accuracy": _mean(correct),
    }


def auroc(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float | None:
    """Return the chance that a positive scores above a negative, a tie counting half; None without one of each.

    The Mann–Whitney statistic over the product of the counts (Hanley & McNeil 1982).
    """
    above = int(np.count_nonzero(positive))
    below = len(positive) - above
    if not above or not below:
        return None
    ranks = rankdata(np.where(np.isnan(scores), -np.inf, scores))
    return float((ranks[positive].sum() - above * (above + 1) / 2) / (above * below))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
