"""The result of an evaluation as JSON: protocol, figures with intervals, slices, counts, timing."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from melink.evaluate.bootstrap import intervals
from melink.evaluate.calibration import calibration, certainties
from melink.evaluate.mentions import MentionRanks
from melink.evaluate.metrics import summarise
from melink.evaluate.nil import Figures, nil_figures
from melink.evaluate.outcome import Outcome
from melink.evaluate.protocol import Protocol
from melink.evaluate.slices import Slice, automatic
from melink.records import NIL


def build_result(
    outcomes: Sequence[Outcome],
    protocol: Protocol,
    slices: Mapping[str, Slice] | None = None,
    timing: Mapping[str, Any] | None = None,
    passed_over: int = 0,
    train_golds: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return what ``evaluate --json`` writes; every value is plain and finite.

    ``n`` counts linkable mentions: gold is in the knowledge base. Automatic slices (image, NIL, seen entities) stand
    beside the given ones, which win when names collide.

    Args:
        outcomes: Judged mentions, unlabelled ones included.
        protocol: How they came about; its first seed drives the bootstrap.
        slices: Given slices by name.
        timing: Seconds by stage.
        passed_over: Input rows that could not be used.
        train_golds: Gold ids of the training mentions, for seen and unseen entities.
    """
    seed = protocol.seeds[0] if protocol.seeds else 0
    parts = {**automatic(outcomes, train_golds), **(slices or {})}
    measured = {name: measure(part.of(outcomes), protocol.miss_policy, seed) for name, part in parts.items()}
    for name, part in (slices or {}).items():
        measured[name]["unknown_ids"] = part.unknown
    result = {
        "protocol": protocol.to_dict(),
        "overall": measure(outcomes, protocol.miss_policy, seed),
        "slices": measured,
        "mentions": MentionRanks.of(outcomes, parts).to_dict(),
        "counts": _counts(outcomes, passed_over),
        "timing": {**_mention_times(outcomes), **(timing or {})},
    }
    plain: dict[str, Any] = to_plain(result)
    return plain


def measure(outcomes: Sequence[Outcome], miss_policy: str = "miss", seed: int = 0) -> dict[str, Any]:
    """Return ranking figures, their 95% intervals, NIL and calibration figures of some mentions.

    Args:
        outcomes: Judged mentions; unlabelled ones count nowhere.
        miss_policy: ``drop`` leaves misses out of every figure but ``candidate_recall``.
        seed: Of the bootstrap.
    """
    counted = [outcome for outcome in outcomes if outcome.linkable]
    recall = summarise(outcome.rank for outcome in counted)["candidate_recall"]
    if miss_policy == "drop":
        counted = [outcome for outcome in counted if outcome.rank is not None]
    ranks = [outcome.rank for outcome in counted]
    figures = {**summarise(ranks), "candidate_recall": recall}
    spread = intervals(ranks, seed, [outcome.sentence for outcome in counted])
    nil, sure = _nil([o for o in outcomes if o.labelled]), calibration(*certainties(outcomes))
    return {**figures, "nil": nil, "calibration": sure, "ci95": spread}


def nil_score(outcome: Outcome) -> float:
    """Return how likely NIL is: the linker's own figure where it gave one, else minus the best score."""
    link = outcome.link
    own = link.evidence.get("nil_probability")
    if own is not None:
        return float(own)
    if link.probability is not None:
        return link.probability if link.nil else 1 - link.probability
    return -link.candidates[0].score if link.candidates else math.inf


def to_plain(value: Any) -> Any:
    """Return plain values for JSON: numpy scalars unpacked, what is not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _nil(outcomes: Sequence[Outcome]) -> Figures:
    return nil_figures(
        np.array([o.is_nil for o in outcomes], dtype=bool),
        np.array([nil_score(o) for o in outcomes], dtype=np.float64),
        np.array([o.link.id == NIL for o in outcomes], dtype=bool),
        np.array([bool(o.correct) for o in outcomes], dtype=bool),
    )


def _counts(outcomes: Sequence[Outcome], passed_over: int) -> dict[str, int]:
    return {
        "mentions": len(outcomes),
        "linkable": sum(o.linkable for o in outcomes),
        "nil": sum(o.is_nil for o in outcomes),
        "unlabelled": sum(not o.labelled for o in outcomes),
        "passed_over": passed_over,
    }


def _mention_times(outcomes: Sequence[Outcome]) -> dict[str, float]:
    seconds = [o.seconds for o in outcomes if o.seconds > 0]
    if not seconds:
        return {}
    middle, tail = np.percentile(seconds, [50, 95])
    return {"mention_p50": float(middle), "mention_p95": float(tail)}
