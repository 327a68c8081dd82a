"""Fits the few weights of ``zeroshot``, and any method's confidence, on validation mentions.

The total is linear in the unknowns once each part is split into its value and the fact that it exists::

    total = Σ_p w_p · s_p − w_p n_p · [p exists]

so weights w ≥ 0 and neutral values n maximise the likelihood of gold among its candidates (softmax), pulled towards
the defaults. Then the temperature and the NIL score follow (:func:`melink.methods.confidence.fit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.optimize import minimize

from melink import progress
from melink.linker import BATCH, Linker
from melink.methods.confidence import Confidence
from melink.methods.confidence import fit as fit_confidence
from melink.records import NIL, Labelled

PULL = 1e-3
"""Strength of the pull towards the starting weights, per squared unit."""


@dataclass(frozen=True)
class Listed:
    """Part values of one mention's candidates.

    Attributes:
        values: [k, p] raw part values, 0 where a part does not exist.
        exists: [k, p] whether it does.
        gold: Place of gold; None when the answer is NIL.
    """

    values: Float64[np.ndarray, "k p"]
    exists: Bool[np.ndarray, "k p"]
    gold: int | None


def collect(linker: Linker, samples: Sequence[Labelled], parts: Sequence[str]) -> tuple[list[Listed], int]:
    """Score the candidates of labelled mentions.

    Args:
        linker: One whose parts are raw: weights 1, neutral values 0.
        samples: Mentions with gold; the unlabelled are passed over.
        parts: Names of the parts, in the order of the columns.

    Returns:
        The lists, and how many mentions were left out because gold is in the knowledge base but not listed.
    """
    lists, lost = [], 0
    known = linker.kb.view()
    labelled = [sample for sample in samples if sample.gold is not None]
    with progress.task("scoring validation candidates", len(labelled), "mentions") as advance:
        for start in range(0, len(labelled), BATCH):
            batch = labelled[start : start + BATCH]
            mentions = [sample.mention for sample in batch]
            board = linker.board(mentions, linker.candidates(mentions))
            stacked = np.stack([board.parts.get(p, np.full(board.totals.shape, np.nan)) for p in parts], axis=-1)
            for m, sample in enumerate(batch):
                own = stacked[m, board.ranked[m]].astype(np.float64)
                ids = [board.view.ids[column] for column in board.ranked[m]]
                outside = sample.gold == NIL or known.row(sample.gold or "") is None
                if not outside and sample.gold not in ids:
                    lost += 1
                    continue
                gold = None if outside else ids.index(sample.gold or "")
                lists.append(Listed(np.nan_to_num(own), ~np.isnan(own), gold))
            advance(len(batch))
    return lists, lost


def fit_weights(lists: Sequence[Listed], weights: np.ndarray, neutral: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit weights and neutral values, starting from the given ones; the first weight is scaled back to its start.

    Returns:
        Weights [p] ≥ 0 and neutral values [p].
    """
    linkable = [own for own in lists if own.gold is not None and len(own.values) > 1]
    if not linkable:
        return weights, neutral
    p = len(weights)
    sharp = 10.0
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
    scale = found[0] / weights[0] if found[0] > 0 else sharp
    fitted = found[:p] / scale
    shifts = np.divide(found[p:] / scale, fitted, out=neutral.copy(), where=fitted > 1e-6)
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


def cross_validated(lists: Sequence[Listed], weights: np.ndarray, neutral: np.ndarray, folds: int = 5) -> float:
    """Return Hits@1 among the candidates when each fold is scored by weights fitted on the others."""
    scores, sizes = [], []
    for fold in range(folds):
        inside = [own for place, own in enumerate(lists) if place % folds == fold and own.gold is not None]
        outside = [own for place, own in enumerate(lists) if place % folds != fold]
        if inside:
            scores.append(hits_at_1(inside, *fit_weights(outside, weights, neutral)))
            sizes.append(len(inside))
    return float(np.average(scores, weights=sizes)) if sizes else float("nan")


def confidence(lists: Sequence[Listed], weights: np.ndarray, neutral: np.ndarray, start: Confidence) -> Confidence:
    """Fit temperature and NIL score for given weights."""
    scored = [sorted(totals(own, weights, neutral), reverse=True) for own in lists]
    gold: list[int | None] = []
    for own in lists:
        scores = totals(own, weights, neutral)
        gold.append(None if own.gold is None else int((scores > scores[own.gold]).sum()))
    return fit_confidence(scored, gold, start)
