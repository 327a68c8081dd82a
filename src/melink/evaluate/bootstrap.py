"""Percentile bootstrap intervals (Efron 1979): which scores would another sample of the same kind give?

Mentions of one sentence are right and wrong together. Where sentences are known, whole sentences are drawn (the cluster
bootstrap; Field & Welsh 2007); drawing mentions would give intervals that are too narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from melink.evaluate.metrics import KS, as_array

RESAMPLES: Final = 1000
_CELLS: Final = 4_000_000
"""Counts held at once; bounds memory whatever the number of sentences."""


def intervals(
    ranks: Iterable[float | None],
    seed: int = 0,
    sentences: Sequence[str | None] | None = None,
    ks: Sequence[int] = KS,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> dict[str, list[float]]:
    """Return ``[low, high]`` for each ``hits@k`` and ``mrr``; empty when there are no mentions.

    Each resample draws as many sentences as there are, with replacement, all metrics from the same draw.

    Args:
        ranks: Rank of each gold; None or NaN for a miss.
        seed: Of the draws; equal seeds give equal intervals.
        sentences: Sentence of each mention; None where unknown, which makes the mention a sentence of its own.
        ks: Depths of ``hits@k``.
        resamples: How many samples to draw.
        level: Share of resamples inside.
    """
    found = as_array(ranks)
    if not len(found):
        return {}
    groups = clusters(sentences if sentences is not None else [None] * len(found))
    low, high = bounds(resampled(worth(found, ks), groups, seed, resamples), level)
    names = [*(f"hits@{k}" for k in ks), "mrr"]
    return {name: [float(a), float(b)] for name, a, b in zip(names, low, high, strict=True)}


def worth(ranks: Float64[np.ndarray, " m"], ks: Sequence[int]) -> Float64[np.ndarray, "m k"]:
    """Return what each mention adds to ``hits@k`` and, in the last column, to ``mrr``; a rank of +inf adds nothing."""
    return np.stack([*(ranks <= k for k in ks), 1 / ranks], axis=1).astype(np.float64)


def clusters(sentences: Sequence[str | None]) -> Int64[np.ndarray, " m"]:
    """Return the number of each mention's sentence, in order of first appearance; None is a sentence of its own."""
    known: dict[object, int] = {}
    keys = [("mention", place) if name is None else ("sentence", name) for place, name in enumerate(sentences)]
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)


def sums(values: Float64[np.ndarray, "m k"], groups: Int64[np.ndarray, " m"]) -> Float64[np.ndarray, "c k"]:
    """Return the sum over each cluster."""
    total = np.zeros((int(groups.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(total, groups, values)
    return total


def resampled(
    values: Float64[np.ndarray, "m k"], groups: Int64[np.ndarray, " m"], seed: int, resamples: int
) -> Float64[np.ndarray, "r k"]:
    """Return the column means of each resample: of all mentions of the clusters that were drawn.

    Args:
        values: One row for each mention; at least one.
        groups: Number of each mention's cluster (see :func:`clusters`).
        seed: Of the draws.
        resamples: How many samples to draw.
    """
    total, sizes = sums(values, groups), np.bincount(groups).astype(np.float64)
    drawn = ((draw @ total) / (draw @ sizes)[:, None] for draw in _draws(len(sizes), resamples, seed))
    return np.concatenate(list(drawn))


def bounds(means: Float64[np.ndarray, "r k"], level: float = 0.95) -> Float64[np.ndarray, "2 k"]:
    """Return the ends of the percentile interval of each column."""
    ends: np.ndarray = np.percentile(means, [50 * (1 - level), 50 * (1 + level)], axis=0)
    return ends


def _draws(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks of resamples, as how often each of n clusters was drawn."""
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // n)
    for start in range(0, resamples, block):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(block, resamples - start)).astype(np.float64)
