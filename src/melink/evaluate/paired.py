"""Is one system better than another on the same mentions, or only luckier?

Two tests of the mean difference, both by sentence where sentences are known, because mentions of one sentence are right
and wrong together:

- the paired bootstrap (Efron & Tibshirani 1993, chapters 13 and 16): sentences are drawn with replacement, each with
  the differences of all its mentions; the two-sided p is the share of resamples that lie as far from the observed
  difference as zero does. Counting those beyond zero instead would call 6 mentions won and none lost highly significant
  (p = .005, where a sign test says .03);
- the paired t-test, whose variance is taken between sentences (Liang & Zeger 1986); with one mention in each sentence
  it is the ordinary one.

Holm (1979) corrects p where several systems are compared with one baseline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import t as student

from melink.evaluate.bootstrap import bounds, resampled, sums

RESAMPLES: Final = 10_000
_DECIMALS: Final = 12
"""Means are rounded to this, so that sums which cancel are zero on every machine."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a system is from the baseline in one metric.

    Attributes:
        mean: Mean difference over the mentions; above zero, the system is better.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
        p: Two-sided p of the bootstrap; never below ``1 / (resamples + 1)``.
        t: Statistic of the t-test; None where it is not a finite number.
        p_t: Two-sided p of the t-test; None with fewer than two sentences.
        p_holm: ``p`` corrected for the number of systems; ``p`` itself when there is one.
        p_t_holm: ``p_t`` likewise.
    """

    mean: float
    low: float
    high: float
    p: float
    t: float | None
    p_t: float | None
    p_holm: float
    p_t_holm: float | None


def differences(
    values: Float64[np.ndarray, "m k"], groups: Int64[np.ndarray, " m"], seed: int = 0, resamples: int = RESAMPLES
) -> list[Difference]:
    """Return mean, interval and both tests of each column; p is not yet corrected.

    Args:
        values: Each mention's figure under the system minus that under the baseline, one column for each comparison; at
            least one mention.
        groups: Number of each mention's sentence (:func:`melink.evaluate.bootstrap.clusters`).
        seed: Of the draws, which all columns share.
        resamples: How many samples to draw.
    """
    means = np.round(resampled(values, groups, seed, resamples), _DECIMALS)
    low, high = bounds(means)
    middle = np.round(values.mean(axis=0), _DECIMALS)
    found = []
    for column in range(values.shape[1]):
        away = np.round(np.abs(means[:, column] - middle[column]), _DECIMALS) >= abs(middle[column])
        p = (int(np.count_nonzero(away)) + 1) / (resamples + 1)
        t, p_t = t_test(values[:, column], groups)
        mean, least, most = (float(each[column]) for each in (middle, low, high))
        found.append(Difference(mean, least, most, p, t, p_t, p_holm=p, p_t_holm=p_t))
    return found


def t_test(values: Float64[np.ndarray, " m"], groups: Int64[np.ndarray, " m"]) -> tuple[float | None, float | None]:
    """Return t and its two-sided p that the mean of ``values`` is zero, with the variance between clusters.

    With C clusters of n_c mentions, N in all, D the mean and S_c the sum over a cluster,
    ``t = D N / sqrt(C / (C - 1) * sum((S_c - n_c D)²))`` with C - 1 degrees of freedom. Values that do not differ at
    all give p = 1 where they are zero and p = 0 elsewhere, without a t.
    """
    sizes = np.bincount(groups)
    count = len(sizes)
    if count < 2:
        return None, None
    mean = float(values.mean())
    rest = sums(values[:, None], groups)[:, 0] - sizes * mean
    spread = math.sqrt(count / (count - 1) * float(rest @ rest)) / len(values)
    if spread < 10**-_DECIMALS:
        return None, 1.0 if abs(mean) < 10**-_DECIMALS else 0.0
    t = mean / spread
    return t, float(2 * student.sf(abs(t), count - 1))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Return the p values of one family corrected by Holm's step-down rule, in the order given; None stays None.

    The i-th smallest of n is multiplied by ``n - i + 1``, never below the one before it and never above 1.
    """
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    least = 0.0
    for done, (p, place) in enumerate(known):
        least = max(least, min(1.0, p * (len(known) - done)))
        corrected[place] = least
    return corrected
