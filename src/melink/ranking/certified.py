"""Certified ranking: the same top k and the same ranks as scoring everything, scoring only what could still matter.

The total of a pair lies in middle ± reach (:class:`~melink.methods.pairwise.Bounds`), and closer still in the range
that ``tightened`` gives. For a mention let τ be the k-th best *exact* total among a few entities with the highest
middles. An entity whose upper bound lies below τ is worse than k others, so it is not among the top k: leaving it
unscored changes nothing. An entity whose upper bound lies below gold's exact total does not count before gold, one
whose lower bound lies above does; only those in between are scored. Bounds are widened by a margin for 32-bit
arithmetic. Where they rule out too little, the mention is scored with everything, as
:meth:`~melink.methods.pairwise.Pairwise.densely` does.

Entities stream in chunks; of a block of mentions, middles are held, at most ``BUDGET`` of them. docs/ranking.md has the
proof.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from melink import progress
from melink.methods.pairwise import Pairwise
from melink.ranking.full import Counts
from melink.ranking.kept import CHUNK, Kept
from melink.ranking.ranks import RankCounter, TopK, share_of
from melink.ranking.singly import singly
from melink.records import Mention

BUDGET: Final = 1 << 26
"""Middles held at once: 256 MiB."""
MARGIN: Final = 1e-3
"""By how much bounds are widened."""
RELATIVE: Final = 1e-5
"""And by how much of the score, and of the reach, that 32-bit sums of a thousand products may lose."""
DENSE: Final = 0.15
"""Share of the entities from which on scoring them singly is slower than scoring all of them together."""
PROBE: Final = 16
"""Entities scored beyond k to find τ."""
FEW: Final = 64
"""So many entities are scored rather than bounded again."""
DIGITS: Final = 4
"""To which scores are rounded, so that equal entities tie."""


@dataclass
class Ranking:
    """The best entities of each mention, and the rank of its gold.

    Attributes:
        rows: Best first, equal scores by row; −1 where fewer are left.
        scores: Their totals; −inf there.
        ranks: Of gold; NaN where there is none.
        scored: Pairs scored in full.
        pairs: All pairs.
        dense: Mentions whose bounds ruled out too little.
        recall: Of an approximate ranking: the share of a sample whose exact best it found.
    """

    rows: Int64[np.ndarray, "m k"]
    scores: Float64[np.ndarray, "m k"]
    ranks: Float64[np.ndarray, " m"]
    scored: list[int] = field(default_factory=list)
    pairs: int = 0
    dense: int = 0
    recall: float | None = None


Score = Callable[[Tensor], Tensor]
Tighten = Callable[[Tensor], tuple[Tensor, Tensor]]


class Found(NamedTuple):
    """What one mention came to: its best rows, what stands above gold, beside it, and how many were scored."""

    rows: np.ndarray
    scores: np.ndarray
    greater: int
    equal: int
    scored: int


def certified(
    method: Pairwise,
    kept: Kept,
    mentions: Sequence[Mention],
    gold: Int64[np.ndarray, " m"],
    k: int,
    ties: Any = "mean",
    prune: bool = True,
) -> Ranking:
    """Rank the whole knowledge base for each mention, exactly.

    Args:
        method: Scores.
        kept: Terms of every entity.
        mentions: Any number.
        gold: Row of each mention's gold, −1 where it is not asked for.
        k: How many of the best are wanted.
        ties: Tie rule of ranks (:mod:`melink.ranking.ranks`).
        prune: Rule out by bounds; False scores everything.
    """
    k = min(k, len(kept))
    share = share_of(ties)
    out = Ranking(np.full((len(mentions), k), -1), np.full((len(mentions), k), -np.inf), np.full(len(mentions), np.nan))
    out.pairs = len(mentions) * len(kept)
    size = max(1, min(len(mentions), BUDGET // max(1, len(kept))))
    with progress.task("ranking the knowledge base", len(mentions), "mentions") as advance:
        for start in range(0, len(mentions), size):
            rows = np.arange(start, min(start + size, len(mentions)))
            block = _Block(method, kept, mentions[start : start + size], gold[rows], k)
            found: list[Found | None] = block.pruned() if prune else [None] * len(rows)
            rest = [m for m, own in enumerate(found) if own is None]
            for m, own in enumerate(found):
                if own is not None:
                    out.rows[rows[m]], out.scores[rows[m]] = own.rows, own.scores
                    if gold[rows[m]] >= 0:
                        out.ranks[rows[m]] = 1 + own.greater + own.equal * share
                    out.scored.append(own.scored)
            if rest:
                counts = block.dense(rest)
                out.rows[rows[rest]], out.scores[rows[rest]] = counts.best.rows(), counts.best.scores()
                out.ranks[rows[rest]] = counts.counter.ranks(ties)
                out.scored += [len(kept)] * len(rest)
                out.dense += len(rest)
            advance(len(rows))
    return out


class _Block:
    """Some mentions and the middles of all their pairs."""

    def __init__(
        self, method: Pairwise, kept: Kept, mentions: Sequence[Mention], gold: Int64[np.ndarray, " b"], k: int
    ) -> None:
        self.method, self.kept, self.mentions, self.gold, self.k = method, kept, mentions, gold, k
        self.side = method.mentions(mentions)
        self.middle = torch.empty(len(mentions), len(kept), device=method.device)
        self.reach = torch.empty(0)
        for start, stop in kept.chunks():
            middle, reach = method.bounded(self.side, kept.chunk(start, stop, light=True))
            if len(self.reach) != len(reach):
                self.reach = torch.empty(len(reach), len(kept), device=method.device)
            self.middle[:, start:stop], self.reach[:, start:stop] = middle, reach * (1 + RELATIVE)

    def pruned(self) -> list[Found | None]:
        """Return what each mention came to by bounds, None where they rule out too little."""
        return singly(self._one, range(len(self.middle)), self.method.device)

    def dense(self, which: Sequence[int]) -> Counts:
        """Score some of the mentions with everything."""
        side = self.method.mentions([self.mentions[m] for m in which])
        gold = self.gold[which]
        own = [
            float(self._exact(m, torch.tensor([g]))[0]) if g >= 0 else np.nan for m, g in zip(which, gold, strict=True)
        ]
        counts = Counts(RankCounter(np.asarray(own, dtype=np.float32)), TopK(len(which), self.k), gold)
        for start, stop in self.kept.chunks():
            remainder = self.method.densely(side, self.kept.chunk(start, stop, names=False))
            scores = torch.round(self.middle[which, start:stop] + remainder, decimals=DIGITS)
            counts.update(scores.cpu().numpy(), start, slice(None))
        return counts

    def _one(self, m: int) -> Found | None:
        def score(rows: Tensor) -> Tensor:
            return self._exact(m, rows)

        def tighten(rows: Tensor) -> tuple[Tensor, Tensor]:
            return self.method.tightened(self.side, m, self.kept.some(rows, light=True))

        reach = self.reach[m if len(self.reach) > 1 else 0]
        return decide(self.middle[m], reach, int(self.gold[m]), self.k, score, tighten, DENSE)

    def _exact(self, m: int, rows: Tensor) -> Tensor:
        """Return the totals of one mention and some entities, rounded."""
        if not len(rows):
            return self.middle.new_zeros(0)
        pieces = [
            self.middle[m, some] + self.method.exactly(self.side, m, self.kept.some(some)) for some in rows.split(CHUNK)
        ]
        return torch.round(torch.cat(pieces), decimals=DIGITS)


def decide(
    middle: Float[Tensor, " n"],
    reach: Float[Tensor, " n"],
    gold: int,
    k: int,
    score: Score,
    tighten: Tighten,
    most: float,
) -> Found | None:
    """Return what one mention comes to, scoring only what could matter; None where that is too much.

    Args:
        middle: Totals without their remainder.
        reach: How large the remainder can be, widened for 32-bit arithmetic.
        gold: Place of gold, −1 where there is none.
        k: How many of the best are wanted, at most n.
        score: Gives the rounded totals of some places.
        tighten: Gives closer bounds of their remainder.
        most: Share of the places that is too much.
    """
    probe = torch.topk(middle, min(len(middle), k + PROBE)).indices
    if gold >= 0 and not bool((probe == gold).any()):
        probe = torch.cat([probe, probe.new_tensor([gold])])
    probed = score(probe)
    aim = float(torch.topk(probed, k).values[-1])
    own = float(probed[probe == gold][0]) if gold >= 0 else float("inf")
    slack = MARGIN + RELATIVE * max(abs(aim), abs(own) if gold >= 0 else 0.0)
    open_, above = _open(middle - reach, middle + reach, aim, own, slack)
    open_[probe], above[probe] = False, False
    greater = int(above.sum())
    (rows,) = torch.nonzero(open_, as_tuple=True)
    if len(rows) > FEW:
        low, high = tighten(rows)
        more = RELATIVE * reach[rows]
        still, above = _open(middle[rows] + low - more, middle[rows] + high + more, aim, own, slack)
        greater, rows = greater + int(above.sum()), rows[still]
    if len(rows) > max(FEW, most * len(middle)):
        return None
    rows, scores = torch.cat([probe, rows]), torch.cat([probed, score(rows)])
    greater += int((scores > own).sum())
    equal = int((scores == own).sum()) - (gold >= 0)
    order = np.lexsort((rows.cpu().numpy(), -scores.cpu().numpy()))[:k]
    return Found(rows.cpu().numpy()[order], scores.cpu().numpy()[order], greater, equal, len(rows))


def _open(low: Tensor, high: Tensor, aim: float, own: float, slack: float) -> tuple[Tensor, Tensor]:
    """Return which entities must be scored, and which of the others surely lie above gold."""
    open_ = (high >= aim - slack) | ((high >= own - slack) & (low <= own + slack))
    return open_, (low > own + slack) & ~open_
