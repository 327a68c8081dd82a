"""FissFuse as a method: settings and ablations, scores of lists, exact ranking, shortlists, and training by lists."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from melink import registry
from melink.candidates.given import Given
from melink.candidates.names import Names
from melink.demo.run import Demo
from melink.errors import ConfigError, InputError
from melink.kb.store import KnowledgeBase
from melink.linker import context_of
from melink.methods.base import total
from melink.methods.fissfuse import FissFuse, lists_of
from melink.methods.fissfuse_net import FISSION, FUSION, IMAGE
from melink.methods.pairwise import Pairwise
from melink.methods.trainable import Batch
from melink.ranking.certified import certified
from melink.ranking.kept import Kept
from melink.ranking.rank import rank
from melink.records import NIL
from melink.runs import Run
from melink.train.course import Course
from melink.train.loop import train
from melink.train.plan import Plan

SMALL: dict[str, Any] = {"width": 12, "tokens": 12, "names": True}
KINDS = {
    "all": {},
    "(a) w/o fission": {"scores": FUSION},
    "(b) w/o fusion": {"scores": FISSION},
    "(f) only the fused": {"scores": ("fission_both", "fusion_both")},
    "(g) w/o vision": {"vision": False},
    "neutral": {"absent": "neutral"},
    "apart, three heads": {"shared": False, "heads": 3},
}


@pytest.fixture(scope="module")
def kb(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    """A copy of the demo's, whose features may grow."""
    return KnowledgeBase.open(shutil.copytree(demo.linker.kb.path, tmp_path_factory.mktemp("fissfuse") / "kb"))


def build(kb: KnowledgeBase, **settings: Any) -> FissFuse:
    """Return a method with weights that are not those it starts with: constants and gains too."""
    run = Run(method="fissfuse", text_encoder="minilm", image_encoder="classical")
    torch.manual_seed(0)
    method: FissFuse = registry.load("method", "fissfuse").build(context_of(run, kb), {**SMALL, **settings})
    with torch.no_grad():
        for parameter in method.net.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return method


@pytest.fixture(scope="module", params=KINDS)
def method(request: Any, kb: KnowledgeBase) -> FissFuse:
    return build(kb, **KINDS[request.param])


@pytest.fixture(scope="module")
def mentions(demo: Demo) -> list:
    """Mentions with and without a picture."""
    return [sample.mention for sample in demo.samples[:20]]


def test_it_has_what_the_ranking_engine_asks_for(method: FissFuse) -> None:
    assert isinstance(method, Pairwise)
    fields = set(method.terms(method.context.kb.view().slice(0, 1))._fields)
    assert method.remainder <= fields and method.heavy <= fields and method.refining <= fields


def test_parts_are_the_scores_that_are_used(method: FissFuse, mentions: list) -> None:
    view = method.context.kb.view()
    parts = method.score(method.mentions(mentions), method.entities(view))
    scores = tuple(score for score in method.config.scores if method.config.vision or score not in IMAGE)
    assert tuple(parts) == (*scores, "name")
    pictured = np.asarray([bool(m.image) for m in mentions])[:, None] & np.asarray(
        [bool(paths) for paths in view.column("images")]
    )
    assert pictured.any() and not pictured.all()
    for part in scores:
        assert np.array_equal(np.isnan(parts[part]), ~pictured if part in IMAGE else np.zeros_like(pictured)), part


def test_a_list_is_scored_as_everything_is(method: FissFuse, mentions: list) -> None:
    view = method.context.kb.view()
    ours, theirs = method.mentions(mentions), method.entities(view)
    where = np.random.default_rng(0).random((len(mentions), len(view))) < 0.2
    where[3] = False
    some, every = method.score(ours, theirs, where), method.score(ours, theirs)
    for part, values in every.items():
        np.testing.assert_allclose(some[part][where], values[where], atol=2e-4, err_msg=part)


def test_a_whole_knowledge_base_is_ranked_as_it_is_scored(method: FissFuse, mentions: list) -> None:
    view = method.context.kb.view()
    scores = total(method.score(method.mentions(mentions), method.entities(view)))
    gold = np.arange(len(mentions)) % len(view)
    found = rank(method, method.context.kb, mentions, 5, gold)
    own = np.take_along_axis(scores, found.rows, 1)
    np.testing.assert_allclose(found.scores, own, atol=3e-4)
    np.testing.assert_allclose(np.sort(scores, 1)[:, ::-1][:, :5], own, atol=3e-4)
    above = (scores > scores[np.arange(len(mentions)), gold][:, None] + 3e-4).sum(1)
    below = (scores > scores[np.arange(len(mentions)), gold][:, None] - 3e-4).sum(1)
    assert ((found.ranks >= 1 + above) & (found.ranks <= 1 + below)).all()


