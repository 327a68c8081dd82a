"""Drives a linker over labelled mentions: exact ranks over the whole knowledge base, or within candidate lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from melink import progress
from melink.candidates.base import Candidates
from melink.candidates.inject import inject_gold
from melink.evaluate.outcome import Outcome
from melink.evaluate.ranks import RankCounter, TopK, rank_of
from melink.kb.view import EntityView
from melink.linker import BATCH, Linker
from melink.methods.base import total
from melink.records import NIL, Labelled, Mention

CHUNK = 8192
"""Entities scored at once; memory grows with CHUNK × BLOCK, never with the knowledge base."""
BLOCK = 256
"""Mentions scored at once."""
Ties = Literal["mean", "optimistic", "pessimistic"]
KEPT = 10
"""Candidates kept for each mention in the outcome."""


@dataclass(frozen=True)
class Ranked:
    """Ranks of gold (None: gold is not among the candidates) and the candidates on top.

    ``injected`` counts the lists that gold was put into; their candidate recall says nothing.
    """

    ranks: list[float | None]
    top: Candidates
    sizes: list[int]
    injected: int = 0


def rank_full(linker: Linker, samples: Sequence[Labelled], ties: Ties = "mean") -> Ranked:
    """Rank the whole knowledge base for each mention, exactly, streamed over entity chunks.

    Two passes: the first scores each gold, the second counts the entities above it and keeps a running top k.
    """
    view, method = linker.kb.view(), linker.method
    method.warm(view)
    mentions = [sample.mention for sample in samples]
    sides = [method.mentions(block) for block in _blocks(mentions)]
    gold = view.rows([sample.gold or "" for sample in samples])
    counter = RankCounter(_gold_scores(linker, view, sides, gold))
    best = TopK(len(samples), min(linker.run.k, len(view)))
    with progress.task("ranking the knowledge base", len(view) * len(samples), "pairs") as advance:
        for start in range(0, len(view), CHUNK):
            stop = min(start + CHUNK, len(view))
            entities = method.entities(view.slice(start, stop))
            for block, side in enumerate(sides):
                rows = slice(block * BLOCK, min((block + 1) * BLOCK, len(samples)))
                scores = total(method.score(side, entities))
                inside = np.where((gold[rows] >= start) & (gold[rows] < stop), gold[rows] - start, -1)
                counter.update(scores, inside, rows)
                best.update(scores, start, rows)
                advance(scores.size)
    ranks = counter.ranks(ties)
    known: list[float | None] = [float(rank) if row >= 0 else None for rank, row in zip(ranks, gold, strict=True)]
    top = Candidates(tuple(tuple(view.ids[row] for row in rows if row >= 0) for rows in best.rows()))
    return Ranked(known, top, [len(view)] * len(samples))


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
    """Attach links, with parts and evidence, to the ranks."""
    view = linker.kb.view()
    found: list[Outcome] = []
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        mentions = [sample.mention for sample in batch]
        own = Candidates(ranked.top.ids[start : start + BATCH], ranked.top.sources[start : start + BATCH])
        inside = [sample.gold is not None and view.row(sample.gold) is not None for sample in batch]
        asked = [(sample.gold,) if known and sample.gold else () for sample, known in zip(batch, inside, strict=True)]
        links = linker.rank(mentions, own, KEPT)
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


def _gold_scores(linker: Linker, view: EntityView, sides: Sequence[Any], gold: np.ndarray) -> np.ndarray:
    scores = np.full(len(gold), np.nan, dtype=np.float32)
    for block, side in enumerate(sides):
        rows = gold[block * BLOCK : (block + 1) * BLOCK]
        own = np.flatnonzero(rows >= 0)
        if len(own):
            entities = linker.method.entities(view.take(rows[own]))
            scores[block * BLOCK + own] = total(linker.method.score(side, entities))[own, np.arange(len(own))]
    return scores


def _blocks(mentions: Sequence[Mention]) -> list[Sequence[Mention]]:
    return [mentions[start : start + BLOCK] for start in range(0, len(mentions), BLOCK)]
