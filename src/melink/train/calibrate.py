"""Fits any method's confidence on validation mentions: temperature, NIL score, curve and NIL threshold.

The curve is kept where it validates better than temperature alone: a lower Brier score of the answers, cross-validated.
Folds keep sentences whole, since mentions of one sentence resemble each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from melink.evaluate import plots, svg
from melink.evaluate.calibration import brier, ece
from melink.linker import Linker
from melink.methods.confidence import Confidence, spread
from melink.records import Labelled
from melink.train.answers import Answers, collect, numbered
from melink.train.estimates import fit_curve, fit_temperature, fit_threshold

FOLDS: Final = 5


@dataclass(frozen=True)
class Calibrated:
    """What came of a calibration.

    Attributes:
        confidence: Fitted; the one given when there was nothing to fit on.
        metrics: Figures for a person and the model card.
        reliability: Reliability diagram of the answers as an SVG file, held out where that could be; empty without any.
    """

    confidence: Confidence
    metrics: dict[str, Any]
    reliability: str


class Judged(NamedTuple):
    """Answers that a confidence gives: whether NIL, how sure, and whether right."""

    is_nil: Bool[np.ndarray, " m"]
    certainty: Float64[np.ndarray, " m"]
    right: Bool[np.ndarray, " m"]


def calibrate(linker: Linker, samples: Sequence[Labelled]) -> Calibrated:
    """Score the candidates of labelled mentions and fit the linker's confidence to them.

    Mentions whose gold is in the knowledge base but not among the candidates are left out and counted.

    Raises:
        InputError: No mention has gold.
    """
    answers, lost = collect(linker, samples)
    return calibrate_answers(answers, linker.method.confidence, lost)


def calibrate_answers(answers: Answers, start: Confidence, lost: int = 0) -> Calibrated:
    """Fit a confidence to scores.

    Args:
        answers: Scores and gold of validation mentions.
        start: What to begin with; its ``objective`` says what the threshold is for.
        lost: How many mentions were left out, for the metrics.
    """
    metrics: dict[str, Any] = {"validation mentions used": len(answers), "left out, gold not a candidate": lost}
    if not len(answers):
        return Calibrated(start, metrics, "")
    plain, curved = fit_both(answers, start)
    held = cross_validated(answers, start)
    bends = held is not None and _brier(held[1]) < _brier(held[0])
    found = curved if bends else plain
    shown = judge(answers, found) if held is None else held[bends]
    metrics["calibration"] = f"{'isotonic' if bends else 'temperature'} ({'not ' * (held is None)}cross-validated)"
    cases = {"before": judge(answers, start), "fitted": judge(answers, found)}
    if held is not None:
        cases["cross-validated"] = shown
        metrics["folds"] = f"{_folds(answers)}, by {answers.grouped_by}"
        metrics["Brier score, temperature"] = _rounded(_brier(held[0]))
        metrics["Brier score, isotonic"] = _rounded(_brier(held[1]))
    metrics |= {f"ECE of answers, {name}": _rounded(ece(own.certainty, own.right)) for name, own in cases.items()}
    metrics |= {f"accuracy of answers, {name}": _rounded(own.right.mean()) for name, own in cases.items()}
    if answers.outside.any():
        metrics |= {f"NIL F1, {name}": _rounded(nil_f1(own.is_nil, answers.outside)) for name, own in cases.items()}
    return Calibrated(found, metrics, svg.alone(plots.reliability(shown.certainty, shown.right)))


def fit_both(answers: Answers, start: Confidence) -> tuple[Confidence, Confidence]:
    """Return the confidence fitted without a curve and with one; without NIL mentions the threshold stays."""
    plain = fit_temperature(answers, start.model_copy(update={"curve": ()}))
    right = answers.gold == 0
    if answers.outside.any():
        best = answers.scores.max(axis=1, initial=-np.inf)
        threshold = fit_threshold(best, answers.outside, right, start.objective)
        plain = plain.model_copy(update={"threshold": start.threshold if threshold is None else threshold})
    first = spread(plain, answers.scores).candidates.max(axis=1, initial=0.0)
    return plain, plain.model_copy(update={"curve": fit_curve(first, right)})


def judge(answers: Answers, confidence: Confidence) -> Judged:
    """Answer every mention by a confidence."""
    found = spread(confidence, answers.scores)
    return Judged(found.is_nil, found.certainty, np.where(found.is_nil, answers.outside, answers.gold == 0))


def cross_validated(answers: Answers, start: Confidence) -> tuple[Judged, Judged] | None:
    """Answer each fold by confidences fitted on the others, without a curve and with one; None for one sentence."""
    folds = _folds(answers)
    if folds < 2:
        return None
    n = len(answers)
    held = tuple(Judged(np.zeros(n, bool), np.zeros(n), np.zeros(n, bool)) for _ in range(2))
    fold_of = numbered(answers.groups.tolist()) % folds
    for fold in range(folds):
        inside = fold_of == fold
        for own, confidence in zip(held, fit_both(answers.take(~inside), start), strict=True):
            for column, values in zip(own, judge(answers.take(inside), confidence), strict=True):
                column[inside] = values
    return held[0], held[1]


def nil_f1(said: Bool[np.ndarray, " m"], outside: Bool[np.ndarray, " m"]) -> float:
    """Return F1 of the answer NIL; 0 when it was neither said nor right."""
    return float(2 * (said & outside).sum() / max(said.sum() + outside.sum(), 1))


def _folds(answers: Answers) -> int:
    return min(FOLDS, len(np.unique(answers.groups)))


def _brier(judged: Judged) -> float:
    return brier(judged.certainty, judged.right) or 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