def test_tiles_are_the_whole(method: FissFuse, mentions: list, tmp_path: Path, monkeypatch: Any) -> None:
    view = method.context.kb.view()
    kept = Kept(method, view, tmp_path)
    none = np.full(len(mentions), -1)
    exact = certified(method, kept, mentions, none, 5, prune=False)
    assert exact.dense == len(mentions)
    monkeypatch.setattr("melink.methods.fissfuse_terms.TILE", 5000)
    again = certified(method, kept, mentions, none, 5, prune=False)
    np.testing.assert_allclose(again.scores, exact.scores, atol=2e-4)
    np.testing.assert_allclose(certified(method, kept, mentions, none, 5).scores, exact.scores, atol=2e-4)


def test_a_shortlist_of_everything_is_exact(method: FissFuse, mentions: list) -> None:
    kb = method.context.kb
    exact, short = rank(method, kb, mentions, 3), rank(method, kb, mentions, 3, shortlist=len(kb), sample=5)
    np.testing.assert_allclose(short.scores, exact.scores, atol=3e-4)
    assert short.recall == 1.0


def test_without_fission_nothing_is_left_to_compute(kb: KnowledgeBase, mentions: list) -> None:
    found = rank(build(kb, scores=FUSION), kb, mentions, 3)
    assert found.dense == 0 and max(found.scored) < len(kb)


def test_without_fusion_and_names_there_is_no_shortlist(kb: KnowledgeBase, mentions: list) -> None:
    method = build(kb, scores=FISSION, names=False)
    with pytest.raises(ConfigError, match="nothing to find a shortlist by"):
        rank(method, kb, mentions, 3, shortlist=10)
    assert (rank(method, kb, mentions[:3], 3).rows >= 0).all()


