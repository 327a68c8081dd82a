"""Approximate ranking: the part of the total that is a product of vectors finds a few, the whole total orders them.

How often the exact best entity is found is measured on a sample, and belongs beside every figure obtained this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from melink import progress
from melink.methods.pairwise import Pairwise
from melink.ranking.certified import BUDGET, DIGITS, RELATIVE, Found, Ranking, certified, decide
from melink.ranking.kept import Kept
from melink.ranking.ranks import share_of
from melink.ranking.singly import singly
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
    ties: Any = "mean",
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
            found = torch.topk(rough, size, dim=1).indices.sort(1).values
            work = partial(_ordered, method, kept, side, found, rough, gold[start:stop], k)
            for place, best in enumerate(singly(work, range(len(found)), method.device)):
                rows, own = found[place], int(gold[start + place])
                out.rows[start + place], out.scores[start + place] = rows.cpu().numpy()[best.rows], best.scores
                if bool((rows == own).any()):
                    out.ranks[start + place] = 1 + best.greater + best.equal * share_of(ties)
                out.scored.append(best.scored)
            advance(stop - start)
    if sample and m:
        chosen = np.random.default_rng(0).permutation(m)[:sample]
        exact = certified(method, kept, [mentions[int(c)] for c in chosen], np.full(len(chosen), -1), 1)
        out.recall = float(np.mean(exact.rows[:, 0] == out.rows[chosen, 0]))
    return out


def _ordered(
    method: Pairwise, kept: Kept, side: Any, found: Tensor, rough: Tensor, golds: np.ndarray, k: int, m: int
) -> Found:
    """Order one mention's shortlist by the whole total; what cannot matter is left unscored, as in a full ranking."""
    rows = found[m]
    more, reach = method.refined(side, m, kept.some(rows, method.refining))
    middle, reach = rough[m, rows] + more, reach * (1 + RELATIVE)
    (at,) = torch.nonzero(rows == int(golds[m]), as_tuple=True)

    def score(places: Tensor) -> Tensor:
        remainder = method.exactly(side, m, kept.some(rows[places]))
        return torch.round(middle[places] + remainder, decimals=DIGITS)

    def everything(places: Tensor) -> tuple[Tensor, Tensor]:
        return -reach[places], reach[places]

    best = decide(middle, reach, int(at[0]) if len(at) else -1, k, score, everything, most=1.0)
    assert best is not None
    return best
