"""Percentile bootstrap intervals over mentions (Efron 1979): which scores would another sample of mentions give?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from melink.evaluate.metrics import KS, as_array

RESAMPLES: Final = 1000
_CELLS: Final = 4_000_000
"""Counts held at once; bounds memory whatever the number of mentions."""


def intervals(
    ranks: Iterable[float | None],
    seed: int = 0,
    ks: Sequence[int] = KS,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> dict[str, list[float]]:
    """Return ``[low, high]`` for each ``hits@k`` and ``mrr``; empty when there are no mentions.

    Each resample draws as many mentions as there are, with replacement, all metrics from the same draw.

    Args:
        ranks: Rank of each gold; None or NaN for a miss.
        seed: Of the draws; equal seeds give equal intervals.
        ks: Depths of ``hits@k``.
        resamples: How many samples to draw.
        level: Share of resamples inside.
    """
    found = as_array(ranks)
    if not len(found):
        return {}
    values = np.stack([*(found <= k for k in ks), 1 / found], axis=1).astype(np.float64)
    means = np.concatenate([draw @ values for draw in _draws(len(found), resamples, seed)]) / len(found)
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)], axis=0)
    names = [*(f"hits@{k}" for k in ks), "mrr"]
    return {name: [float(a), float(b)] for name, a, b in zip(names, low, high, strict=True)}


def _draws(n: int, resamples: int, seed: int) -> Iterable[np.ndarray]:
    """Yield blocks of resamples, as how often each of n mentions was drawn."""
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // n)
    for start in range(0, resamples, block):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(block, resamples - start)).astype(np.float64)
