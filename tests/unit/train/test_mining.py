"""Hard candidates from the whole knowledge base are what the model, as it is, takes for right; nothing else changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from melink import registry
from melink.candidates.names import Names
from melink.demo.run import Demo
from melink.kb.store import KnowledgeBase
from melink.linker import context_of
from melink.methods.pairwise import Pairwise
from melink.methods.trainable import Batch
from melink.records import NIL
from melink.runs import Run
from melink.train.course import Course
from melink.train.mining import emptied
from melink.train.negatives import NONE, Pools, refilled
from melink.train.plan import Plan

POOL = 5
FROZEN = {"text_encoder": "minilm", "image_encoder": "classical"}
SMALL = {"width": 12, "tokens": 12}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "biencoder": ("biencoder", {"tune": 0, "hidden": 16}, FROZEN),
    "biencoder, tuned": ("biencoder", {"tune": 1, "hidden": 16}, {"text_encoder": "{bert}", "image_encoder": None}),
    "mimic": ("mimic", {**SMALL, "names": True}, FROZEN),
    "mimic, tuned": ("mimic", {**SMALL, "tune": "all"}, {"encoder": "{clip}"}),
    "melov": ("melov", SMALL, FROZEN),
}


@pytest.fixture(scope="module")
def kb(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    """A copy of the demo's, whose features may grow."""
    return KnowledgeBase.open(shutil.copytree(demo.linker.kb.path, tmp_path_factory.mktemp("mining") / "kb"))


SLOW = "mimic, tuned"


@pytest.fixture(params=[pytest.param(each, marks=[pytest.mark.slow] if each == SLOW else []) for each in CASES])
def course(request: Any, demo: Demo, kb: KnowledgeBase, small_bert: Path, small_clip: Path) -> Course:
    """A course over some mentions of the demo, by a method whose weights have moved since it was made."""
    name, settings, encoders = CASES[request.param]
    places = {"{bert}": str(small_bert), "{clip}": str(small_clip)}
    run = Run(method=name, settings=settings, **{key: places.get(value, value) for key, value in encoders.items()})
    torch.manual_seed(0)
    method = registry.load("method", name).build(context_of(run, kb), settings)
    method.start_training()
    negatives = {"pool": POOL, "whole": True, "generators": ["names"]}
    samples = [sample for sample in demo.samples if sample.gold != NIL]
    plan, names = Plan.model_validate({"negatives": negatives}), [Names(kb)]
    found = Course(method, kb, names, names, samples[:24], samples[24:30], plan)
    moved(method)
    if hasattr(method, "refresh"):
        method.refresh(found.prepared)
    return found


def moved(method: Any) -> None:
    """Change what is trained, as steps would."""
    with torch.no_grad():
        for parameter in method.module.parameters():
            if parameter.requires_grad:
                parameter += 0.4 * parameter.std(correction=0).clamp(min=0.1) * torch.randn_like(parameter)


def all_scores(course: Course) -> np.ndarray:
    """Return the scores of all pairs as the loss would see them: the forward of training, without the engine."""
    method: Any = course._method
    m, n = len(course.pools.gold), len(course.view)
    batch = Batch(np.arange(m), np.arange(n), np.full(m, -1), np.ones((m, n), dtype=bool))
    with torch.no_grad():
        found: np.ndarray = method.module.eval()(method.collate(course.prepared, batch)).scores.numpy()
    return found


def wrong_ones(course: Course, m: int) -> np.ndarray:
    doubles = course.pools.doubles
    return np.flatnonzero(doubles != doubles[course.pools.gold[m]])


def anew(course: Course, folder: Path, own: slice = slice(None)) -> np.ndarray:
    method: Any = course._method
    with emptied(folder):
        return course.mined_anew(own, folder, method.save(folder))


def mined(course: Course, folder: Path) -> Pools:
    return refilled(course.pools, anew(course, folder).tolist())


def test_the_pool_holds_the_highest_wrong_ones_of_the_model_as_it_is(course: Course, tmp_path: Path) -> None:
    scores = all_scores(course)
    new = mined(course, tmp_path / "mined")
    assert new.hard.shape == (24, POOL) and (new.hard != NONE).all()
    rows = course._kb.view().ids
    assert course.view.ids == rows
    size = float(np.abs(scores).max())
    for m, own in enumerate(new.hard):
        wrong = wrong_ones(course, m)
        assert set(own) <= set(wrong) and len(set(own)) == POOL
        best = np.sort(scores[m, wrong])[::-1][:POOL]
        # kept terms have 16 bits, so that what differs by less may change places
        apart = 2e-3 if isinstance(course._method, Pairwise) else 1e-5
        assert scores[m, own] == pytest.approx(best, abs=apart * size)
    assert sum(scores[m, wrong_ones(course, m)].max() - scores[m, new.hard[m, 0]] < 1e-6 for m in range(24)) >= 20
    assert (new.hard != course.pools.hard).any()


def test_other_weights_mine_others(course: Course, tmp_path: Path) -> None:
    first = mined(course, tmp_path / "mined").hard
    assert (mined(course, tmp_path / "mined").hard == first).all()
    moved(course._method)
    moved(course._method)
    assert (mined(course, tmp_path / "mined").hard != first).any()


def test_some_of_the_mentions_are_mined_as_all_of_them(course: Course, tmp_path: Path) -> None:
    """Processes cut the mentions into shares; a share may be empty."""
    whole = anew(course, tmp_path / "mined")
    parts = [anew(course, tmp_path / "mined", slice(*cut)) for cut in ((0, 10), (10, 24), (24, 24))]
    assert (np.concatenate(parts) == whole).all()


def test_what_is_trained_and_the_knowledge_base_stay_as_they_are(course: Course, tmp_path: Path) -> None:
    method: Any = course._method
    method.module.train()
    (tmp_path / "mined").mkdir()
    (tmp_path / "mined" / "left by a killed process").touch()
    folder = course._kb.features_dir

    def state() -> list[Any]:
        files = sorted((str(path), path.stat().st_size) for path in folder.rglob("*") if path.is_file())
        tensors = [value.clone() for value in method.module.state_dict().values()]
        return [files, torch.get_rng_state(), tensors, [module.training for module in method.module.modules()]]

    before = state()
    anew(course, tmp_path / "mined")
    after = state()
    assert after[0] == before[0] and torch.equal(after[1], before[1]) and after[3] == before[3]
    assert all(torch.equal(*pair) for pair in zip(after[2], before[2], strict=True))
    assert list(tmp_path.iterdir()) == []
