"""Exact ranks, whole or streamed over chunks of entities in bounded memory.

``rank = 1 + #{s_j > s_gold} + ties / 2`` (docs/evaluation.md), where ties are the other entities with gold's score. A
NaN score counts as −inf: it ranks last, ties with other NaN, and never wins. A streamed rank is two passes: the first
scores each gold, the second feeds every chunk to :class:`RankCounter`; both need O(m) memory.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Float, Float64, Int, Int64

from melink.errors import InputError

Ties = Literal["mean", "optimistic", "pessimistic"]
"""``optimistic`` counts strictly better entities only, ``pessimistic`` puts gold behind all its ties."""

_SHARE: Final[dict[str, float]] = {"mean": 0.5, "optimistic": 0.0, "pessimistic": 1.0}
_TOLERANCE: Final = 1e-3
"""How far gold's two scores may lie apart (relative to 1 + its size) before the passes are said to disagree."""


def rank_of(scores: Float[np.ndarray, " n"], gold: int, ties: Ties = "mean") -> float:
    """Return the rank of one entity among n.

    Args:
        scores: Score of each entity, higher is better.
        gold: Position of the right one.
        ties: Tie rule.

    Raises:
        InputError: An unknown tie rule.
    """
    clean = np.where(np.isnan(scores), -np.inf, scores)
    better = int(np.count_nonzero(clean > clean[gold]))
    equal = int(np.count_nonzero(clean == clean[gold])) - 1
    return 1 + better + equal * share_of(ties)


class RankCounter:
    """Counts, chunk by chunk, the entities that score above and as much as gold.

    The order and the size of the chunks change nothing. Gold itself is left out by its place, not by its score, so a
    last-digit difference between the passes cannot make it its own rival.

    Args:
        gold_scores: Score of each mention's gold from the first pass; any value where it is not in the store.
    """

    def __init__(self, gold_scores: Float[np.ndarray, " m"]) -> None:
        self._gold = np.where(np.isnan(gold_scores), -np.inf, gold_scores)
        self._greater = np.zeros(len(gold_scores), dtype=np.int64)
        self._equal = np.zeros(len(gold_scores), dtype=np.int64)
        self._seen = np.zeros(len(gold_scores), dtype=bool)

    def update(
        self, scores: Float[np.ndarray, "b c"], gold_columns: Int[np.ndarray, " b"], rows: slice = slice(None)
    ) -> None:
        """Count one chunk.

        Args:
            scores: Scores of c entities for a block of b mentions.
            gold_columns: Column of gold in this chunk; −1 where gold is not in it.
            rows: Which mentions the block holds; all of them by default.

        Raises:
            InputError: Gold scored otherwise here than in the first pass.
        """
        clean, gold = _ranked_last(scores), self._gold[rows]
        greater = np.count_nonzero(clean > gold[:, None], axis=1)
        equal = np.count_nonzero(clean == gold[:, None], axis=1)
        (own,) = np.nonzero(gold_columns >= 0)
        again, before = clean[own, gold_columns[own]], gold[own]
        _same(again, before)
        greater[own] -= again > before
        equal[own] -= again == before
        self._greater[rows] += greater
        self._equal[rows] += equal
        self._seen[rows] |= gold_columns >= 0

    def ranks(self, ties: Ties = "mean") -> Float64[np.ndarray, " m"]:
        """Return the rank of each gold; NaN where no chunk held it: a miss.

        Raises:
            InputError: An unknown tie rule.
        """
        ranks: np.ndarray = 1.0 + self._greater + self._equal * share_of(ties)
        return np.where(self._seen, ranks, np.nan)


class TopK:
    """The k best entities of each of m mentions, running over chunks.

    Equal scores are ordered by row index, lowest first; chunks must come in the order of their rows, at any size. A
    score of −inf or NaN is never among the best: where fewer than k are left, rows are −1 and scores −inf.
    """

    def __init__(self, m: int, k: int) -> None:
        self._scores = np.full((m, k), -np.inf, dtype=np.float64)
        self._rows = np.full((m, k), -1, dtype=np.int64)
        self._next = np.zeros(m, dtype=np.int64)

    def update(self, scores: Float[np.ndarray, "b c"], first_row: int, rows: slice = slice(None)) -> None:
        """Take one chunk in.

        Args:
            scores: Scores of c entities for a block of b mentions.
            first_row: Row of the chunk's first entity.
            rows: Which mentions the block holds; all of them by default.

        Raises:
            InputError: The chunk lies before one that was taken in already.
        """
        if np.any(self._next[rows] > first_row):
            raise InputError(f"chunk of row {first_row} comes too late", "feed chunks in the order of their rows")
        self._next[rows] = first_row + scores.shape[1]
        values, places = _above(scores, self._scores[rows, -1])
        values = np.concatenate([self._scores[rows], values], axis=1)
        places = np.concatenate([self._rows[rows], places + first_row], axis=1)
        kept = _best(values, self._scores.shape[1])
        values = np.take_along_axis(values, kept, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        self._scores[rows] = np.take_along_axis(values, order, axis=1)
        found = np.take_along_axis(np.take_along_axis(places, kept, axis=1), order, axis=1)
        self._rows[rows] = np.where(np.isneginf(self._scores[rows]), -1, found)

    def rows(self) -> Int64[np.ndarray, "m k"]:
        """Return the rows, best first."""
        return self._rows.copy()

    def scores(self) -> Float64[np.ndarray, "m k"]:
        """Return their scores."""
        return self._scores.copy()


def _above(scores: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores above each row's bound and their columns, in column order, padded with −inf on the right."""
    of, columns = np.nonzero(scores > bounds[:, None])
    counts = np.bincount(of, minlength=len(scores))
    slots = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    values = np.full((len(scores), int(counts.max(initial=0))), -np.inf)
    places = np.zeros(values.shape, dtype=np.int64)
    values[of, slots], places[of, slots] = scores[of, columns], columns
    return values, places


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k highest scores of each row in column order; equal ones are taken from the left."""
    place = scores.shape[1] - k
    bound = np.partition(scores, place, axis=1)[:, place, None]
    keep = scores >= bound
    (crowded,) = np.nonzero(np.count_nonzero(keep, axis=1) > k)
    if len(crowded):
        some, edge = scores[crowded], bound[crowded]
        room = k - np.count_nonzero(some > edge, axis=1)
        tied = some == edge
        keep[crowded] &= ~(tied & (np.cumsum(tied, axis=1) > room[:, None]))
    return np.nonzero(keep)[1].reshape(len(scores), k)


def _ranked_last(scores: np.ndarray) -> np.ndarray:
    """Return the scores with NaN as −inf; the array itself when it holds none (the minimum tells, without a mask)."""
    if scores.size == 0 or not np.isnan(scores.min()):
        return scores
    return np.where(np.isnan(scores), -np.inf, scores)


def _same(again: np.ndarray, before: np.ndarray) -> None:
    finite = np.isfinite(again) & np.isfinite(before)
    apart = np.abs(again[finite] - before[finite]) > _TOLERANCE * (1 + np.abs(before[finite]))
    if apart.any() or np.any(np.isfinite(again) != np.isfinite(before)):
        raise InputError(
            "gold scored differently in the two passes over the knowledge base",
            "make sure that the scorer depends on the pair alone, not on the other entities of the chunk",
        )


def share_of(ties: str) -> float:
    """Return how much of each tie counts before gold.

    Raises:
        InputError: An unknown tie rule.
    """
    if ties not in _SHARE:
        raise InputError(f"unknown tie rule {ties!r}", f"choose one of: {', '.join(get_args(Ties))}")
    return _SHARE[ties]
