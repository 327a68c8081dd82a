"""Scores of labelled mentions' candidates: what a confidence is fitted on."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from melink import progress
from melink.errors import InputError
from melink.linker import BATCH, Board, Linker
from melink.records import NIL, Labelled

OUTSIDE: Final = -1
"""Place of gold that is NIL."""
MISSED: Final = -2
"""Place of gold that is in the knowledge base but not among the candidates."""


Group = tuple[str, str]
"""What the mentions of a group have in common: a field and its value."""


@dataclass(frozen=True)
class Answers:
    """Scores of the candidates of m mentions, with gold.

    Attributes:
        scores: Best first; ``-inf`` behind the last candidate.
        gold: Place of gold among them, :data:`OUTSIDE` for NIL.
        groups: Mentions of one group are never apart in cross-validation.
        grouped_by: What a group has in common, for the metrics.
    """

    scores: Float64[np.ndarray, "m k"]
    gold: Int64[np.ndarray, " m"]
    groups: Int64[np.ndarray, " m"]
    grouped_by: str = "mention"

    @classmethod
    def of(
        cls,
        rows: Sequence[Sequence[float] | Float[np.ndarray, " k"]],
        gold: Sequence[int],
        groups: Sequence[Group | None] = (),
    ) -> Self:
        """Sort and pad lists of scores.

        Args:
            rows: Scores of each mention's candidates, in any order.
            gold: Place of gold in the list as given, :data:`OUTSIDE` for NIL.
            groups: What mentions have in common; each stands alone when absent or None.
        """
        scores = np.full((len(rows), max(map(len, rows), default=0)), -np.inf)
        places = np.array(gold, dtype=np.int64)
        for row, own in enumerate(rows):
            order = np.argsort(-np.asarray(own, dtype=np.float64), kind="stable")
            scores[row, : len(own)] = np.asarray(own, dtype=np.float64)[order]
            if places[row] >= 0:
                places[row] = np.flatnonzero(order == places[row])[0]
        by = " or ".join(sorted({group[0] for group in groups if group})) or "mention"
        return cls(scores, places, numbered(groups or [None] * len(rows)), by)

    @property
    def outside(self) -> Bool[np.ndarray, " m"]:
        """Whether gold is NIL."""
        found: np.ndarray = self.gold == OUTSIDE
        return found

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: Bool[np.ndarray, " m"]) -> Answers:
        """Return some of the mentions."""
        return Answers(self.scores[rows], self.gold[rows], self.groups[rows], self.grouped_by)


def numbered(names: Sequence[Hashable]) -> Int64[np.ndarray, " m"]:
    """Number names from 0 in the order in which they are first met; each None is a name of its own."""
    known: dict[Hashable, int] = {}
    keys = (("alone", place) if name is None else name for place, name in enumerate(names))
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)


def collect(linker: Linker, samples: Sequence[Labelled]) -> tuple[Answers, int]:
    """Score the candidates of labelled mentions; the unlabelled are passed over.

    Returns:
        The answers, and how many mentions were left out because gold is in the knowledge base but not a candidate.

    Raises:
        InputError: No mention has gold.
    """
    rows, gold, shared, lost = [], [], [], 0
    for sample, board, m, place in scored(linker, samples):
        if place == MISSED:
            lost += 1
            continue
        rows.append(board.totals[m, board.ranked[m]])
        gold.append(place)
        shared.append(sentence(sample))
    return Answers.of(rows, gold, shared), lost


def scored(linker: Linker, samples: Sequence[Labelled]) -> Iterator[tuple[Labelled, Board, int, int]]:
    """Yield labelled mentions with their batch's board, their row in it, and the place of gold in their ranking.

    Raises:
        InputError: No mention has gold.
    """
    labelled = [sample for sample in samples if sample.gold is not None]
    if not labelled:
        raise InputError("no mention has gold, so there is nothing to fit on", "give each row a 'qid' (or 'NIL')")
    known = linker.kb.view()
    with progress.task("scoring validation candidates", len(labelled), "mentions") as advance:
        for start in range(0, len(labelled), BATCH):
            batch = labelled[start : start + BATCH]
            mentions = [sample.mention for sample in batch]
            board = linker.board(mentions, linker.candidates(mentions))
            for m, sample in enumerate(batch):
                ids = [board.view.ids[column] for column in board.ranked[m]]
                if sample.gold == NIL or known.row(sample.gold or "") is None:
                    yield sample, board, m, OUTSIDE
                else:
                    yield sample, board, m, ids.index(sample.gold) if sample.gold in ids else MISSED
            advance(len(batch))


def sentence(sample: Labelled) -> Group:
    """Return what the mentions of one sentence have in common: its id where the row has one, else the text itself."""
    id = sample.extra.get("sentence_id")
    return ("text", sample.mention.text) if id is None else ("sentence_id", str(id))
