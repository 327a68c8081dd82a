"""What a reranker did to an evaluation: ranks and figures before and after, and how gold moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from melink.evaluate.gate import Both, asked_curve
from melink.evaluate.outcome import Outcome
from melink.kb.store import KnowledgeBase
from melink.ranking.ranks import Ties
from melink.records import Link
from melink.rerank.again import KEY, Count, look_again
from melink.rerank.base import Reranker

_TIE: Final = {"mean": 0.5, "optimistic": 0.0, "pessimistic": 1.0}
_MOST: Final = 8
"""Ranks that have a row of their own in the matrix."""


def reranked(reranker: Reranker, outcomes: Sequence[Outcome], kb: KnowledgeBase, ties: Ties = "mean") -> list[Outcome]:
    """Return the outcomes with the order and the ranks that a reranker gives; it sees links only, never gold."""
    links = look_again(reranker, [outcome.link for outcome in outcomes], kb)
    pairs = zip(outcomes, links, strict=True)
    return [replace(outcome, link=link, rank=rank_after(outcome, link, ties)) for outcome, link in pairs]


def rank_after(before: Outcome, link: Link, ties: Ties = "mean") -> float | None:
    """Return the rank of gold after a reranker named some of the first candidates.

    Named, gold has the place at which it is named. Else everybody who is named stands before it: those that the scores
    put behind it push it back by one, those with the same score by what the tie rule had not counted. Ties among
    candidates that nobody named stay ties.

    Args:
        before: The outcome of the retrieval.
        link: The link after the reranker.
        ties: Tie rule of ``before.rank``.
    """
    named = link.evidence.get(KEY, {}).get("named", ())
    if before.rank is None or not named:
        return before.rank
    if before.gold in named:
        return float(named.index(before.gold) + 1)
    scores = {candidate.id: candidate.score for candidate in before.link.candidates}
    own = scores.get(before.gold or "")
    if own is None:  # behind all that were shown
        return before.rank
    ahead = [1.0 if scores[id] > own else _TIE[ties] if scores[id] == own else 0.0 for id in named]
    return before.rank + sum(1 - share for share in ahead)


def block(
    reranker: Reranker,
    before: Mapping[str, Any],
    outcomes: tuple[Sequence[Outcome], Sequence[Outcome]],
    seconds: float,
) -> dict[str, Any]:
    """Return what a result says under ``rerank``.

    Args:
        reranker: Who was asked.
        before: The result of the retrieval alone.
        outcomes: Before and after, the same mentions.
        seconds: How long it took.
    """
    count = Count()
    count.add(outcome.link for outcome in outcomes[1])
    usage = reranker.usage()
    asked = max(count.asked, 1)
    tokens = {name: usage[name] / asked for name in ("tokens_in", "tokens_out") if name in usage}
    return {
        "by": reranker.label,
        "k": reranker.scope.k,
        "before": {
            "overall": before["overall"],
            "slices": before["slices"],
            "rank": before["mentions"]["rank"],
        },
        "counts": count.to_dict(),
        "per_mention": {"seconds": seconds / asked, **tokens},
        "usage": usage,
        "matrix": matrix(*outcomes, reranker.scope.k),
        "asked_curve": [] if count.passed_over["sure"] else asked_curve(Both.of(*outcomes)),
    }


def matrix(before: Sequence[Outcome], after: Sequence[Outcome], k: int) -> dict[str, Any]:
    """Count linkable mentions by the rank of gold before (rows) and after (columns).

    A rank between two, as ties make it, counts as the worse, as hits@k do.

    Args:
        before: Outcomes of the retrieval.
        after: The same mentions after a reranker.
        k: Candidates that it looked at; ranks up to there (at most 8) have a class of their own.
    """
    edges = [float(rank) for rank in range(1, min(k, _MOST) + 1)]
    names = [f"{edge:.0f}" for edge in edges]
    if k > _MOST:
        edges.append(float(k))
        names.append(f"{_MOST + 1}–{k}" if k > _MOST + 1 else f"{k}")
    names += [f"> {k}", "miss"]

    def place(rank: float | None) -> int:
        if rank is None:
            return len(names) - 1
        return next((at for at, edge in enumerate(edges) if math.ceil(rank) <= edge), len(edges))

    counts = [[0] * len(names) for _ in names]
    for one, other in zip(before, after, strict=True):
        if one.linkable:
            counts[place(one.rank)][place(other.rank)] += 1
    return {"ranks": names, "counts": counts}
