"""The exact pass over everything, for any method: chunks of entities outside, blocks of mentions inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int64

from melink import progress
from melink.kb.view import EntityView
from melink.methods.base import Method, total
from melink.ranking.ranks import RankCounter, TopK
from melink.records import Mention

CHUNK: Final = 8192
"""Entities scored at once; memory grows with CHUNK × BLOCK, never with the knowledge base."""
BLOCK: Final = 256
"""Mentions scored at once."""


@dataclass
class Counts:
    """What is known of each gold's rank, and the best rows so far.

    Attributes:
        counter: Counts entities above gold.
        best: The best rows.
        gold: Row of each mention's gold, −1 where it has none.
    """

    counter: RankCounter
    best: TopK
    gold: Int64[np.ndarray, " m"]

    def update(self, scores: Float[np.ndarray, "b c"], start: int, rows: Any) -> None:
        """Take in the scores of a chunk that begins at row ``start``, for some of the mentions."""
        gold = self.gold[rows]
        inside = np.where((gold >= start) & (gold < start + scores.shape[1]), gold - start, -1)
        self.counter.update(scores, inside, rows)
        self.best.update(scores, start, rows)


def rank_all(
    method: Method, view: EntityView, mentions: Sequence[Mention], gold: Int64[np.ndarray, " m"], k: int
) -> Counts:
    """Score every mention with every entity.

    Two passes: the first scores each gold, the second counts the entities above it and keeps a running top k.

    Args:
        method: Scores.
        view: Every entity.
        mentions: Any number.
        gold: Row of each mention's gold, −1 where it is not asked for.
        k: How many of the best are kept.
    """
    sides = [method.mentions(mentions[start : start + BLOCK]) for start in range(0, len(mentions), BLOCK)]
    counts = Counts(RankCounter(_gold_scores(method, view, sides, gold)), TopK(len(mentions), min(k, len(view))), gold)
    with progress.task("ranking the knowledge base", len(view) * len(mentions), "pairs") as advance:
        for start in range(0, len(view), CHUNK):
            entities = method.entities(view.slice(start, min(start + CHUNK, len(view))))
            for block, side in enumerate(sides):
                scores = total(method.score(side, entities))
                counts.update(scores, start, slice(block * BLOCK, min((block + 1) * BLOCK, len(mentions))))
                advance(scores.size)
    return counts


def _gold_scores(method: Method, view: EntityView, sides: Sequence[Any], gold: np.ndarray) -> np.ndarray:
    scores = np.full(len(gold), np.nan, dtype=np.float32)
    for block, side in enumerate(sides):
        rows = gold[block * BLOCK : (block + 1) * BLOCK]
        own = np.flatnonzero(rows >= 0)
        if len(own):
            entities = method.entities(view.take(rows[own]))
            scores[block * BLOCK + own] = total(method.score(side, entities))[own, np.arange(len(own))]
    return scores
