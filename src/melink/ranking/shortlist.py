"""Approximate ranking: the part of the total that is a product of vectors finds a few, the whole total orders them.

How often the exact best entity is found is measured on a sample, and belongs beside every figure obtained this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from melink import progress
from melink.methods.pairwise import Pairwise
from melink.ranking.certified import BUDGET, DIGITS, Ranking, certified
from melink.ranking.kept import Kept
from melink.ranking.ranks import rank_of
from melink.records import Mention

SAMPLE: Final = 200
"""Mentions that recall is measured on."""


def shortlisted(
    method: Pairwise,
    kept: Kept,
    mentions: Sequence[Mention],
    gold: Int64[np.ndarray, " m"],
    k: int,
    size: int,
    ties: str = "mean",
    sample: int = SAMPLE,
) -> Ranking:
    """Rank only the ``size`` entities of each mention whose vectors match best; gold outside of them has no rank.

    Args:
        method: Scores.
        kept: Terms of every entity.
        mentions: Any number.
        gold: Row of each mention's gold, −1 where it is not asked for.
        k: How many of the best are wanted.
        size: Entities ranked.
        ties: Tie rule of ranks.
        sample: Mentions that are ranked exactly as well, to measure recall; 0 for none.
    """
    size = min(size, len(kept))
    k, m = min(k, size), len(mentions)
    out = Ranking(np.full((m, k), -1), np.full((m, k), -np.inf), np.full(m, np.nan), pairs=m * len(kept))
    block = max(1, min(m, BUDGET // max(1, len(kept))))
    with progress.task("ranking the knowledge base", m, "mentions") as advance:
        for start in range(0, m, block):
            stop = min(start + block, m)
            side = method.mentions(mentions[start:stop])
            rough = torch.empty(stop - start, len(kept), device=method.device)
            for first, last in kept.chunks():
                rough[:, first:last] = method.roughly(side, kept.chunk(first, last, light=True))
            found = torch.topk(rough, size, dim=1)
            for place in range(stop - start):
                rows = found.indices[place].sort().values
                scores = _scores(method, kept, side, place, rows, rough[place, rows])
                _take(out, start + place, rows.cpu().numpy(), scores.cpu().numpy(), int(gold[start + place]), ties)
                out.scored.append(size)
            advance(stop - start)
    if sample and m:
        chosen = np.random.default_rng(0).permutation(m)[:sample]
        exact = certified(method, kept, [mentions[int(c)] for c in chosen], np.full(len(chosen), -1), 1)
        out.recall = float(np.mean(exact.rows[:, 0] == out.rows[chosen, 0]))
    return out


def _scores(method: Pairwise, kept: Kept, side: object, place: int, rows: Tensor, rough: Tensor) -> Tensor:
    """Return the totals of one mention and its shortlist; names are in the rough part already."""
    own, entities = method.taken(side, [place]), kept.all_of(rows)
    middle, _ = method.bounded(own, entities)
    total = rough + (middle - method.roughly(own, entities))[0] + method.exactly(own, 0, entities)
    return torch.round(total, decimals=DIGITS)


def _take(out: Ranking, m: int, rows: np.ndarray, scores: np.ndarray, gold: int, ties: str) -> None:
    order = np.lexsort((rows, -scores))[: out.rows.shape[1]]
    out.rows[m], out.scores[m] = rows[order], scores[order]
    (at,) = np.nonzero(rows == gold)
    if len(at):
        out.ranks[m] = rank_of(scores, int(at[0]), ties)  # type: ignore[arg-type]
