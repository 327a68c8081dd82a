"""Fits the few weights of a method's parts, where it has any, and its confidence, on validation mentions.

The total is linear in the unknowns once each part is split into its value and the fact that it exists::

    total = Σ_p w_p · s_p − w_p n_p · [p exists]

so weights w ≥ 0 and neutral values n maximise the likelihood of gold among its candidates (softmax), pulled towards
the defaults; they are kept only where they hit more often than the defaults in cross-validation. Then the confidence
follows (:mod:`melink.train.calibrate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float64
from scipy.optimize import minimize

from melink.linker import Linker, assemble
from melink.records import Labelled
from melink.train.answers import MISSED, OUTSIDE, Answers, Group, numbered, scored, sentence
from melink.train.calibrate import FOLDS, calibrate_answers

PULL: Final = 1e-3
"""Strength of the pull towards the starting weights, per squared unit."""


@dataclass(frozen=True)
class Fitted:
    """What came of a fit.

    Attributes:
        settings: The method's settings with fitted weights, neutral values and confidence.
        metrics: Figures for a person and the model card.
        reliability: Reliability diagram as an SVG file; empty when nothing could be fitted.
    """

    settings: dict[str, Any]
    metrics: dict[str, Any]
    reliability: str


@dataclass(frozen=True)
class Listed:
    """Part values of one mention's candidates.

    Attributes:
        values: [k, p] raw part values, 0 where a part does not exist.
        exists: [k, p] whether it does.
        gold: Place of gold; None when the answer is NIL.
        sentence: What the mentions of one sentence have in common; None when it stands alone.
    """

    values: Float64[np.ndarray, "k p"]
    exists: Bool[np.ndarray, "k p"]
    gold: int | None
    sentence: Group | None = None


def fit(linker: Linker, samples: Sequence[Labelled]) -> Fitted:
    """Fit a linker's weights, where its method has any, and its confidence.

    Raises:
        InputError: No mention has gold.
    """
    method, settings = linker.method, linker.method.settings()
    names = list(settings["weights"]) if "weights" in settings else None
    start = np.asarray([settings["weights"][name] for name in names] if names else [1.0])
    neutral = np.asarray([getattr(method, "neutral", {}).get(name, 0.0) for name in names or ("total",)])
    lists, lost = collect(_raw(linker), samples, names)
    weights, shifts, held_out = start, neutral, hits_at_1(lists, start, neutral)
    before, kept = held_out, False
    if names is not None:
        sharp = 1 / method.confidence.temperature
        held_out = cross_validated(lists, start, neutral, sharp=sharp)
        if kept := held_out <= before:  # likelihood is not Hits@1: it can cost hits
            held_out = before
        else:
            weights, shifts = fit_weights(lists, start, neutral, sharp)
        weights, shifts = np.round(weights, 5) + 0.0, np.round(shifts, 5) + 0.0  # as they are kept; no −0
        settings["weights"] = dict(zip(names, weights.tolist(), strict=True))
        settings["neutral"] = dict(zip(names, shifts.tolist(), strict=True))
    rows, gold = [totals(own, weights, shifts) for own in lists], [OUTSIDE if o.gold is None else o.gold for o in lists]
    sure = calibrate_answers(Answers.of(rows, gold, [own.sentence for own in lists]), method.confidence, lost)
    settings["confidence"] = sure.confidence.model_dump(mode="json")
    figures = {"before": before, "fitted": hits_at_1(lists, weights, shifts), "cross-validated": held_out}
    metrics = {f"hits@1 among candidates, {name}": round(value, 4) for name, value in figures.items()}
    note = {"weights": "kept: fitted ones do not validate better"} if kept else {}
    return Fitted(settings, {**note, **metrics, **sure.metrics}, sure.reliability)


def _raw(linker: Linker) -> Linker:
    """Return the same linker with raw parts: weights 1, neutral values 0."""
    settings = linker.method.settings()
    if "weights" not in settings:
        return linker
    raw = {**settings, "weights": dict.fromkeys(settings["weights"], 1.0), "neutral": {}}
    made = assemble(linker.run.model_copy(update={"settings": raw, "generators": ("names",)}), linker.kb)
    made.generators = linker.generators
    return made


def collect(linker: Linker, samples: Sequence[Labelled], parts: Sequence[str] | None) -> tuple[list[Listed], int]:
    """Score the candidates of labelled mentions.

    Args:
        linker: One whose parts are raw: weights 1, neutral values 0.
        samples: Mentions with gold; the unlabelled are passed over.
        parts: Names of the parts, in the order of the columns; None for the total alone.

    Returns:
        The lists, and how many mentions were left out because gold is in the knowledge base but not listed.
    """
    lists, lost = [], 0
    for sample, board, m, place in scored(linker, samples):
        if place == MISSED:
            lost += 1
            continue
        found = board.parts if parts is not None else {"total": board.totals}
        nothing = np.full(len(board.view), np.nan)
        own = np.stack([found[p][m] if p in found else nothing for p in parts or ("total",)], -1)
        own = own[board.ranked[m]].astype(np.float64)
        gold = None if place == OUTSIDE else place
        lists.append(Listed(np.nan_to_num(own), ~np.isnan(own), gold, sentence(sample)))
    return lists, lost


def fit_weights(
    lists: Sequence[Listed], weights: np.ndarray, neutral: np.ndarray, sharp: float = 10.0
) -> tuple[np.ndarray, np.ndarray]:
    """Fit weights and neutral values, starting from the given ones; the first weight is scaled back to its start.

    A part that no candidate has keeps its start: nothing was learnt about it.

    Args:
        lists: What is fitted to.
        weights: To start from, [p].
        neutral: To start from, [p].
        sharp: Logits per unit of the total at the start, the reciprocal of a temperature.

    Returns:
        Weights [p] ≥ 0 and neutral values [p].
    """
    linkable = [own for own in lists if own.gold is not None and len(own.values) > 1]
    if not linkable:
        return weights, neutral
    p, met = len(weights), np.any([own.exists.any(axis=0) for own in linkable], axis=0)
    start = np.r_[weights * sharp, weights * sharp * neutral]

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = 0.0, np.zeros_like(point)
        for own in linkable:
            inputs = np.concatenate([own.values, -own.exists.astype(np.float64)], axis=1)
            logits = inputs @ point
            odds = np.exp(logits - logits.max())
            odds /= odds.sum()
            value -= np.log(max(odds[own.gold], 1e-300))
            slope += odds @ inputs - inputs[own.gold]
        away = point - start
        return value / len(linkable) + PULL * away @ away, slope / len(linkable) + 2 * PULL * away

    bounds = [(0.0, None)] * p + [(None, None)] * p
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200}).x
    scale = found[0] / weights[0] if found[0] > 0 and weights[0] > 0 else sharp
    fitted = np.where(met, found[:p] / scale, weights)
    shifts = np.divide(found[p:] / scale, fitted, out=neutral.copy(), where=met & (fitted > 1e-6))
    return fitted, shifts


def totals(own: Listed, weights: np.ndarray, neutral: np.ndarray) -> Float64[np.ndarray, " k"]:
    """Return the total score of each candidate under given weights."""
    scores: np.ndarray = ((own.values - neutral) * own.exists) @ weights
    return np.round(scores, 5)


def hits_at_1(lists: Sequence[Listed], weights: np.ndarray, neutral: np.ndarray) -> float:
    """Return the share of linkable mentions whose gold is alone on top, a tie counting its share."""
    hits = []
    for own in lists:
        if own.gold is not None:
            scores = totals(own, weights, neutral)
            best = scores >= scores.max()
            hits.append(best[own.gold] / best.sum())
    return float(np.mean(hits)) if hits else float("nan")


def cross_validated(lists: Sequence[Listed], weights: np.ndarray, neutral: np.ndarray, sharp: float = 10.0) -> float:
    """Return Hits@1 among the candidates when each fold is scored by weights fitted on the others; sentences whole."""
    fold_of = numbered([own.sentence for own in lists]) % FOLDS
    scores, sizes = [], []
    for fold in range(FOLDS):
        inside = [own for own, its in zip(lists, fold_of, strict=True) if its == fold and own.gold is not None]
        outside = [own for own, its in zip(lists, fold_of, strict=True) if its != fold]
        if inside:
            scores.append(hits_at_1(inside, *fit_weights(outside, weights, neutral, sharp)))
            sizes.append(len(inside))
    return float(np.average(scores, weights=sizes)) if sizes else float("nan")
