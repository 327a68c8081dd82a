"""Reciprocal-rank fusion: several rankings become one without comparing their scores.

    RRF(e) = Σ_g 1 / (60 + rank_g(e))

Hits that a generator scores alike share the mean of their ranks, so that none gains by its place in a file.
Source: Cormack, Clarke and Büttcher, SIGIR 2009 (k = 60).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from melink.candidates.base import Candidates, Generator, Hits
from melink.records import Mention

RRF_K = 60
DEPTH = 4
"""Each generator is asked for this many times the wanted number: ties and near misses meet in the sum."""


def fused(generators: Sequence[Generator], mentions: Sequence[Mention], k: int) -> Candidates:
    """Ask every generator and fuse their answers.

    Args:
        generators: One or more; with one, its own order is kept.
        mentions: The batch.
        k: How many candidates to keep for each mention.
    """
    found = {generator.name: generator.search(mentions, k * DEPTH) for generator in generators}
    return fuse(found, len(mentions), k)


def fuse(found: Mapping[str, Sequence[Hits]], m: int, k: int) -> Candidates:
    """Fuse rankings already at hand: generator name → hits of each of ``m`` mentions."""
    ids, sources = [], []
    for row in range(m):
        total: dict[str, float] = {}
        where: dict[str, dict[str, int]] = {}
        for name, hits in found.items():
            for place, (id, rank) in enumerate(mean_ranks(hits[row]), start=1):
                total[id] = total.get(id, 0.0) + 1 / (RRF_K + rank)
                where.setdefault(id, {})[name] = place
        kept = sorted(total, key=lambda id: (-total[id], id))[:k]
        ids.append(tuple(kept))
        sources.append({id: where[id] for id in kept})
    return Candidates(tuple(ids), tuple(sources))


def mean_ranks(hits: Hits) -> list[tuple[str, float]]:
    """Return ids with their 1-based ranks, tied scores sharing their mean rank."""
    ranked: list[tuple[str, float]] = []
    start = 0
    while start < len(hits):
        end = start
        while end < len(hits) and hits[end][1] == hits[start][1]:
            end += 1
        ranked += [(id, (start + 1 + end) / 2) for id, _ in hits[start:end]]
        start = end
    return ranked