def test_terms_have_one_shape_with_and_without_pictures(kb: KnowledgeBase) -> None:
    method, view = build(kb), kb.view()
    pictured = np.asarray([bool(paths) for paths in view.column("images")])
    with_, without = (method.terms(view.take(np.flatnonzero(own)[:3])) for own in (pictured, ~pictured))
    for name, one, other in zip(with_._fields, with_, without, strict=True):
        assert one.shape[1:] == other.shape[1:] and one.dtype == other.dtype, name
    assert with_.patches.any() and not without.patches.any()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"heads": 5}, "heads=5 does not divide"),
        ({"scores": IMAGE}, "beside those of pictures"),
        ({"scores": ()}, "beside those of pictures"),
        ({"scores": ("fission_sound",)}, "scores.0: Input should be"),
    ],
)
def test_settings_that_cannot_be(kb: KnowledgeBase, settings: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(kb, **settings)


def test_scores_have_one_order(kb: KnowledgeBase) -> None:
    assert build(kb, scores=("fusion_both", "fission_text")).config.scores == ("fission_text", "fusion_both")


def test_lists_of_a_batch() -> None:
    allowed = np.array([[False, True, False, True], [True, False, False, False], [True, True, False, True]])
    columns, listed = lists_of(allowed)
    assert columns.shape == (3, 3) and listed.sum(1).tolist() == [2, 1, 3]
    assert [own[may].tolist() for own, may in zip(columns, listed, strict=True)] == [[1, 3], [0], [0, 1, 3]]
    assert all(len(set(own)) == 3 for own in columns.tolist())
    assert lists_of(np.zeros((2, 0), dtype=bool))[0].shape == (2, 0)


def test_candidates_are_read_once(kb: KnowledgeBase, demo: Demo) -> None:
    method, view = build(kb), kb.view()
    method.start_training()
    prepared = method.prepare([sample.mention for sample in demo.samples[:3]], view)
    allowed = np.zeros((3, 6), dtype=bool)
    for m, own in enumerate(([0, 2], [2, 4, 5], [5])):
        allowed[m, own] = True
    batch = Batch(np.arange(3), np.array([7, 1, 3, 9, 2, 5]), np.array([2, -1, 5]), allowed)
    inputs = method.collate(prepared, batch)
    assert len(inputs.entities.text) == len(set(inputs.columns.flatten().tolist())) <= 6
    assert inputs.gold.tolist() == [1, -1, 0] and inputs.batch == 2
    step = method.module(inputs)
    assert torch.equal(torch.isfinite(step.scores), torch.from_numpy(allowed))
    whole = method.module(method.collate(prepared, Batch(batch.mentions, batch.entities, batch.gold, allowed | True)))
    torch.testing.assert_close(step.scores[torch.from_numpy(allowed)], whole.scores[torch.from_numpy(allowed)])


def test_padding_of_other_texts_changes_no_score(kb: KnowledgeBase, demo: Demo) -> None:
    method, view = build(kb), kb.view()
    prepared = method.prepare([sample.mention for sample in demo.samples[:8]], view)
    batch = Batch(np.arange(8), np.arange(len(view)), np.full(8, -1), np.ones((8, len(view)), dtype=bool))
    whole = method.module(method.collate(prepared, batch)).scores
    for m in range(8):
        for columns in (np.arange(5), np.arange(5, 9)):
            some = Batch(np.array([m]), columns, np.array([-1]), np.ones((1, len(columns)), dtype=bool))
            alone = method.module(method.collate(prepared, some)).scores
            torch.testing.assert_close(alone[0], whole[m, columns], rtol=1e-4, atol=1e-4)


# Training by lists.


def listwise(kb: KnowledgeBase, demo: Demo, keep: Any = None, **negatives: Any) -> Course:
    """Return a course over published lists: of each mention six namesakes, gold among them where ``keep`` says so."""
    method = build(kb)
    method.start_training()
    samples = [sample for sample in demo.samples if sample.gold != NIL][:24]
    hits = Names(kb).search([sample.mention for sample in samples], 6)
    lists = {}
    for place, (sample, own) in enumerate(zip(samples, hits, strict=True)):
        ids = [id for id, _ in own if id != sample.gold]
        lists[sample.mention.id] = [*ids, sample.gold] if keep is None or keep(place) else ids
    given = [Given(lists)]
    plan = Plan.of(
        Run(method="fissfuse", train={"epochs": 2, "batch": 8, "negatives": {"easy": 1.0, "pool": 6, **negatives}})
    )
    return Course(method, kb, given, given, samples, samples[:6], plan)


def test_the_plan_is_listwise_whatever_else_is_said() -> None:
    plan = Plan.of(Run(method="fissfuse", train={"negatives": {"hard": 3}}))
    assert plan.negatives.listwise and plan.negatives.hard == 3
    assert plan.negatives.easy == 1, "lists are all that is learnt from: none is passed over"
    assert not Plan.of(Run(method="mimic", train={"negatives": {"hard": 3}})).negatives.listwise


def test_a_mention_is_told_apart_from_its_own_candidates(kb: KnowledgeBase, demo: Demo) -> None:
    course = listwise(kb, demo)
    for batch in course.batches(0):
        for m, gold, may in zip(batch.mentions, batch.gold, batch.allowed, strict=True):
            own = set(course.pools.hard[m].tolist()) | {int(course.pools.gold[m])}
            assert set(batch.entities[may].tolist()) <= own and may[gold]


def test_whose_gold_is_not_listed_is_left_out_and_counted(kb: KnowledgeBase, demo: Demo) -> None:
    course = listwise(kb, demo, keep=lambda place: place % 4)
    assert course.left_out["gold is not among the candidates"] == 6 and len(course.pools.gold) == 18
    figures = course.validate(lambda prepared, batch: np.zeros(batch.allowed.shape))
    assert figures["candidate_recall"] == pytest.approx(4 / 6)
    with pytest.raises(InputError, match="no training mention has gold among its candidates"):
        listwise(kb, demo, keep=lambda place: False)
    assert not listwise(kb, demo, keep=lambda place: place % 4, listwise=False).left_out


@pytest.mark.slow
def test_training_tells_gold_from_its_list(kb: KnowledgeBase, demo: Demo, tmp_path: Path) -> None:
    course = listwise(kb, demo)
    method: Any = course._method
    course.plan = course.plan.model_copy(update={"epochs": 12, "head_lr": 3e-3, "patience": 99})
    found = train(method, course, course.plan, tmp_path)
    assert found.history[-1]["loss"] < 0.6 * found.history[0]["loss"]
    assert found.best["hits@1"] > 0.6
