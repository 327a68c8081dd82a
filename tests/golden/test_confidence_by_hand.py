"""Temperature and NIL: the probabilities by hand, and a fit that finds what was planted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from melink.methods.confidence import Confidence
from melink.train.answers import OUTSIDE, Answers
from melink.train.estimates import COLDEST, LEAST, fit_curve, fit_temperature, fit_threshold


def test_probabilities_by_hand() -> None:
    found, nil = Confidence(temperature=0.5, nil=0.2).probabilities([0.9, 0.4])
    weights = [math.exp(0.9 / 0.5), math.exp(0.4 / 0.5), math.exp(0.2 / 0.5)]
    assert [*found, nil] == pytest.approx([weight / sum(weights) for weight in weights])


@pytest.mark.parametrize("scores", [[], [0.0], [5.0, 5.0], [1e6, -1e6], [-900.0, -901.0], list(range(100))])
@pytest.mark.parametrize("nil", [None, 0.0, 1e5])
@pytest.mark.parametrize("temperature", [COLDEST, 0.1, 100.0])
def test_probabilities_sum_to_one(scores: list[float], nil: float | None, temperature: float) -> None:
    found, missing = Confidence(temperature=temperature, nil=nil).probabilities(scores)
    assert found.sum() + missing == pytest.approx(1.0)
    assert np.isfinite(found).all() and (found >= 0).all() and missing >= 0
    order = np.argsort(scores, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    if nil is None and scores:
        assert missing == 0.0


def test_nobody_to_choose_from_is_nil() -> None:
    assert Confidence(temperature=0.1, nil=None).probabilities([])[1] == 1.0
    assert Confidence(temperature=0.1, nil=0.3).probabilities([])[1] == 1.0


def fit(scores: list[list[float]], gold: list[int | None], start: Confidence) -> Confidence:
    return fit_temperature(Answers.of(scores, [OUTSIDE if place is None else place for place in gold]), start)


def planted(temperature: float, nil: float | None, n: int, seed: int) -> tuple[list[list[float]], list[int | None]]:
    """Draw answers from the model itself."""
    rng = np.random.default_rng(seed)
    scores, gold = [], []
    truth = Confidence(temperature=temperature, nil=nil)
    for _ in range(n):
        own = sorted(rng.normal(1.0, 0.4, 8).tolist(), reverse=True)
        chances, missing = truth.probabilities(own)
        answer = int(rng.choice(9, p=[*chances, missing]))
        scores.append(own)
        gold.append(None if answer == 8 else answer)
    return scores, gold


def test_fit_finds_what_was_planted() -> None:
    found = fit(*planted(0.25, 1.3, 1500, 0), Confidence(temperature=0.05, nil=0.5))
    assert found.fitted
    assert found.temperature == pytest.approx(0.25, rel=0.15)
    assert found.nil == pytest.approx(1.3, abs=0.05)


def test_fit_beats_its_start() -> None:
    scores, gold = planted(0.4, 1.0, 300, 1)

    def likelihood(confidence: Confidence) -> float:
        chances = [confidence.probabilities(own) for own in scores]
        return sum(math.log(nil if g is None else c[g]) for (c, nil), g in zip(chances, gold, strict=True))

    start = Confidence(temperature=0.1, nil=0.5)
    assert likelihood(fit(scores, gold, start)) > likelihood(start)


def test_without_nil_the_nil_score_is_kept() -> None:
    scores, gold = planted(0.3, None, 400, 2)
    assert None not in gold
    for nil in (None, 0.7):
        found = fit(scores, gold, Confidence(temperature=0.1, nil=nil))
        assert found.nil == nil and found.fitted
    assert fit(scores, gold, Confidence(temperature=0.1)).temperature == pytest.approx(0.3, rel=0.25)


def test_nothing_is_fitted_without_data() -> None:
    start = Confidence(temperature=0.07, nil=0.4)
    assert fit([], [], start) is start


def test_perfect_data_do_not_freeze_it() -> None:
    """Separable answers push T towards 0, where nothing can be computed any more."""
    found = fit([[1.0, 0.0]] * 50, [0] * 50, Confidence(temperature=0.1, nil=None))
    assert found.temperature >= COLDEST
    assert round(found.temperature, 6) > 0
    assert found.probabilities([1.0, 0.0])[0].tolist() == pytest.approx([1.0, 0.0], abs=1e-5)


def test_mentions_without_candidates_can_be_fitted_on() -> None:
    found = fit([[], [0.9, 0.1], [0.2]], [None, 0, None], Confidence(temperature=0.1, nil=0.5))
    assert found.temperature > 0 and math.isfinite(found.nil)


BENT = Confidence(temperature=1.0, nil=0.0, curve=((0.2, 0.1), (0.6, 0.5), (0.8, 0.9)))


def test_a_curve_by_hand() -> None:
    scores = [math.log(6.0), math.log(2.0), math.log(1.0)]  # p = .6, .2, .1 and .1 for NIL
    found, nil = BENT.probabilities(scores)
    assert [*found, nil] == pytest.approx([0.5, 0.1, 0.1, 0.1 * 0.5 / 0.4])  # the second would get .25: kept at g(.2)
    rising = BENT.model_copy(update={"curve": ((0.1, 0.1), (0.6, 0.9))})
    assert [*rising.probabilities(scores)[0]] == pytest.approx([0.9, 0.05, 0.025])


def test_candidates_that_share_the_first_place_share_its_probability() -> None:
    sure = Confidence(temperature=1.0, nil=0.0, curve=((0.0, 0.9), (1.0, 0.9)))
    found, nil = sure.probabilities([1.0, 1.0, 0.0])
    assert found.tolist() == pytest.approx([0.5, 0.5, 0.0]) and nil == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("threshold", "scores", "is_nil"),
    [(None, [0.3, 0.1], True), (None, [0.5], False), (0.2, [0.3], False), (0.6, [0.55], True), (0.2, [], True)],
)
def test_nil_is_decided_by_the_first_score(threshold: float | None, scores: list[float], is_nil: bool) -> None:
    confidence = Confidence(temperature=0.1, nil=0.5, threshold=threshold)
    found = confidence.decide(scores)
    chances, nil = confidence.probabilities(scores)
    assert found.is_nil is is_nil and found.nil == nil
    assert found.certainty == (nil if is_nil else chances[0])


def test_a_method_without_nil_says_nil_to_nobody_only() -> None:
    assert not Confidence().decide([-1e9]).is_nil and Confidence().decide([]).is_nil


@pytest.mark.parametrize(
    "curve", [[(0.5, 0.4), (0.2, 0.6)], [(0.1, 0.5), (0.2, 0.4)], [(0.5, 1.2)], [(0.2, math.nan)], [(0.5, 0.5)] * 2]
)
def test_a_curve_that_does_not_rise_is_refused(curve: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="rise"):
        Confidence(curve=tuple(curve))


def pooled(values: list[float], weights: list[float]) -> list[float]:
    """Pool adjacent violators, one at a time."""
    blocks = [[value, weight, 1.0] for value, weight in zip(values, weights, strict=True)]
    while place := next((i for i in range(1, len(blocks)) if blocks[i][0] < blocks[i - 1][0]), None):
        (a, wa, na), (b, wb, nb) = blocks[place - 1 : place + 1]
        blocks[place - 1 : place + 1] = [[(a * wa + b * wb) / (wa + wb), wa + wb, na + nb]]
    return [value for value, _, count in blocks for _ in range(int(count))]


def test_the_curve_by_plain_loops() -> None:
    rng = np.random.default_rng(5)
    first = np.sort(rng.random(8 * LEAST))
    right = rng.random(len(first)) < 0.25 + 0.5 * first
    classes = [range(start, start + LEAST) for start in range(0, len(first), LEAST)]
    shares = [(sum(right[i] for i in own) + 1) / (LEAST + 2) for own in classes]
    levels = pooled(shares, [LEAST] * 8)
    assert len(set(levels)) < 8  # some classes were levelled
    expected = []
    for level in sorted(set(levels)):
        members = [i for own, its in zip(classes, levels, strict=True) if its == level for i in own]
        expected.append((sum(first[i] for i in members) / len(members), level))
    assert np.array(fit_curve(first, right)) == pytest.approx(np.array(expected), abs=2e-6)
    shuffled = rng.permutation(len(first))
    assert fit_curve(first[shuffled], right[shuffled]) == fit_curve(first, right)


def test_too_few_or_all_equal_give_no_bend() -> None:
    assert fit_curve(np.linspace(0, 1, 2 * LEAST - 1), np.ones(2 * LEAST - 1, bool)) == ()
    assert fit_curve(np.full(4 * LEAST, 0.7), np.ones(4 * LEAST, bool)) == ((0.7, round((LEAST + 1) / (LEAST + 2), 6)),)


@pytest.mark.parametrize("objective", ["f1", "accuracy"])
@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_by_plain_loops(objective: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 30
    outside = rng.random(n) < 0.4
    best = np.round(rng.normal(np.where(outside, 0.4, 0.8), 0.3), 1)  # many ties
    best[: seed % 3] = -np.inf  # without candidates
    right = ~outside & (best > -np.inf) & (rng.random(n) < 0.7)

    def gain(threshold: float) -> tuple[float, int]:
        said = [b < threshold for b in best]
        hits = sum(s and o for s, o in zip(said, outside, strict=True))
        if objective == "f1":
            return round(2 * hits / (sum(said) + outside.sum()), 12), -sum(said)
        return round((hits + sum(r and not s for s, r in zip(said, right, strict=True))) / n, 12), -sum(said)

    found = fit_threshold(best, outside, right, objective)  # type: ignore[arg-type]
    tried = [value + step for value in best[np.isfinite(best)] for step in (-0.01, 0.01)]
    assert found is not None and gain(found) == max(map(gain, tried))


def test_a_threshold_needs_candidates() -> None:
    nobody = np.full(3, -np.inf)
    assert fit_threshold(nobody, np.ones(3, bool), np.zeros(3, bool)) is None
    assert fit_threshold(nobody[:0], np.ones(0, bool), np.zeros(0, bool)) is None
