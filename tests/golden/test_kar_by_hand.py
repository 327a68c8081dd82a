"""KAR worked by hand: both parsers, the new order, the majority, ranks and the matrix before and after."""

from __future__ import annotations

import pytest

from melink.evaluate.outcome import Outcome
from melink.evaluate.reranked import matrix, rank_after
from melink.records import Link, Mention, Scored
from melink.rerank.base import Look
from melink.rerank.choice import Choices
from melink.rerank.kar import read
from melink.rerank.votes import arrangements, majority

OFFERED = Choices({"k47": "Q1", "b12": "Q2", "z90": "Q3", "m33": "Q4"})
PLACE = {"Q1": 0, "Q2": 1, "Q3": 2, "Q4": 3}
MENTION = Mention("1", "Georgia sings", "Georgia")


def order(text: str, variant: str) -> str:
    """Return the ids of Q1 … Q4 after an answer, as digits."""
    named = tuple(PLACE[id] for id in read(OFFERED, text, variant))
    return "".join(str(place + 1) for place in Look(named).order(4))


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ('{"id": "z90"}', "3124"),  # the chosen one to the front, the others as they were
        ("z90", "3124"),
        ("[m33] because it sings", "4123"),
        ("b12 or perhaps z90", "2134"),  # the first of several
        ('{"id": "k47"}', "1234"),
        ('{"id": ["b12"]}', "2134"),  # a list of one
        ('{"id": ["b12", "z90"]}', "1234"),  # of several
        ('{"id": "k48"}', "1234"),  # not offered
        ("Q3", "1234"),  # an entity id is no local id
        ("the third one", "1234"),
        ("", "1234"),
    ],
)
def test_select_one(text: str, after: str) -> None:
    assert order(text, "select_one") == after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ('{"ids": ["m33", "z90", "b12", "k47"]}', "4321"),
        ("z90 > k47", "3124"),  # missing ones follow as they were
        ("z90, z90, m33, z90", "3412"),  # repeats are dropped
        ('{"ids": ["x11", "b12", 7, "Q4", "b12"]}', "2134"),  # so is what was not offered
        ("m33", "4123"),
        ("none of these", "1234"),
        ('{"ids": []}', "1234"),
    ],
)
def test_rank_topk(text: str, after: str) -> None:
    assert order(text, "rank_topk") == after


def test_orders_of_a_list() -> None:
    assert arrangements(4, 1) == [[0, 1, 2, 3]]
    assert arrangements(4, 2) == [[0, 1, 2, 3], [2, 3, 0, 1]]
    assert arrangements(3, 3) == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    assert arrangements(3, 4) == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    assert arrangements(2, 9) == [[0, 1], [1, 0]]  # there are no others


def test_majority() -> None:
    assert majority([(2,), (1,), (2,)], 4) == ((2,), 2 / 3)
    assert majority([(3,), (1,)], 4) == ((1,), 1 / 2)  # a tie goes to the better of the retrieval
    # ranks of 0, 1, 2: 0 1 2, 1 0 2, 1 2 0 → sums 0+1+2, 1+0+0, 2+2+1 → 1, 0, 2
    assert majority([(0, 1, 2), (1, 0, 2), (1, 2, 0)], 3) == ((1, 0, 2), 2 / 3)
    # named: 2 alone (then 0, 1, 3) and 2, 1 (then 0, 3); 2 sums to 0 and 1 to 2 + 1; 0 and 3 are named by nobody
    assert majority([(2,), (2, 1)], 4) == ((2, 1), 1.0)


def outcome(scores: list[float], gold: str, rank: float | None) -> Outcome:
    found = tuple(Scored(f"Q{place + 1}", "", score) for place, score in enumerate(scores))
    return Outcome(MENTION, gold, True, rank, len(scores), Link(MENTION, found))


def named(*ids: str) -> Link:
    return Link(MENTION, (), evidence={"rerank": {"named": list(ids)}})


def test_the_rank_of_gold_afterwards() -> None:
    third = outcome([0.9, 0.8, 0.7, 0.6], "Q3", 3.0)
    assert rank_after(third, named("Q3")) == 1  # chosen
    assert rank_after(third, named("Q2")) == 3  # somebody who was ahead anyway
    assert rank_after(third, named("Q4")) == 4  # overtaken
    assert rank_after(third, named()) == 3 and rank_after(third, Link(MENTION)) == 3
    assert rank_after(third, named("Q4", "Q1", "Q3", "Q2")) == 3
    tied = outcome([0.9, 0.8, 0.8, 0.8], "Q3", 3.0)  # 1 + one better + half of two equal
    assert rank_after(tied, named("Q4")) == 3.5  # one of them is ahead now, the other half still
    assert rank_after(tied, named("Q1")) == 3.0
    best = outcome([0.9, 0.8, 0.8, 0.8], "Q3", 2.0)
    assert rank_after(best, named("Q4"), "optimistic") == 3.0
    assert rank_after(outcome([0.9, 0.8, 0.8], "Q3", 3.0), named("Q2"), "pessimistic") == 3.0
    assert rank_after(outcome([0.9, 0.8], "Q9", 7.0), named("Q2")) == 7  # behind all that were shown
    assert rank_after(outcome([0.9, 0.8], "Q9", None), named("Q2")) is None  # a miss stays one


def test_the_matrix() -> None:
    def judged(*ranks: float | None) -> list[Outcome]:
        return [outcome([0.9], "Q1", rank) for rank in ranks]

    found = matrix(judged(1, 2, 2, 1.5, 4, 9, None), judged(1, 1, 3, 1, 2.5, 9, None), 3)
    assert found["ranks"] == ["1", "2", "3", "> 3", "miss"]
    assert found["counts"] == [
        [1, 0, 0, 0, 0],
        [2, 0, 1, 0, 0],  # 1.5 counts as 2
        [0, 0, 0, 0, 0],
        [0, 0, 1, 1, 0],  # 2.5 counts as 3
        [0, 0, 0, 0, 1],
    ]
    assert matrix([], [], 8)["ranks"][7:] == ["8", "> 8", "miss"]
    assert matrix([], [], 9)["ranks"][7:] == ["8", "9", "> 9", "miss"]
    assert matrix([], [], 16)["ranks"][7:] == ["8", "9–16", "> 16", "miss"]
