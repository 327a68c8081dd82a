"""Fitting: planted weights come back, nothing is learnt from nothing, and a fitted run scores as its fit said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from melink.candidates.base import Candidates
from melink.demo.run import Demo
from melink.errors import InputError
from melink.linker import Linker, assemble
from melink.records import NIL
from melink.runs import Run
from melink.train.fit import (
    Listed,
    collect,
    cross_validated,
    fit,
    fit_weights,
    hits_at_1,
    totals,
)

WEIGHTS = np.array([1.0, 0.6, 1.8, 0.0])
NEUTRAL = np.array([0.0, 0.3, -0.4, 0.0])
LIGHT = ("names", "fuzzy", "persons", "lexical")


def planted(n: int, seed: int, sharp: float = 15.0, k: int = 8) -> list[Listed]:
    """Draw gold from the softmax of planted totals; the third part is missing for half of the candidates."""
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(n):
        exists = np.ones((k, 4), bool)
        exists[:, 2] = rng.random(k) < 0.5
        values = rng.normal(0.3, 0.3, (k, 4)) * exists
        scores = sharp * (((values - NEUTRAL) * exists) @ WEIGHTS)
        chances = np.exp(scores - scores.max())
        lists.append(Listed(values, exists, int(rng.choice(k, p=chances / chances.sum()))))
    return lists


def test_planted_weights_come_back() -> None:
    weights, neutral = fit_weights(planted(1500, 0), np.ones(4), np.zeros(4))
    assert weights[0] == pytest.approx(1.0)  # the first keeps its scale
    assert weights == pytest.approx(WEIGHTS, abs=0.15)
    assert neutral[2] == pytest.approx(NEUTRAL[2], abs=0.1)
    assert (weights >= 0).all()


def test_fitted_weights_do_better_on_new_data() -> None:
    fitted = fit_weights(planted(600, 1), np.ones(4), np.zeros(4))
    fresh = planted(1000, 2)
    assert hits_at_1(fresh, *fitted) > hits_at_1(fresh, np.ones(4), np.zeros(4)) + 0.05


def test_a_part_that_nobody_has_keeps_its_start() -> None:
    start = np.array([1.0, 0.7, 0.5, 0.9])
    lists = planted(300, 3)
    for own in lists:
        own.exists[:, 3] = False
        own.values[:, 3] = 0.0
    weights, neutral = fit_weights(lists, start, np.array([0.0, 0.0, 0.0, 0.2]))
    assert weights[3] == pytest.approx(0.9) and neutral[3] == pytest.approx(0.2)
    assert weights[1] != pytest.approx(0.7, abs=1e-3)


def test_a_first_weight_of_nothing_can_be_fitted() -> None:
    weights, neutral = fit_weights(planted(200, 4), np.array([0.0, 1.0, 1.0, 1.0]), np.zeros(4))
    assert np.isfinite(weights).all() and np.isfinite(neutral).all() and weights.sum() > 0


def test_nothing_to_fit_on() -> None:
    weights, neutral = np.ones(2), np.zeros(2)
    alone = Listed(np.ones((1, 2)), np.ones((1, 2), bool), 0)
    outside = Listed(np.ones((3, 2)), np.ones((3, 2), bool), None)
    for lists in ([], [alone], [outside]):
        assert fit_weights(lists, weights, neutral) == (weights, neutral)
    assert np.isnan(hits_at_1([outside], weights, neutral)) and np.isnan(cross_validated([], weights, neutral))


def test_totals_and_hits_by_hand() -> None:
    values = np.array([[1.0, 0.0], [0.5, 0.9], [0.5, 0.9]])
    exists = np.array([[True, False], [True, True], [True, True]])
    own = Listed(values, exists, 1)
    weights, neutral = np.array([1.0, 2.0]), np.array([0.0, 0.4])
    assert totals(own, weights, neutral).tolist() == pytest.approx([1.0, 1.5, 1.5])
    assert hits_at_1([own], weights, neutral) == 0.5  # a tie counts its share
    assert hits_at_1([own, Listed(values, exists, 0)], np.array([1.0, 0.0]), neutral) == 0.5


@pytest.fixture(scope="module")
def plain(demo: Demo) -> Linker:
    return assemble(Run(generators=LIGHT, k=20), demo.linker.kb)


def test_collect_tells_nil_missed_and_unlabelled_apart(demo: Demo, plain: Linker) -> None:
    first = demo.samples[0]
    some = [first, replace(first, gold=NIL), replace(first, gold="not-there"), replace(first, gold=None)]
    far = replace(first, gold=next(id for id in demo.linker.kb.view().ids if id not in _ids(plain, first)))
    lists, lost = collect(plain, [*some, far], ["name", "text", "image", "text_image"])
    assert lost == 1
    assert [own.gold for own in lists] == [_ids(plain, first).index(str(first.gold)), None, None]
    assert not lists[0].exists[:, 3].any() and lists[0].exists[:, :2].all()
    assert lists[0].exists[:, 2].any() and not lists[0].exists[:, 2].all()
    assert (lists[0].values[~lists[0].exists] == 0).all()


def _ids(linker: Linker, sample: object) -> list[str]:
    mention = sample.mention  # type: ignore[attr-defined]
    return [c.id for c in linker.rank([mention], linker.candidates([mention]), 100)[0].candidates]


def test_a_fitted_run_scores_as_its_fit_said(demo: Demo, plain: Linker) -> None:
    """The weights and neutral values that are saved mean at linking what they meant when they were fitted."""
    found = fit(plain, demo.samples)
    names = list(found.settings["weights"])
    raw = {**found.settings, "weights": dict.fromkeys(names, 1.0), "neutral": {}}
    lists, _ = collect(assemble(plain.run.model_copy(update={"settings": raw}), plain.kb), demo.samples, names)
    weights = np.array(list(found.settings["weights"].values()))
    neutral = np.array([found.settings["neutral"][name] for name in names])
    fitted = assemble(plain.run.model_copy(update={"settings": found.settings}), plain.kb)
    labelled = [sample for sample in demo.samples if sample.gold is not None]
    assert len(lists) == len(labelled)
    assert any(found.settings["neutral"][name] for name in ("triples", "text", "image"))
    for sample, own in zip(labelled, lists, strict=True):
        scores = [c.score for c in _link(fitted, sample)]
        assert scores == pytest.approx(sorted(totals(own, weights, neutral), reverse=True), abs=1e-4)


def _link(linker: Linker, sample: object) -> tuple[object, ...]:
    mention = sample.mention  # type: ignore[attr-defined]
    return linker.rank([mention], linker.candidates([mention]), 100)[0].candidates


def test_a_fitted_run_is_at_least_as_good_on_its_data(demo: Demo, plain: Linker) -> None:
    found = fit(plain, demo.samples)
    metrics = {name.removeprefix("hits@1 among candidates, "): value for name, value in found.metrics.items()}
    assert metrics["fitted"] >= metrics["before"]
    assert metrics["validation mentions used"] == len(demo.samples)
    fitted = assemble(plain.run.model_copy(update={"settings": found.settings}), plain.kb)
    assert fitted.method.confidence.fitted and not plain.method.confidence.fitted
    mentions = [sample.mention for sample in demo.samples]

    def right(linker: Linker) -> int:
        return sum(link.id == s.gold for link, s in zip(linker.link(mentions), demo.samples, strict=True))

    assert right(fitted) >= right(plain)
    assert fitted.link(mentions[:1])[0].evidence["calibrated"] is True


def test_names_gets_a_confidence_only(demo: Demo) -> None:
    linker = assemble(Run(method="names", generators=("names", "fuzzy")), demo.linker.kb)
    found = fit(linker, demo.samples)
    assert set(found.settings) == set(linker.method.settings())
    assert found.settings["confidence"]["fitted"] and found.settings["confidence"]["temperature"] > 0
    assert found.metrics["hits@1 among candidates, before"] == found.metrics["hits@1 among candidates, fitted"]
    assemble(linker.run.model_copy(update={"settings": found.settings}), demo.linker.kb)


def test_without_gold_there_is_no_fit(demo: Demo, plain: Linker) -> None:
    with pytest.raises(InputError, match="no mention has gold"):
        fit(plain, [replace(sample, gold=None) for sample in demo.samples[:3]])
    with pytest.raises(InputError, match="no mention has gold"):
        fit(plain, [])


def test_gold_that_is_never_a_candidate_fits_nothing(demo: Demo) -> None:
    linker = assemble(Run(generators=("names",)), demo.linker.kb)
    mention = replace(demo.samples[0].mention, surface="Nobody Knows")
    found = fit(linker, [replace(demo.samples[0], mention=mention)])
    assert found.settings["confidence"]["fitted"] is False
    assert found.settings["weights"] == linker.method.settings()["weights"]
    assert found.metrics["left out, gold not a candidate"] == 1
    assert linker.candidates([mention]) == Candidates(((),), ({},))
