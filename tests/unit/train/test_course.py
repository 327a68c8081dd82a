"""What a training is made of: which mentions count, how candidates become pools, how validation judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from melink.candidates.names import Names
from melink.errors import InputError
from melink.records import NIL, Entity, Labelled, Mention
from melink.train.course import Course
from melink.train.negatives import NONE
from melink.train.plan import Plan

LINES = {"E1": (1.0, 0.0), "E2": (0.0, 0.5), "E3": (0.0, 2.0), "E4": (0.0, 0.1)}


def test_mentions_without_gold_here_are_left_out_and_counted(anns: Any, toy: Any) -> None:
    course = anns.course(toy(LINES), ["E1", NIL, None, "Q9", "E2", "Q9"], ["E1", NIL, None, "Q9"])
    assert course.left_out == {"gold is NIL": 1, "no gold": 1, "gold is not in the knowledge base": 2}
    ids = [course.view.ids[place] for place in course.pools.gold]
    assert ids == ["E1", "E2"]
    assert course.validate(lambda prepared, batch: np.zeros(batch.allowed.shape))["mrr"] == pytest.approx(1 / 2.5)


@pytest.mark.parametrize("split", ["training", "validation"])
def test_nothing_to_learn_from(anns: Any, toy: Any, split: str) -> None:
    some, none = ["E1"], [NIL, None, "Q9"]
    with pytest.raises(InputError, match=f"no {split} mention has gold"):
        anns.course(toy(LINES), *((none, some) if split == "training" else (some, none)))


def test_pools_hold_neither_gold_nor_what_reads_the_same(anns: Any, toy: Any) -> None:
    course = anns.course(toy(LINES), ["E1", "E2", "E4"], ["E1"], negatives={"pool": 3})
    ids = [[course.view.ids[p] for p in row if p != NONE] for row in course.pools.hard]
    assert ids == [["E2", "E3"], ["E1", "E3", "E4"], ["E2", "E3"]]
    assert not course.pools.easy.any()  # all are called Ann


def test_without_generators_others_gold_is_all(anns: Any, toy: Any) -> None:
    whole = anns.course(toy(LINES), ["E1", "E2"], ["E1"])
    parts = [whole.view.ids[place] for place in whole.pools.gold]
    samples = [anns_sample(id, n) for n, id in enumerate(parts)]
    course = Course(toy(LINES), anns.kb, [], [Names(anns.kb)], samples, samples, Plan(batch=2))
    assert (course.pools.hard == NONE).all() and not course.pools.easy.any()
    (batch,) = course.batches(0)
    assert batch.allowed.all() and batch.allowed.shape == (2, 2)


def anns_sample(gold: str, n: int) -> Labelled:
    return Labelled(Mention(str(n), "Ann", "Ann", 0, 3), gold)


def test_validation_by_hand(anns: Any, toy: Any) -> None:
    course = anns.course(toy(LINES), ["E1"], ["E1", "E2", "E3"], valid_candidates=3)  # E4 is not among them
    heights = np.asarray([3.0, 1.0, 2.0])
    seen = course.validate(lambda prepared, batch: np.tile(heights, (3, 1)))
    assert seen["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 2) / 3)
    assert seen["hits@1"] == pytest.approx(1 / 3) and seen["candidate_recall"] == 1
    tied = course.validate(lambda prepared, batch: np.tile([1.0, 1.000001, 0.0], (3, 1)))
    assert tied["mrr"] == pytest.approx((1 / 1.5 + 1 / 1.5 + 1 / 3) / 3)  # equal to five digits


def test_gold_that_is_no_candidate_is_a_miss(anns: Any, toy: Any) -> None:
    course = anns.course(toy(LINES), ["E1"], ["E1", "E4"], valid_candidates=3)
    found = course.validate(lambda prepared, batch: np.tile([1.0, 0.0, 0.0], (2, 1)))
    assert found == {"mrr": pytest.approx(0.5), "hits@1": 0.5, "candidate_recall": 0.5}


def test_a_sample_of_the_validation_is_drawn_once(anns: Any, toy: Any) -> None:
    valid = ["E1", "E2", "E3"] * 10
    courses = [anns.course(toy(LINES), ["E1"], valid, valid_mentions=7, seed=seed) for seed in (0, 0, 1)]
    golds = [course._valid_gold.tolist() for course in courses]
    assert len(golds[0]) == 7 and golds[0] == golds[1] != golds[2]


def test_hard_candidates_in_the_order_of_a_model(anns: Any, toy: Any) -> None:
    course = anns.course(toy(LINES), ["E1", "E2"], ["E1"])
    column = {id: height for id, (_, height) in LINES.items()}

    def score(prepared: Any, batch: Any) -> np.ndarray:
        return np.tile([column[course.view.ids[place]] for place in batch.entities], (len(batch.mentions), 1))

    new = course.mined(score)
    ids = [[course.view.ids[p] for p in row if p != NONE] for row in new.hard]
    assert ids == [["E3", "E2"], ["E3", "E4", "E1"]]


def test_steps_are_counted_without_making_batches(anns: Any, toy: Any) -> None:
    course = anns.course(toy(LINES), ["E1", "E2", "E3"] * 5, ["E1"], batch=4, accumulate=3)
    for epoch in range(3):
        assert course.steps(epoch) == -(-len(course.batches(epoch)) // 3)


def test_a_key_changes_with_all_that_must_be_the_same(anns: Any, toy: Any) -> None:
    def key(gold: str = "E1", valid: str = "E1", lines: Any = LINES, **plan: Any) -> str:
        return str(anns.course(toy(lines), [gold], [valid], **plan).key)

    keys = [key(), key("E2"), key(valid="E2"), key(lines={**LINES, "E1": (2.0, 0.0)}), key(seed=1), key(batch=8)]
    assert len(set(keys)) == len(keys) and key() == keys[0]
    anns.kb.upsert([Entity("E2", "Ann", description="a longer river")])
    assert key() not in keys
