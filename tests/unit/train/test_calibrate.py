"""Calibrating any method: what is chosen, what is counted, what is left out, and what the figures mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from melink.demo.run import Demo
from melink.errors import InputError
from melink.evaluate.calibration import ece
from melink.linker import assemble
from melink.methods.confidence import Confidence, spread
from melink.records import NIL
from melink.runs import Run
from melink.train import calibrate as module
from melink.train.answers import OUTSIDE, Answers, collect, sentence
from melink.train.calibrate import calibrate, calibrate_answers, cross_validated, judge

START = Confidence(temperature=0.1, nil=0.5)


def drawn(n: int, seed: int, truth: Confidence, bend: Sequence[tuple[float, float]] = ()) -> Answers:
    """Draw gold from a confidence, whose first candidate may be right more or less often than it says."""
    rng = np.random.default_rng(seed)
    rows = np.sort(np.round(rng.normal(0.5, 0.3, (n, 5)), 3))[:, ::-1]
    found = spread(truth.model_copy(update={"curve": tuple(bend)}), rows)
    gold = []
    for own, nil in zip(found.candidates, found.nil, strict=True):
        rest = max(1 - own.sum() - nil, 0.0)  # what the curve gave to nobody goes to the last
        chances = np.r_[own[:-1], own[-1] + rest, nil]
        place = int(rng.choice(6, p=chances / chances.sum()))
        gold.append(OUTSIDE if place == 5 else place)
    return Answers.of(rows.tolist(), gold)


def test_a_bend_is_found_and_its_promise_is_held() -> None:
    truth = Confidence(temperature=0.2, nil=0.6)
    bend = ((0.0, 0.0), (0.3, 0.05), (0.5, 0.1), (0.7, 0.9), (1.0, 1.0))  # no temperature makes this
    found = calibrate_answers(drawn(2000, 0, truth, bend), START)
    assert found.metrics["calibration"] == "isotonic (cross-validated)" and found.confidence.curve
    assert found.metrics["Brier score, isotonic"] < found.metrics["Brier score, temperature"]
    fresh = drawn(2000, 1, truth, bend)
    told = judge(fresh, found.confidence)
    assert ece(told.certainty, told.right) == pytest.approx(found.metrics["ECE of answers, cross-validated"], abs=0.03)
    assert found.metrics["ECE of answers, cross-validated"] < found.metrics["ECE of answers, before"]


def test_few_mentions_get_a_temperature_only() -> None:
    found = calibrate_answers(drawn(45, 0, Confidence(temperature=0.2, nil=0.6)), START)
    assert found.metrics["calibration"] == "temperature (cross-validated)" and found.confidence.curve == ()


def test_the_choice_is_by_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a curve that lies, temperature wins; without the choice it would be used."""
    own = drawn(400, 2, Confidence(temperature=0.2, nil=0.6))
    monkeypatch.setattr(module, "fit_curve", lambda first, right: ((0.0, 0.01), (1.0, 0.02)))
    found = calibrate_answers(own, START)
    assert found.confidence.curve == () and "temperature" in found.metrics["calibration"]


def test_sentences_are_not_torn_apart() -> None:
    """Each sentence holds two copies of one mention: alone in another fold, a copy would give the other away."""
    own = drawn(60, 3, Confidence(temperature=0.2, nil=0.6))
    rows = own.scores.tolist()
    twice = Answers.of([*rows, *rows], [*own.gold, *own.gold], [("sentence_id", str(i % 60)) for i in range(120)])
    held, single = cross_validated(twice, START), cross_validated(own, START)
    assert held is not None and single is not None
    assert calibrate_answers(twice, START).metrics["folds"] == "5, by sentence_id"
    np.testing.assert_allclose(held[0].certainty[:60], held[0].certainty[60:])
    np.testing.assert_allclose(held[0].certainty[:60], single[0].certainty, atol=0.02)


