"""What no confidence may do, whatever its temperature, curve and scores."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from melink.methods.confidence import MOST_POINTS, Confidence, spread
from melink.train.answers import OUTSIDE, Answers
from melink.train.calibrate import calibrate_answers, fit_both

SMALL = 1e-9
number = st.floats(-5, 5).map(lambda value: round(value, 2))  # coarse, so that ties are met
lists = st.lists(number, min_size=1, max_size=6)
share = st.floats(0, 1).map(lambda value: round(value, 3))


@st.composite
def confidences(draw: st.DrawFn) -> Confidence:
    places = sorted(draw(st.sets(share, max_size=6)))
    values = sorted(draw(st.lists(share, min_size=len(places), max_size=len(places))))
    return Confidence(
        temperature=draw(st.sampled_from([0.01, 0.3, 1.0, 20.0])),
        nil=draw(st.none() | number),
        curve=tuple(zip(places, values, strict=True)),
        threshold=draw(st.none() | number),
    )


@given(confidences(), lists)
@example(Confidence(temperature=0.01, nil=-3.75, curve=((0.0, 0.0),)), [3.5])  # NIL by e to the −725
@settings(max_examples=300, deadline=None)
def test_probabilities_are_such_and_keep_the_order(confidence: Confidence, scores: list[float]) -> None:
    found, nil = confidence.probabilities(scores)
    assert (found >= 0).all() and (found <= 1).all() and 0 <= nil <= 1
    assert found.sum() + nil <= 1 + SMALL
    assert (np.diff(found[np.argsort(scores, kind="stable")]) >= -SMALL).all()
    by_score: dict[float, set[float]] = {}
    for score, chance in zip(scores, found.tolist(), strict=True):
        by_score.setdefault(score, set()).add(chance)
    assert all(len(chances) == 1 for chances in by_score.values())  # equal scores, equal probabilities
    certainty = confidence.decide(scores).certainty
    assert certainty in (nil, found.max())


@given(confidences(), lists, st.data())
@settings(max_examples=300, deadline=None)
def test_a_higher_score_never_means_a_lower_probability(
    confidence: Confidence, scores: list[float], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(scores) - 1))
    more = [score + (data.draw(st.floats(0, 3)) if i == place else 0) for i, score in enumerate(scores)]
    before, after = confidence.decide(scores), confidence.decide(more)
    assert after.probabilities[place] >= before.probabilities[place] - SMALL
    assert before.is_nil or not after.is_nil  # nor is the answer NIL for it


@given(confidences(), lists, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_and_padding_mean_nothing(confidence: Confidence, scores: list[float], random: object) -> None:
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    found, nil = confidence.probabilities(scores)
    again, same = confidence.probabilities([scores[place] for place in order])
    np.testing.assert_allclose(again, found[order], atol=SMALL)
    padded = spread(confidence, np.array([[*scores, -np.inf, -np.inf], [-np.inf] * (len(scores) + 2)]))
    np.testing.assert_allclose(padded.candidates[0], [*found, 0, 0], atol=SMALL)
    assert abs(padded.nil[0] - nil) < SMALL and abs(same - nil) < SMALL
    assert padded.nil[1] == 1 and padded.is_nil[1] and not padded.candidates[1].any()


def answers(n: int, seed: int, nils: float) -> Answers:
    """Scores of which the highest is right more often than a softmax of them would say."""
    rng = np.random.default_rng(seed)
    outside = rng.random(n) < nils
    rows = [np.sort(np.round(rng.normal(0.4, 0.2, 6), 3))[::-1] for _ in range(n)]
    gold = [OUTSIDE if out else int(rng.random() ** 4 * 6) for out in outside]
    for row, out in zip(rows, outside, strict=True):
        row += 0.0 if out else 0.25
    return Answers.of(rows, gold)


def test_what_is_fitted_keeps_these_too() -> None:
    own = answers(500, 0, 0.3)
    _, curved = fit_both(own, Confidence(temperature=0.1, nil=0.5))
    assert 2 <= len(curved.curve) <= MOST_POINTS
    again = Confidence.model_validate(curved.model_dump(mode="json"))  # also checks that the curve rises
    assert again == curved
    found = spread(curved, own.scores)
    assert (np.diff(found.candidates, axis=1) <= SMALL).all()
    assert (found.candidates.sum(axis=1) + found.nil <= 1 + SMALL).all()


def test_without_nil_mentions_nil_is_said_no_more_than_before() -> None:
    own = answers(300, 1, 0.0)
    for start in (
        Confidence(temperature=0.1, nil=0.6),
        Confidence(temperature=0.1, nil=0.3, threshold=0.55),
        Confidence(),
    ):
        found = calibrate_answers(own, start).confidence
        assert found.fitted and (found.nil, found.threshold) == (start.nil, start.threshold)
        np.testing.assert_array_equal(spread(found, own.scores).is_nil, spread(start, own.scores).is_nil)
