"""Ranking metrics, as docs/evaluation.md defines them. The name of each figure derives from its k."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float64

from melink.errors import InputError

KS: Final = (1, 3, 5, 10, 20)


def as_array(ranks: Iterable[float | None], n: int | None = None) -> Float64[np.ndarray, " n"]:
    """Return ranks as numbers, a miss being +inf.

    Args:
        ranks: Rank of each gold; None or NaN where gold is not among the candidates.
        n: How many mentions there are, when misses were left out of ``ranks``.

    Raises:
        InputError: More ranks than mentions, or a rank below 1.
    """
    given = np.asarray([np.nan if rank is None else rank for rank in ranks], dtype=np.float64)
    missing = (len(given) if n is None else n) - len(given)
    if missing < 0:
        raise InputError(f"{len(given)} ranks for {n} mentions", "count every linkable mention in n")
    if np.any(given < 1):
        raise InputError("a rank is below 1", "count ranks from 1")
    return np.concatenate([np.where(np.isnan(given), np.inf, given), np.full(missing, np.inf)])


def summarise(
    ranks: Iterable[float | None], n: int | None = None, ks: Sequence[int] = KS
) -> dict[str, float | int | None]:
    """Return ``n``, ``hits@k``, ``mrr``, ``mr`` and ``candidate_recall``; shares lie in 0–1.

    A miss has reciprocal rank 0, is nobody's hit, and is left out of ``mr``. Figures of nothing are None.

    Args:
        ranks: Rank of each gold; None or NaN for a miss.
        n: How many linkable mentions there are, when misses were left out of ``ranks``.
        ks: Depths of ``hits@k``.
    """
    found = as_array(ranks, n)
    if not len(found):
        return {"n": 0, **dict.fromkeys((*(f"hits@{k}" for k in ks), "mrr", "mr", "candidate_recall"))}
    there = np.isfinite(found)
    return {
        "n": len(found),
        **{f"hits@{k}": float(np.mean(found <= k)) for k in ks},
        "mrr": float(np.mean(1 / found)),
        "mr": float(np.mean(found[there])) if there.any() else None,
        "candidate_recall": float(np.mean(there)),
    }