def test_one_sentence_cannot_be_held_out() -> None:
    own = drawn(30, 4, Confidence(temperature=0.2, nil=0.6))
    one = Answers.of(own.scores.tolist(), own.gold.tolist(), [("text", "a")] * 30)
    found = calibrate_answers(one, START)
    assert found.metrics["calibration"] == "temperature (not cross-validated)" and "folds" not in found.metrics
    assert found.confidence.fitted and found.reliability


def test_held_out_f1_is_no_better_than_fitted_and_better_than_before() -> None:
    figures = calibrate_answers(drawn(600, 5, Confidence(temperature=0.2, nil=0.8)), START).metrics
    assert figures["NIL F1, fitted"] >= figures["NIL F1, cross-validated"] >= figures["NIL F1, before"] > 0


def test_the_objective_decides() -> None:
    own = drawn(600, 6, Confidence(temperature=0.2, nil=0.8))
    right = {}
    for objective in ("f1", "accuracy"):
        found = calibrate_answers(own, START.model_copy(update={"objective": objective}))
        right[objective] = (found.metrics["NIL F1, fitted"], found.metrics["accuracy of answers, fitted"])
        assert found.confidence.objective == objective
    assert right["f1"][0] >= right["accuracy"][0] and right["accuracy"][1] >= right["f1"][1]
    assert right["f1"] != right["accuracy"]


def test_nothing_to_fit_on() -> None:
    found = calibrate_answers(Answers.of([], []), START, lost=3)
    assert found.confidence is START and found.reliability == ""
    assert found.metrics == {"validation mentions used": 0, "left out, gold not a candidate": 3}


def test_the_diagram_is_a_file_of_its_own() -> None:
    drawing = ElementTree.fromstring(calibrate_answers(drawn(200, 7, START), START).reliability)
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    counts = [own.text or "" for own in drawing.iter("{http://www.w3.org/2000/svg}text") if "class" not in own.attrib]
    assert sum(map(int, counts)) == 200


def test_collecting_tells_nil_missed_and_unlabelled_apart(demo: Demo) -> None:
    linker = assemble(Run(method="names", generators=("names", "fuzzy"), k=20), demo.linker.kb)
    first = demo.samples[0]
    ids = [c.id for c in linker.link([first.mention], 20)[0].candidates]
    far = replace(first, gold=next(id for id in demo.linker.kb.view().ids if id not in ids))
    some = [first, replace(first, gold=NIL), replace(first, gold="not-there"), replace(first, gold=None), far]
    own, lost = collect(linker, some)
    assert lost == 1 and own.gold.tolist() == [ids.index(str(first.gold)), OUTSIDE, OUTSIDE]
    assert own.scores.shape == (3, len(ids)) and own.groups.tolist() == [0, 0, 0] and own.grouped_by == "text"
    assert sentence(replace(first, extra={"sentence_id": 7})) == ("sentence_id", "7")
    with pytest.raises(InputError, match="no mention has gold"):
        collect(linker, [replace(first, gold=None)])


@pytest.mark.parametrize("method", ["names", "zeroshot"])
def test_a_calibrated_linker_answers_as_its_figures_say(demo: Demo, method: str) -> None:
    linker = assemble(Run(method=method, generators=("names", "fuzzy"), k=20), demo.linker.kb)
    found = calibrate(linker, demo.samples)
    settings = {**linker.method.settings(), "confidence": found.confidence.model_dump(mode="json")}
    again = assemble(linker.run.model_copy(update={"settings": settings}), demo.linker.kb)
    assert again.method.confidence == found.confidence
    own, lost = collect(linker, demo.samples)
    assert found.metrics["validation mentions used"] + lost == len(demo.samples)
    links = again.link([sample.mention for sample in demo.samples])
    if not lost:
        right = [link.id == sample.gold for link, sample in zip(links, demo.samples, strict=True)]
        assert found.metrics["accuracy of answers, fitted"] == pytest.approx(np.mean(right), abs=1e-4)
        sure = judge(own, found.confidence).certainty
        assert [link.probability for link in links] == pytest.approx(sure.tolist(), abs=1e-5)
    assert all(link.evidence["calibrated"] for link in links)
