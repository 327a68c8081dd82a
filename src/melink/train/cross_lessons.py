"""What the cross-encoder is trained on: lists of a retriever, drawn anew each epoch, judged beside the retriever.

A lesson is a mention with its first k candidates and a target: gold, a teacher's choice, or both. Each time it is met
it brings its gold and a few rivals, those that the plain figures find likely more often. Lessons that the retrieval is
sure and right about are met at the rate ``easy``. An epoch is judged by what counts in the end: the order of validation
lists by the network's score beside the retriever's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64

from melink.evaluate.metrics import summarise
from melink.methods.gather import share
from melink.rerank.base import Case
from melink.rerank.cross_blend import Blend, fit, one_hot, start_of, table
from melink.rerank.cross_encoder import Reader
from melink.rerank.cross_features import OWN
from melink.rerank.cross_model import CrossNet, Lists, Pair
from melink.train.plan import Plan

NOBODY: Final = -1
"""Fills a row of candidates up."""


@dataclass(frozen=True)
class Lesson:
    """One mention with its candidates.

    Attributes:
        case: What is read.
        own: Plain figures for the head, [k, g].
        target: Share of the answer that each candidate is.
        allowed: Which candidates may count as wrong: not those that read the same as gold.
        easy: Whether the retrieval is sure of it, and right.
        gold: Place of gold; -1 when it is not listed, or only a teacher knows.
        group: What its sentence has in common with others, in validation.
        taught: Whether a teacher has a share in the target.
    """

    case: Case
    own: Float32[np.ndarray, "k g"]
    target: Float64[np.ndarray, " k"]
    allowed: Bool[np.ndarray, " k"]
    easy: bool
    gold: int
    group: int = 0
    taught: bool = False


class Draw(NamedTuple):
    """Some lessons, and which of their candidates take part: places, :data:`NOBODY` at the end of a row."""

    lessons: Int64[np.ndarray, " b"]
    candidates: Int64[np.ndarray, "b k"]


class Lessons:
    """The network and its lessons, in the shape that :mod:`melink.train.loop` trains.

    Args:
        reader: Whose network is trained.
        train: Lessons with a target.
        valid: Validation lessons that the retrieval is not sure of.
        plan: Batch size, seed.
        negatives: Rivals in each list.
        easy: Share of the easy lessons that an epoch meets.
        sharp: Logits per unit of the retriever's score.
        key: Hash of everything else that must be the same for a training to go on.
    """

    def __init__(
        self,
        reader: Reader,
        train: Sequence[Lesson],
        valid: Sequence[Lesson],
        plan: Plan,
        negatives: int,
        easy: float,
        sharp: float,
        key: str,
    ) -> None:
        self.reader, self.plan = reader, plan
        self.prepared: Sequence[Lesson] = train
        self._valid, self._negatives, self._easy, self._sharp = valid, negatives, easy, sharp
        self.key = hashlib.sha256(json.dumps([plan.model_dump(), negatives, easy, key]).encode()).hexdigest()
        self._odds = [_odds(lesson, reader.head(lesson.own)) for lesson in train]

    @property
    def module(self) -> CrossNet:
        """What is trained."""
        return self.reader.net

    def groups(self, lr: float, head_lr: float) -> list[dict[str, Any]]:
        """Return the encoder at ``lr``, the head of the reading at ``head_lr``."""
        net = self.module
        found = [
            {"params": [p for p in net.model.parameters() if p.requires_grad], "lr": lr},
            {"params": [] if net.heads.reading is None else list(net.heads.reading.parameters()), "lr": head_lr},
        ]
        return [group for group in found if group["params"]]

    def steps(self, epoch: int) -> int:
        """Return how many steps an epoch has."""
        return -(-len(self._order(epoch)) // (self.plan.batch * self.plan.accumulate))

    def batches(self, epoch: int) -> list[Draw]:
        """Return the batches of an epoch, equal for equal epochs."""
        order, size = self._order(epoch), self.plan.batch
        random = np.random.default_rng([self.plan.seed, epoch, 1])
        rows = [self._drawn(lesson, random) for lesson in order]
        return [Draw(order[at : at + size], padded(rows[at : at + size], NOBODY)) for at in range(0, len(order), size)]

    def collate(self, prepared: Sequence[Lesson], batch: Draw, rank: int = 0, world: int = 1) -> Lists:
        """Return this process's share of a batch, tokenised; none may be left for it."""
        own = share(len(batch.lessons), rank, world)
        lessons, candidates = [prepared[place] for place in batch.lessons[own]], batch.candidates[own]
        there = candidates != NOBODY
        width = candidates.shape[1]
        figures = np.zeros((len(lessons), width, 2 * len(OWN)), dtype=np.float32)
        target, place = np.zeros((len(lessons), width)), np.full((len(lessons), width), NOBODY)
        pairs: list[Pair] = []
        for row, lesson in enumerate(lessons):
            some = candidates[row][there[row]]
            figures[row, : len(some)], target[row, : len(some)] = lesson.own[some], lesson.target[some]
            place[row, : len(some)] = np.arange(len(pairs), len(pairs) + len(some))
            read = Case(
                lesson.case.mention,
                tuple(lesson.case.candidates[c] for c in some),
                tuple(lesson.case.entities[c] for c in some),
            )
            pairs += self.reader.tokenize(read)
        known = sum(bool(prepared[place].target.any()) for place in batch.lessons)
        tensor = partial(torch.as_tensor, dtype=torch.float32)
        return Lists(pairs, place, tensor(figures), torch.from_numpy(there), tensor(target), known, world)

    def validate(self, score: Callable[[Any, Any], np.ndarray]) -> dict[str, float]:
        """Rank validation lists by the network's score beside the retriever's, weighed as fits them best."""
        columns = []
        for start in range(0, len(self._valid), self.plan.batch):
            some = range(start, min(start + self.plan.batch, len(self._valid)))
            draw = Draw(np.array(some), padded([np.arange(len(self._valid[place].own)) for place in some], NOBODY))
            for place, scores in zip(some, score(self._valid, draw), strict=True):
                case = self._valid[place].case
                retrieved = np.array([candidate.score for candidate in case.candidates])
                columns.append({"score": retrieved, "network": scores[: len(retrieved)].astype(np.float64)})
        lists, gold = table(columns), np.array([lesson.gold for lesson in self._valid])
        weights = fit(lists, one_hot(gold, lists.there.shape[1]), start_of(lists.names, self._sharp))
        logits = Blend(weights=dict(zip(lists.names, weights.tolist(), strict=True))).logits(lists)
        figures = summarise([_rank(own, its) for own, its in zip(logits, gold, strict=True)])
        return {name: float(figures[name] or 0.0) for name in ("mrr", "hits@1", "candidate_recall")}

    def _order(self, epoch: int) -> Int64[np.ndarray, " n"]:
        random = np.random.default_rng([self.plan.seed, epoch])
        met = np.array([not lesson.easy for lesson in self.prepared]) | (random.random(len(self.prepared)) < self._easy)
        return random.permutation(np.flatnonzero(met))

    def _drawn(self, lesson: int, random: np.random.Generator) -> Int64[np.ndarray, " k"]:
        """Return the candidates of one list: those of the target, and drawn rivals."""
        odds, wanted = self._odds[lesson], np.flatnonzero(self.prepared[lesson].target)
        count = min(self._negatives, int((odds > 0).sum()))
        rivals = random.choice(len(odds), count, replace=False, p=odds) if count else np.zeros(0, dtype=np.int64)
        return np.concatenate([wanted, rivals])


def _odds(lesson: Lesson, own: Float32[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    """Return how often each rival is drawn: by the head of the figures, blurred, so that everybody has a chance."""
    rivals = lesson.allowed & (lesson.target == 0)
    if not rivals.any():
        return np.zeros(len(rivals))
    logits = own.astype(np.float64) / 2
    likely = np.where(rivals, np.exp(logits - logits[rivals].max()), 0.0)
    mixed = 0.8 * likely / likely.sum() + 0.2 * rivals / rivals.sum()
    found: np.ndarray = mixed / mixed.sum()
    return found


def padded(rows: Sequence[np.ndarray], filler: float) -> np.ndarray:
    """Return rows of different lengths as one table, of the type that the filler has."""
    found = np.full((len(rows), max(map(len, rows), default=0)), filler)
    for own, row in zip(found, rows, strict=True):
        own[: len(row)] = row
    return found


def _rank(logits: Float64[np.ndarray, " k"], gold: int) -> float | None:
    """Return the place of gold, equal ones in the order of the retrieval; None where it is not listed."""
    if gold < 0:
        return None
    order = np.lexsort((np.arange(len(logits)), -logits))
    return float(np.flatnonzero(order == gold)[0] + 1)
