"""The outcomes that teach most: changed by a reranker, sure and wrong, narrowly wrong, saved by the picture, NIL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from melink.evaluate.decide import decide
from melink.evaluate.outcome import Outcome
from melink.rerank.again import KEY

ABOUT: Final = {
    "Put right by the reranker": "The retrieval was wrong, the second look is right.",
    "Put wrong by the reranker": "The retrieval was right, the second look is not.",
    "Sure and wrong": "The answer given is far ahead of the right one.",
    "Near misses": "The right answer is just behind.",
    "Decided by the image": "Right, and wrong without the picture.",
    "Lost before scoring": "The right answer was not among the candidates.",
    "Should have been NIL": "The right answer is not in the knowledge base, yet one was given.",
    "NIL by mistake": "The right answer is in the knowledge base, yet the answer was NIL.",
}


def instructive(outcomes: Sequence[Outcome], limit: int = 5) -> dict[str, list[Outcome]]:
    """Return groups of at most ``limit`` outcomes under the names of :data:`ABOUT`; empty groups are left out.

    No outcome is in two groups. The order is by margin, then by mention id, so that equal runs show equal pages.
    """
    every = [o for o in outcomes if o.linkable and not o.link.nil and o.link.candidates]
    linked = [o for o in every if not _change(o)]
    wrong = sorted(
        (o for o in linked if not o.correct and o.rank is not None and o.gold_scored is not None),
        key=lambda o: (-margin(o), o.mention.id),
    )
    saved = sorted((o for o in linked if o.correct and _by_image(o) > 0), key=lambda o: (-_by_image(o), o.mention.id))
    near = wrong[::-1][: min(limit, len(wrong) // 2)]
    found = {
        "Put right by the reranker": sorted((o for o in every if _change(o) == "right"), key=_id),
        "Put wrong by the reranker": sorted((o for o in every if _change(o) == "wrong"), key=_id),
        "Sure and wrong": wrong[: len(wrong) - len(near)],
        "Near misses": near,
        "Decided by the image": saved,
        "Lost before scoring": sorted((o for o in outcomes if o.linkable and o.rank is None), key=_id),
        "Should have been NIL": sorted((o for o in outcomes if o.is_nil and not o.correct), key=_id),
        "NIL by mistake": sorted((o for o in outcomes if o.linkable and o.link.nil and o.rank is not None), key=_id),
    }
    return {name: group[:limit] for name, group in found.items() if group}


def margin(outcome: Outcome) -> float:
    """Return how far the answer given lies ahead of the right one; 0 when either has no score."""
    if outcome.gold_scored is None or not outcome.link.candidates:
        return 0.0
    return outcome.link.candidates[0].score - outcome.gold_scored.score


def _change(outcome: Outcome) -> str:
    """Return what a reranker made of the answer: ``right``, ``wrong``, or nothing where that is what it was before."""
    if not outcome.link.evidence.get(KEY, {}).get("changed"):
        return ""
    stayed = [each for each in outcome.link.candidates if "retrieved_at" not in each.evidence]
    before = max(stayed, key=lambda each: each.score).id if stayed else None
    return "right" if outcome.correct else "wrong" if before == outcome.gold else ""


def _by_image(outcome: Outcome) -> float:
    decision = decide(outcome.link)
    return decision.difference if decision.kind in ("image", "cross") and decision.without else 0.0


def _id(outcome: Outcome) -> str:
    return outcome.mention.id
