"""Asking only where the retrieval is unsure: Hits@1 over the share of mentions asked about, and a margin fitted to it.

A margin is fitted on validation mentions that were all asked about. It asks about as few as it can while Hits@1 stays
within an allowed loss of asking about all. Being chosen on these mentions, the loss there flatters it; so the loss of
margins that were fitted on other mentions (five folds) stands beside it, and a bound: with 95% confidence, no larger
share of mentions loses a right answer by not being asked about (Clopper and Pearson, Biometrika 1934, one-sided).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float64

from melink.errors import InputError
from melink.evaluate.outcome import Outcome

FOLDS: Final = 5
_CONFIDENCE: Final = 0.95
_FINEST: Final = 101
"""Most points of a curve."""


@dataclass(frozen=True)
class Both:
    """Linkable mentions before and after a reranker that was asked about all of them.

    Attributes:
        ahead: By how much the first candidate's score leads the second's; infinite for fewer than two candidates.
        before: Whether the retrieval is right.
        after: Whether the reranker is.
        groups: Number of the sentence, so that folds keep sentences whole.
    """

    ahead: Float64[np.ndarray, " n"]
    before: Bool[np.ndarray, " n"]
    after: Bool[np.ndarray, " n"]
    groups: np.ndarray

    @classmethod
    def of(cls, before: Sequence[Outcome], after: Sequence[Outcome]) -> Both:
        """Read outcomes of the same mentions; those that are not linkable are left out."""
        pairs = [(one, other) for one, other in zip(before, after, strict=True) if one.linkable]
        names = [one.sentence or one.mention.text for one, _ in pairs]
        number = {name: place for place, name in enumerate(dict.fromkeys(names))}
        return cls(
            np.array([_ahead(one) for one, _ in pairs], dtype=np.float64),
            np.array([one.rank == 1 for one, _ in pairs], dtype=bool),
            np.array([other.rank == 1 for _, other in pairs], dtype=bool),
            np.array([number[name] for name in names], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.ahead)

    def take(self, rows: Bool[np.ndarray, " n"]) -> Both:
        """Return some of the mentions."""
        return Both(self.ahead[rows], self.before[rows], self.after[rows], self.groups[rows])

    def hits(self, margin: float) -> float:
        """Return Hits@1 when only mentions whose first candidate leads by at most ``margin`` are asked about."""
        return float(np.where(self.ahead > margin, self.before, self.after).mean())

    def asked(self, margin: float) -> float:
        """Return the share of mentions that are asked about then."""
        return float((self.ahead <= margin).mean())


@dataclass(frozen=True)
class Gate:
    """A fitted margin and what it costs.

    Attributes:
        margin: For ``rerank.margin``.
        mentions: How many it was fitted on.
        asked: Share of them that are still asked about.
        saved: Share of the calls that are saved.
        hits: Hits@1 with it, ``hits_all`` when all are asked about, ``hits_none`` of the retrieval alone.
        loss: Hits@1 that it loses against asking about all, on these mentions.
        loss_elsewhere: The same for margins fitted on other mentions, over all folds; None for one sentence.
        saved_elsewhere: Calls that these save.
        bound: With 95% confidence, at most this share of mentions loses a right answer.
    """

    margin: float
    mentions: int
    asked: float
    saved: float
    hits: float
    hits_all: float
    hits_none: float
    loss: float
    loss_elsewhere: float | None
    saved_elsewhere: float | None
    bound: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def __str__(self) -> str:
        told = (
            f"margin {self.margin:g}: {self.saved:.1%} of the calls saved; Hits@1 {self.hits:.2%}, asking about all "
            f"{self.hits_all:.2%}, about none {self.hits_none:.2%} ({self.mentions:,} mentions)"
        )
        if self.loss_elsewhere is not None:
            told += f"; on mentions that it was not fitted on, {100 * self.loss_elsewhere:.2f} points lost"
            told += f" and {self.saved_elsewhere:.1%} saved"
        return told + f"; at most {self.bound:.2%} of mentions lose a right answer, with 95% confidence"


def fit_margin(both: Both, most_loss: float = 0.001) -> Gate:
    """Return the margin that asks about fewest mentions.

    Args:
        both: Validation mentions, all asked about.
        most_loss: Hits@1 that may be lost against asking about all, in 0–1.

    Raises:
        InputError: No mention has gold in the knowledge base.
    """
    if not len(both):
        raise InputError("no mention to fit a margin on", "pass validation mentions with gold in the knowledge base")
    margin = _fewest(both, most_loss)
    lost = int((both.after & ~both.before & (both.ahead > margin)).sum())
    every = both.asked(_largest(both))
    elsewhere = _elsewhere(both, most_loss)
    return Gate(
        margin=margin,
        mentions=len(both),
        asked=both.asked(margin),
        saved=1 - both.asked(margin) / every if every else 0.0,
        hits=both.hits(margin),
        hits_all=both.hits(_largest(both)),
        hits_none=float(both.before.mean()),
        loss=both.hits(_largest(both)) - both.hits(margin),
        loss_elsewhere=None if elsewhere is None else elsewhere[0],
        saved_elsewhere=None if elsewhere is None else elsewhere[1],
        bound=_upper(lost, len(both)),
    )


def asked_curve(both: Both) -> list[tuple[float, float]]:
    """Return Hits@1 for growing shares of mentions asked about, in per cent, the least sure ones first."""
    found = {0.0: float(both.before.mean())} if len(both) else {}
    margins = np.unique(both.ahead[np.isfinite(both.ahead)])
    for margin in margins[np.unique(np.linspace(0, len(margins) - 1, _FINEST).astype(int))] if len(margins) else ():
        found[round(100 * both.asked(margin), 3)] = both.hits(margin)
    return sorted(found.items())


def _ahead(outcome: Outcome) -> float:
    first = outcome.link.candidates[:2]
    return first[0].score - first[1].score if len(first) == 2 else np.inf


def _largest(both: Both) -> float:
    finite = both.ahead[np.isfinite(both.ahead)]
    return float(finite.max()) if len(finite) else 0.0


def _fewest(both: Both, most_loss: float) -> float:
    margins = np.unique([0.0, *both.ahead[np.isfinite(both.ahead)]])
    least = both.hits(_largest(both)) - most_loss
    return float(next(margin for margin in margins if both.hits(margin) >= least - 1e-12))


def _elsewhere(both: Both, most_loss: float) -> tuple[float, float] | None:
    """Return the loss and the calls saved of each fold by a margin of the others."""
    folds = min(FOLDS, len(np.unique(both.groups)))
    if folds < 2:
        return None
    fold = both.groups % folds
    skipped = np.zeros(len(both), dtype=bool)
    for each in range(folds):
        inside = fold == each
        skipped[inside] = both.ahead[inside] > _fewest(both.take(~inside), most_loss)
    able = np.isfinite(both.ahead)
    loss = both.after.mean() - np.where(skipped, both.before, both.after).mean()
    return float(loss), float(skipped[able].mean()) if able.any() else 0.0


def _upper(lost: int, mentions: int) -> float:
    from scipy.stats import beta

    return 1.0 if lost == mentions else float(beta.ppf(_CONFIDENCE, lost + 1, mentions - lost))
