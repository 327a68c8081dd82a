"""What a method is trained and selected on: training and validation mentions of one knowledge base. Nothing else.

There is no test split here, and no place to put one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int64

from melink.candidates.base import Generator
from melink.candidates.name_score import similarity
from melink.errors import InputError
from melink.evaluate.metrics import summarise
from melink.kb.store import KnowledgeBase
from melink.kb.view import EntityView
from melink.methods.names import entity_names
from melink.methods.trainable import Batch, Trainable
from melink.ranking.ranks import rank_of
from melink.records import NIL, Labelled
from melink.train.lookup import looked_up
from melink.train.mining import mine
from melink.train.negatives import (
    NONE,
    Pools,
    epoch_batches,
    epoch_size,
    make_pools,
    most_doubles,
    reordered,
)
from melink.train.plan import Plan

BLOCK: Final = 256
"""Mentions whose candidates are looked up, or scored, at once."""
DECIDED: Final = 0.12
"""A mention is easy when gold's name similarity exceeds every hard candidate's by this."""

MOST_DOUBLES: Final = 64
"""So many entities beyond the pool are mined at most, since gold and its doubles go."""

Score = Callable[[Any, Batch], Float[np.ndarray, "b c"]]
"""Scores all mentions of a batch against its columns, with the module as it is."""


class Course:
    """Training batches by epoch, and validation.

    Args:
        method: What is trained; prepares both sides.
        kb: The knowledge base.
        generators: Where hard candidates come from.
        judges: Where the candidates of validation mentions come from.
        train: Training mentions; those without gold in the knowledge base are left out and counted.
        valid: Validation mentions, likewise.
        plan: Batch size, negatives, seed.

    Attributes:
        left_out: Reason → how many training mentions.
        prepared: What :meth:`~melink.methods.trainable.Trainable.prepare` made of the training mentions.

    Raises:
        InputError: A split has no mention with gold in the knowledge base; or, for lists, among its candidates.
    """

    def __init__(
        self,
        method: Trainable,
        kb: KnowledgeBase,
        generators: Sequence[Generator],
        judges: Sequence[Generator],
        train: Sequence[Labelled],
        valid: Sequence[Labelled],
        plan: Plan,
    ) -> None:
        self.plan = plan
        view = kb.view()
        train, self.left_out = _linkable(train, view, "training")
        valid, _ = _linkable(valid, view, "validation")
        picked = _sample(len(valid), plan.valid_mentions, plan.seed)
        valid = [valid[place] for place in picked]
        config = plan.negatives
        # a few more than the pool holds: gold and its doubles go
        folder = kb.features_dir / "candidates"
        mined = looked_up(generators, [s.mention for s in train], view, config.pool + 8, folder, "hard candidates")
        valid_k = plan.valid_candidates
        judged = looked_up(judges, [s.mention for s in valid], view, valid_k, folder, "validation candidates")
        gold, valid_gold = view.rows([s.gold or "" for s in train]), view.rows([s.gold or "" for s in valid])
        if config.listwise:
            train, mined, gold = self._listed(train, mined, gold)
        if config.whole:
            self.view = view  # any entity may be mined
        else:
            self.view, mined, gold = _narrowed(view, mined, gold)
        self.valid_view, self._judged, self._valid_gold = _narrowed(view, judged, valid_gold)
        surfaces = [s.mention.surface for s in train]
        names = entity_names(self.view)
        easy = np.zeros(len(train), dtype=bool)
        if generators:  # without any, nobody knows what a name decides
            easy[:] = [_decided(s, g, own, names) for s, g, own in zip(surfaces, gold, mined, strict=True)]
        read = getattr(method, "read_entities", None)
        texts = read(self.view) if read is not None else [" ".join(own) for own in names]
        reads = [f"{'|'.join(own)}\n{text}" for own, text in zip(names, texts, strict=True)]
        self.pools = make_pools(surfaces, gold, mined, reads, easy, config.pool)
        self._method, self._kb, self._mentions = method, kb, [s.mention for s in train]
        self.prepared = method.prepare(self._mentions, self.view)
        self._valid_prepared = method.prepare([s.mention for s in valid], self.valid_view)
        self.key = _key(method, plan, (*train, *valid), self.view)

    def _listed(
        self, train: Sequence[Labelled], mined: Sequence[list[int]], gold: Int64[np.ndarray, " m"]
    ) -> tuple[list[Labelled], list[list[int]], Int64[np.ndarray, " m"]]:
        """Leave out, and count, the mentions whose gold is not among their candidates."""
        kept = [place for place, own in enumerate(mined) if gold[place] in own]
        if not kept:
            raise InputError(
                "no training mention has gold among its candidates",
                "choose other train.negatives.generators, or set train.negatives.listwise=false",
            )
        self.left_out["gold is not among the candidates"] += len(train) - len(kept)
        return [train[place] for place in kept], [mined[place] for place in kept], gold[kept]

    def batches(self, epoch: int) -> list[Batch]:
        """Return the batches of an epoch, equal for equal epochs and pools."""
        return epoch_batches(self.pools, self.plan.negatives, self.plan.batch, self.plan.seed, epoch)

    def steps(self, epoch: int) -> int:
        """Return how many steps an epoch has."""
        return -(
            -epoch_size(self.pools, self.plan.negatives, self.plan.batch, self.plan.seed, epoch) // self.plan.accumulate
        )

    def validate(self, score: Score) -> dict[str, float]:
        """Rank each validation mention's own candidates; gold that is not among them is a miss."""
        ranks: list[float | None] = []
        for start in range(0, len(self._judged), BLOCK):
            own = self._judged[start : start + BLOCK]
            gold = self._valid_gold[start : start + BLOCK]
            batch, columns = _scored_batch(np.arange(start, start + len(own)), own)
            scores = np.round(score(self._valid_prepared, batch), 5)
            for m, places in enumerate(own):
                at = places.index(gold[m]) if gold[m] in places else None
                ranks.append(None if at is None else rank_of(scores[m, columns[m]], at, "mean"))
        figures = summarise(ranks)
        return {name: float(figures[name] or 0.0) for name in ("mrr", "hits@1", "candidate_recall")}

    def mined(self, score: Score) -> Pools:
        """Return the hard candidates in the order that the model, as it is, gives them."""
        scores = np.full(self.pools.hard.shape, -np.inf, dtype=np.float32)
        for start in range(0, len(scores), BLOCK):
            own = [[int(p) for p in row if p != NONE] for row in self.pools.hard[start : start + BLOCK]]
            batch, columns = _scored_batch(np.arange(start, start + len(own)), own)
            found = score(self.prepared, batch)
            for m, places in enumerate(columns):
                scores[start + m, : len(places)] = found[m, places]
        return reordered(self.pools, scores)

    def mined_anew(
        self, own: slice, folder: Path, changed: Mapping[str, Any], rank: int = 0
    ) -> Int64[np.ndarray, "m k"]:
        """Return what the model, as it was saved, ranks highest in the whole knowledge base: rows for some mentions.

        Args:
            own: Which training mentions.
            folder: Where it was saved; takes what is needed meanwhile (:func:`~melink.train.mining.mine`).
            changed: What saving it returned.
            rank: Of this process.
        """
        k = self.plan.negatives.pool + min(most_doubles(self.pools), MOST_DOUBLES)
        scratch = folder / f"process-{rank}"
        return mine(self._method, self._kb, self._mentions[own], k, folder, changed, scratch)


