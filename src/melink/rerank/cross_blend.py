"""The last word of the cross-encoder: its reading beside the retriever's scores, as one linear score of a list.

    logit = Σ_c w_c · column_c        p = softmax over one mention's candidates

Columns are the retriever's total (``score``), its parts and which of them exist (``part text``, ``has text``), and the
network's ``own`` and ``reading``. Weights are fitted on validation lists, pulled towards the retriever alone, and kept
only where they hit more often than it does in cross-validation: so a reading that learnt nothing costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from pydantic import Field
from scipy.optimize import minimize

from melink.config import Config

PULL: Final = 1e-3
"""Strength of the pull towards the start, per squared unit."""
FOLDS: Final = 5


class Blend(Config):
    """Weights by column; a column without one counts nothing.

    Attributes:
        weights: Of the columns of :func:`columns`.
    """

    weights: dict[str, float] = Field(default={"score": 1.0})

    @property
    def keeps(self) -> bool:
        """Whether nothing but the retriever's score counts: its order stays, and how sure it is."""
        return set(self.weights) == {"score"}

    def logits(self, table: Table) -> Float64[np.ndarray, "m k"]:
        """Return the score of every candidate, −∞ where there is none."""
        weights = np.array([self.weights.get(name, 0.0) for name in table.names])
        found: np.ndarray = np.where(table.there, np.round(table.values @ weights, 5), -np.inf)
        return found


@dataclass(frozen=True)
class Table:
    """Columns of the candidates of m mentions.

    Attributes:
        names: Of the columns.
        values: 0 where something does not exist.
        there: Which candidates exist.
    """

    names: tuple[str, ...]
    values: Float64[np.ndarray, "m k c"]
    there: Bool[np.ndarray, "m k"]

    def take(self, rows: Bool[np.ndarray, " m"]) -> Table:
        """Return some of the mentions."""
        return Table(self.names, self.values[rows], self.there[rows])

    def only(self, names: Sequence[str]) -> Table:
        """Return some of the columns, in the order given."""
        places = [self.names.index(name) for name in names]
        return Table(tuple(names), self.values[..., places], self.there)


def table(columns: Sequence[dict[str, Float[np.ndarray, " k"]]]) -> Table:
    """Pad and stack the columns of lists; NaN becomes 0, and a column ``has …`` says where it was not.

    Args:
        columns: For each mention, column by name; all mentions have the same ones.
    """
    names = tuple(columns[0]) if columns else ()
    parts = [name for name in names if name.startswith("part ")]
    longest = max((len(own[names[0]]) for own in columns), default=0)
    values = np.zeros((len(columns), longest, len(names) + len(parts)))
    there = np.zeros((len(columns), longest), dtype=bool)
    for row, own in enumerate(columns):
        count = len(own[names[0]])
        there[row, :count] = True
        for place, name in enumerate(names):
            values[row, :count, place] = np.nan_to_num(own[name], nan=0.0)
        for place, name in enumerate(parts, start=len(names)):
            values[row, :count, place] = ~np.isnan(own[name])
    return Table((*names, *(f"has {name.removeprefix('part ')}" for name in parts)), values, there)


def fit(
    lists: Table, target: Float64[np.ndarray, "m k"], start: Float64[np.ndarray, " c"], pull: float = PULL
) -> Float64[np.ndarray, " c"]:
    """Return the weights that maximise the likelihood of the target; lists without one have no say.

    Args:
        lists: What is fitted to.
        target: Shares of each list, 0 throughout where nobody knows.
        start: Where weights are pulled to.
        pull: How strongly.
    """
    known = (target.sum(axis=1) > 0) & (lists.there.sum(axis=1) > 1)
    values, there, wanted = lists.values[known], lists.there[known], target[known]
    if not len(values):
        return start

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.where(there, values @ point, -np.inf)
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        whole = odds.sum(axis=1, keepdims=True)
        likely = (wanted * np.where(there, logits - np.log(whole), 0.0)).sum()
        slope = np.einsum("mk,mkc->c", odds / whole * wanted.sum(axis=1, keepdims=True) - wanted, values)
        away = point - start
        return -likely / len(values) + pull * away @ away, slope / len(values) + 2 * pull * away

    found: np.ndarray = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found


