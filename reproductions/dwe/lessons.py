"""One cell of the study: a system trained with a seed, and the ranks it gives."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

LISTED: Final = 100
"""Candidates of protocol C."""
BLOCK: Final = 64


@dataclass
class Course:
    """What systems of one knowledge base share: mentions, candidates, and what was read of them."""

    kb: Any
    train: Sequence[Any]
    valid: Sequence[Any]
    made: dict[str, Any] = field(default_factory=dict)


def trained(course: Course, run: Mapping[str, Any], plan: Mapping[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
    """Return a trained method, and figures of its training.

    Args:
        course: On what.
        run: Keys of a run file: method, settings, encoders.
        plan: Differs from the method's own; empty where there is nothing to train.
        seed: Of everything that is drawn.
    """
    import torch

    from melink import registry
    from melink.candidates.load import CHEAP, load_generators
    from melink.linker import context_of
    from melink.runs import Run
    from melink.train.course import Course as Lessons
    from melink.train.loop import train
    from melink.train.plan import Plan

    made = Run(**{**run, "train": {**plan, "seed": seed}})
    context = context_of(made, course.kb)
    torch.manual_seed(seed)
    method = registry.load("method", made.method).build(context, made.settings)
    if not plan:
        return method, {}
    method.start_training()
    full = Plan.of(made)
    reads = repr(sorted((name, value) for name, value in method.settings().items() if name in _READ))
    key = f"{made.method} {made.image_encoder} {made.entity_text} {reads}"
    if key not in course.made:
        hard = load_generators(full.negatives.generators, course.kb, context.store)
        judges = load_generators(CHEAP, course.kb, context.store)
        course.made[key] = Lessons(method, context.kb, hard, judges, course.train, course.valid, full)
    lessons = copy.copy(course.made[key])
    lessons.plan = full
    with tempfile.TemporaryDirectory() as folder:
        found = train(method, lessons, full, Path(folder), cpu=True)
    method._deploy()
    return method, {"steps": found.steps, "train_seconds": found.seconds, "candidates_hits@1": found.best["hits@1"]}


_READ: Final = ("mention_template", "entity_template", "objects", "regions", "faces", "looks", "identity", "tune")
"""Settings that decide what is read; systems that differ in others share it."""


def full_ranks(method: Any, kb: Any, samples: Sequence[Any]) -> list[float | None]:
    """Return the rank of gold among the whole knowledge base for each mention."""
    from melink.ranking.rank import rank

    gold = kb.view().rows([sample.gold or "" for sample in samples])
    found = rank(method, kb, [sample.mention for sample in samples], 1, gold)
    return [None if place != place else float(place) for place in found.ranks]


def listed_ranks(method: Any, kb: Any, samples: Sequence[Any], lists: Sequence[Sequence[int]]) -> list[float | None]:
    """Return the rank of gold among each mention's own candidates; None where it is not one of them."""
    from melink.methods.base import total
    from melink.ranking.ranks import rank_of

    view, ranks = kb.view(), list[float | None]()
    gold = view.rows([sample.gold or "" for sample in samples])
    for start in range(0, len(samples), BLOCK):
        own = lists[start : start + BLOCK]
        rows = np.unique(np.concatenate([np.asarray(each, np.int64) for each in own]))
        mentions = [sample.mention for sample in samples[start : start + BLOCK]]
        scores = total(method.score(method.mentions(mentions), method.entities(view.take(rows))))
        for m, each in enumerate(own):
            at = list(each).index(gold[start + m]) if gold[start + m] in each else None
            ranks.append(None if at is None else rank_of(scores[m, np.searchsorted(rows, each)], at, "mean"))
    return ranks


def fuzzy(kb: Any, samples: Sequence[Any]) -> list[list[int]]:
    """Return the candidates of protocol C; they are kept with the knowledge base."""
    from melink.candidates.load import load_generators
    from melink.features.store import FeatureStore
    from melink.train.lookup import looked_up

    generators = load_generators(["fuzzy-dwe"], kb, FeatureStore(kb.features_dir))
    folder = kb.features_dir / "candidates"
    found = looked_up(generators, [s.mention for s in samples], kb.view(), LISTED, folder, "fuzzy candidates")
    return [[row for row in own if row >= 0] for own in found]


def timed(began: float) -> float:
    """Return seconds of CPU since ``began``."""
    return round(time.process_time() - began, 1)