def _key(method: Trainable, plan: Plan, samples: Iterable[Labelled], view: EntityView) -> str:
    """Hash everything that must be the same for a training to go on."""
    context: Any = getattr(method, "context", None)
    encoders = [each.fingerprint for each in (context.text, context.image) if each] if context is not None else []
    read = [[s.mention.id, s.mention.surface, s.mention.text, s.gold] for s in samples]
    made_of = [plan.model_dump(), method.settings(), encoders, read, view.key]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _linkable(samples: Sequence[Labelled], view: EntityView, what: str) -> tuple[list[Labelled], Counter[str]]:
    """Return the mentions that can be trained on, and why the others can't."""
    left_out: Counter[str] = Counter()
    kept = []
    for sample in samples:
        if sample.gold is None:
            left_out["no gold"] += 1
        elif sample.gold == NIL:
            left_out["gold is NIL"] += 1
        elif view.row(sample.gold) is None:
            left_out["gold is not in the knowledge base"] += 1
        else:
            kept.append(sample)
    if not kept:
        raise InputError(
            f"no {what} mention has gold in the knowledge base",
            "check that 'qid' holds ids of this knowledge base: melink kb show KB ID",
        )
    return kept, left_out


def _sample(n: int, most: int, seed: int) -> list[int]:
    if not most or most >= n:
        return list(range(n))
    return sorted(np.random.default_rng([seed, 977]).permutation(n)[:most].tolist())


def _narrowed(
    view: EntityView, lists: Sequence[Sequence[int]], gold: Int64[np.ndarray, " m"]
) -> tuple[EntityView, list[list[int]], Int64[np.ndarray, " m"]]:
    """Keep the entities that play a part, and renumber lists and gold by their places among them."""
    used = np.unique(np.concatenate([gold, *[np.asarray(own, dtype=np.int64) for own in lists]]))
    places = {int(row): place for place, row in enumerate(used)}
    renumbered = [[places[row] for row in own] for own in lists]
    return view.take(used), renumbered, np.asarray([places[int(row)] for row in gold], dtype=np.int64)


def _decided(surface: str, gold: int, candidates: Sequence[int], names: Sequence[tuple[str, ...]]) -> bool:
    """Return whether the name alone decides for gold."""
    own = max(similarity(surface, name) for name in names[gold])
    rivals = (similarity(surface, name) for place in candidates if place != gold for name in names[place])
    return own - max(rivals, default=0.0) > DECIDED


def _scored_batch(mentions: Int64[np.ndarray, " b"], lists: Sequence[Sequence[int]]) -> tuple[Batch, list[np.ndarray]]:
    """Return the batch of all candidates of some mentions, and each mention's own columns."""
    entities = np.unique(np.concatenate([np.zeros(0, np.int64), *[np.asarray(own, dtype=np.int64) for own in lists]]))
    columns = [np.searchsorted(entities, own) for own in lists]
    nobody = np.full(len(mentions), -1, dtype=np.int64)
    allowed = np.zeros((len(mentions), len(entities)), dtype=bool)
    for row, own in zip(allowed, columns, strict=True):
        row[own] = True
    return Batch(mentions, entities, nobody, allowed), columns
