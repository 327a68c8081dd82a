"""Drives a linker over labelled mentions: exact ranks over the whole knowledge base, or within candidate lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from melink import progress
from melink.candidates.base import Candidates
from melink.candidates.inject import inject_gold
from melink.evaluate.outcome import Outcome
from melink.linker import BATCH, Linker
from melink.methods.pairwise import Pairwise
from melink.ranking.rank import rank
from melink.ranking.ranks import rank_of
from melink.records import NIL, Labelled

Ties = Literal["mean", "optimistic", "pessimistic"]
KEPT = 10
"""Candidates kept for each mention in the outcome."""


@dataclass(frozen=True)
class Ranked:
    """Ranks of gold (None: gold is not among the candidates) and the candidates on top.

    ``injected`` counts the lists that gold was put into; their candidate recall says nothing. ``recall`` is that of an
    approximate ranking: the share of a sample whose exact best entity it found.
    """

    ranks: list[float | None]
    top: Candidates
    sizes: list[int]
    injected: int = 0
    recall: float | None = None


def kept(linker: Linker) -> int:
    """Return how many candidates of each mention an outcome carries: all that a reranker looks at."""
    return KEPT if linker.reranker is None else max(KEPT, linker.reranker.scope.k)


def rank_full(linker: Linker, samples: Sequence[Labelled], ties: Ties = "mean", shortlist: int | None = None) -> Ranked:
    """Rank the whole knowledge base for each mention, exactly (:mod:`melink.ranking.rank`).

    Args:
        linker: Whose method ranks.
        samples: Mentions with gold.
        ties: Tie rule.
        shortlist: Approximately, by a shortlist of so many; gold outside of it has no rank.
    """
    view = linker.kb.view()
    gold = view.rows([sample.gold or "" for sample in samples])
    mentions = [sample.mention for sample in samples]
    least = kept(linker)
    k = least if isinstance(linker.method, Pairwise) else max(linker.run.k, least)  # fewer best, fewer pairs to score
    found = rank(linker.method, linker.kb, mentions, k, gold, ties, shortlist)
    known: list[float | None] = [None if np.isnan(place) else float(place) for place in found.ranks]
    top = Candidates(tuple(tuple(view.ids[row] for row in rows if row >= 0) for rows in found.rows))
    sizes = [len(view) if shortlist is None else min(shortlist, len(view))] * len(samples)
    return Ranked(known, top, sizes, recall=found.recall)


def rank_candidates(
    linker: Linker, samples: Sequence[Labelled], k: int, ties: Ties = "mean", inject: bool = False
) -> Ranked:
    """Rank each mention's own ``k`` candidates; gold that is not among them has no rank.

    Args:
        inject: Put missing gold into the list (protocols B and C only; the protocol says so).
    """
    ranks: list[float | None] = []
    ids, sources, injected = [], [], 0
    view = linker.kb.view()
    with progress.task("ranking candidates", len(samples), "mentions") as advance:
        for batch in (samples[start : start + BATCH] for start in range(0, len(samples), BATCH)):
            mentions = [sample.mention for sample in batch]
            found = linker.candidates(mentions, k)
            if inject:
                golds = [s.gold if view.row(s.gold or "") is not None else None for s in batch]
                found, added = inject_gold(found, golds)
                injected += added
            board = linker.board(mentions, found)
            for m, sample in enumerate(batch):
                order = [board.view.ids[column] for column in board.ranked[m]]
                scores = board.totals[m, board.ranked[m]]
                ranks.append(rank_of(scores, order.index(sample.gold), ties) if sample.gold in order else None)
                ids.append(tuple(order))
            sources += list(found.sources)
            advance(len(batch))
    return Ranked(ranks, Candidates(tuple(ids), tuple(sources)), [len(row) for row in ids], injected)


def outcomes(linker: Linker, samples: Sequence[Labelled], ranked: Ranked) -> list[Outcome]:
    """Attach links, with parts and evidence, to the ranks: those of the retrieval, before any reranker."""
    view, top = linker.kb.view(), kept(linker)
    found: list[Outcome] = []
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        mentions = [sample.mention for sample in batch]
        own = Candidates(ranked.top.ids[start : start + BATCH], ranked.top.sources[start : start + BATCH])
        inside = [sample.gold is not None and view.row(sample.gold) is not None for sample in batch]
        asked = [(sample.gold,) if known and sample.gold else () for sample, known in zip(batch, inside, strict=True)]
        links = linker.rank(mentions, own, top)
        golds = linker.rank(mentions, Candidates(tuple(asked)), 1)
        for offset, (sample, link, gold) in enumerate(zip(batch, links, golds, strict=True)):
            place = start + offset
            answer = None if sample.gold is None else sample.gold if inside[offset] else NIL
            scored = gold.candidates[0] if gold.candidates else None
            rank, size = ranked.ranks[place], ranked.sizes[place]
            said = sample.extra.get("sentence_id")
            sentence = None if said is None else str(said)
            found.append(Outcome(sample.mention, answer, inside[offset], rank, size, link, scored, sentence=sentence))
    return found