def first(logits: Float64[np.ndarray, "m k"]) -> Int64[np.ndarray, " m"]:
    """Return which candidate is first; of equal ones the one that the retriever had first."""
    found: np.ndarray = logits.argmax(axis=1)
    return found


def hits(lists: Table, gold: Int64[np.ndarray, " m"], weights: Float64[np.ndarray, " c"]) -> Bool[np.ndarray, " m"]:
    """Return which lists have gold first; a list without gold (−1) is a miss."""
    blend = Blend(weights=dict(zip(lists.names, weights.tolist(), strict=True)))
    found: np.ndarray = first(blend.logits(lists)) == gold
    return found


def held_out(
    lists: Table, gold: Int64[np.ndarray, " m"], groups: Int64[np.ndarray, " m"], start: Float64[np.ndarray, " c"]
) -> Bool[np.ndarray, " m"]:
    """Return which lists have gold first when each fold is scored by weights fitted on the others; groups whole."""
    found: np.ndarray = first(cross_fitted(lists, gold, groups, start)) == gold
    return found


def cross_fitted(
    lists: Table, gold: Int64[np.ndarray, " m"], groups: Int64[np.ndarray, " m"], start: Float64[np.ndarray, " c"]
) -> Float64[np.ndarray, "m k"]:
    """Return the scores of every fold by weights fitted on the others; groups whole, −∞ where nobody is."""
    fold_of, found = groups % FOLDS, np.full(lists.there.shape, -np.inf)
    wanted = one_hot(gold, lists.there.shape[1])
    for fold in range(FOLDS):
        inside = fold_of == fold
        if inside.any():
            weights = fit(lists.take(~inside), wanted[~inside], start)
            blend = Blend(weights=dict(zip(lists.names, weights.tolist(), strict=True)))
            found[inside] = blend.logits(lists.take(inside))
    return found


def softmax(logits: Float64[np.ndarray, "*m k"]) -> Float64[np.ndarray, "*m k"]:
    """Return the share of each candidate of a list, 0 where the score is −∞."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: np.ndarray = odds / odds.sum(axis=-1, keepdims=True)
    return found


def one_hot(gold: Int64[np.ndarray, " m"], width: int) -> Float64[np.ndarray, "m k"]:
    """Return targets from places of gold; 0 throughout for −1."""
    found: np.ndarray = (np.arange(width)[None] == gold[:, None]).astype(np.float64)
    return found


def start_of(names: Sequence[str], sharp: float) -> Float64[np.ndarray, " c"]:
    """Return the weights of the retriever alone.

    Args:
        names: Columns.
        sharp: Logits per unit of its score.
    """
    return np.array([sharp if name == "score" else 0.0 for name in names])


def choose(
    lists: Table, gold: Int64[np.ndarray, " m"], groups: Int64[np.ndarray, " m"], sharp: float
) -> tuple[Blend, dict[str, float]]:
    """Fit a blend, and keep it where it hits more often than the retriever alone in cross-validation.

    Tried are the columns of the network beside the retriever's score, and beside its parts as well; the fewer columns
    win where they hit as often.

    Args:
        lists: All columns of validation lists.
        gold: Place of gold, −1 where it is not listed.
        groups: Mentions of one group are never apart in cross-validation.
        sharp: Logits per unit of the retriever's score, to start from.

    Returns:
        The blend, and Hits@1 of the lists: of the retriever, and cross-validated by columns.
    """
    alone = lists.only(["score"])
    best = float(hits(alone, gold, np.ones(1)).mean())
    figures = {"retrieval": best}
    weights = fit(alone, one_hot(gold, lists.there.shape[1]), start_of(["score"], sharp))
    blend = Blend(weights={"score": max(float(weights[0]), 1e-3)})  # how sure, not in which order
    parts = [name for name in lists.names if name not in ("score", "own", "reading")]
    network = [name for name in ("own", "reading") if name in lists.names]
    tried = {network[-1]: ["score", *network], "parts": ["score", *network, *parts]}
    for what, names in ({"own": ["score", "own"]} | tried).items():
        some = lists.only(names)
        start = start_of(names, sharp)
        figures[what] = float(held_out(some, gold, groups, start).mean())
        if figures[what] > best:
            best = figures[what]
            weights = np.round(fit(some, one_hot(gold, lists.there.shape[1]), start), 5) + 0.0  # no −0
            blend = Blend(weights=dict(zip(names, weights.tolist(), strict=True)))
    return blend, figures
