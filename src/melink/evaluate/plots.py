"""The plots of an evaluation, from its outcomes; a plot without data is an empty string."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from melink.evaluate import svg
from melink.evaluate.calibration import bins, certainties, coverage
from melink.evaluate.decide import KINDS, decide, kind_of
from melink.evaluate.metrics import as_array
from melink.evaluate.outcome import Outcome
from melink.records import Scored

_DEPTHS: Final = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
_BINS: Final = (
    (1, "1"),
    (2, "2"),
    (3, "3"),
    (5, "4–5"),
    (10, "6–10"),
    (20, "11–20"),
    (100, "21–100"),
    (np.inf, "more"),
)


def hits_curve(outcomes: Sequence[Outcome]) -> str:
    """Return hits@k over k."""
    linkable = [o for o in outcomes if o.linkable]
    if not linkable:
        return ""
    ranks = as_array(o.rank for o in linkable)
    last = max(max(o.n_candidates for o in linkable), 1)
    depths = [k for k in _DEPTHS if k <= last]
    return svg.lines({"hits@k": [(k, float(np.mean(ranks <= k))) for k in depths]}, "k", log_x=True)


def recall_curve(outcomes: Sequence[Outcome]) -> str:
    """Return how often each candidate generator proposed gold among its first k, where sources are known."""
    linkable = [o for o in outcomes if o.linkable]
    sources = [dict(o.gold_scored.sources) if o.gold_scored else {} for o in linkable]
    generators = Counter(name for own in sources for name in own)
    curves = {}
    for name, _ in generators.most_common(4):
        places = as_array(own.get(name) for own in sources)
        deepest = places[np.isfinite(places)].max()
        depths = [k for k in _DEPTHS if k <= max(deepest, 10)]
        curves[name] = [(k, float(np.mean(places <= k))) for k in depths]
    return svg.lines(curves, "first k of the generator", log_x=True)


def rank_histogram(outcomes: Sequence[Outcome]) -> str:
    """Return the shares of ranks of gold in classes, misses apart."""
    linkable = [o for o in outcomes if o.linkable]
    if not linkable:
        return ""
    ranks, low, shares = as_array(o.rank for o in linkable), 0.0, {}
    for high, name in _BINS:
        shares[name] = float(np.mean((ranks > low) & (ranks <= high) & np.isfinite(ranks)))
        low = high
    shares["miss"] = float(np.mean(~np.isfinite(ranks)))
    return svg.columns(shares, {"1": "good", "miss": "poor"})


def contributions(outcomes: Sequence[Outcome]) -> str:
    """Return what each part gives, on average, to the right answer over its best rival; below zero it misleads."""
    gaps: dict[str, float] = {}
    pairs = [(o.gold_scored, _rival(o)) for o in outcomes if o.linkable and o.gold_scored is not None]
    for gold, rival in ((gold, rival) for gold, rival in pairs if rival is not None):
        for part in dict.fromkeys((*gold.parts, *rival.parts)):
            gaps[part] = gaps.get(part, 0.0) + gold.parts.get(part, 0.0) - rival.parts.get(part, 0.0)
    count = sum(rival is not None for _, rival in pairs)
    return svg.rows({part: gap / count for part, gap in gaps.items()}, {part: f"k-{kind_of(part)}" for part in gaps})


def deciders(outcomes: Sequence[Outcome]) -> str:
    """Return how often answers of each decisive kind are right."""
    counts: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for outcome in outcomes:
        kind = decide(outcome.link).kind
        if outcome.labelled and kind in (*KINDS, "rerank", "nil"):
            counts[kind] += 1
            right[kind] += bool(outcome.correct)
    names = {kind: f"{kind} ({counts[kind]})" for kind in counts}
    values = {names[kind]: right[kind] / counts[kind] for kind in (*KINDS, "rerank", "nil") if kind in counts}
    return svg.rows(values, {names[kind]: f"k-{kind}" for kind in counts}, "{:.1%}")


def confidence_curve(outcomes: Sequence[Outcome]) -> str:
    """Return accuracy of the surest share of answers, NIL included (a coverage–accuracy curve)."""
    points = [(round(100 * share), accuracy) for share, accuracy in coverage(*certainties(outcomes))]
    return svg.lines({"accuracy": points}, "surest answers, per cent of all") if len(points) > 1 else ""


def reliability_diagram(outcomes: Sequence[Outcome]) -> str:
    """Return accuracy over confidence, NIL included."""
    return reliability(*certainties(outcomes))


def asked_plot(curves: Mapping[str, svg.Points]) -> str:
    """Return Hits@1 over the share of mentions that rerankers are asked about, in per cent."""
    whole = {name: [(round(share), hits) for share, hits in points] for name, points in curves.items()}
    return svg.lines(whole, "mentions asked about, closest scores first, per cent")


def reliability(certainty: Float64[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> str:
    """Return accuracy over confidence of any answers."""
    return svg.reliability(bins(certainty, right))


def _rival(outcome: Outcome) -> Scored | None:
    return next((each for each in outcome.link.candidates if each.id != outcome.gold), None)
