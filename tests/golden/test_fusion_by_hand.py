"""Reciprocal-rank fusion, written out."""

from __future__ import annotations

import itertools

import pytest

from melink.candidates.base import Candidates, Hits
from melink.candidates.fusion import fuse, fused, mean_ranks
from melink.records import Mention


class Fixed:
    """A generator whose answers are written down."""

    def __init__(self, name: str, hits: list[Hits]) -> None:
        self.name, self._hits, self.asked = name, hits, 0

    def search(self, mentions: list[Mention], k: int) -> list[Hits]:
        self.asked = k
        return [hits[:k] for hits in self._hits[: len(mentions)]]


def test_ties_share_their_mean_rank() -> None:
    hits = [("a", 9.0), ("b", 5.0), ("c", 5.0), ("d", 5.0), ("e", 1.0), ("f", 1.0)]
    assert mean_ranks(hits) == [("a", 1.0), ("b", 3.0), ("c", 3.0), ("d", 3.0), ("e", 5.5), ("f", 5.5)]
    assert mean_ranks([]) == []


def test_fusion_by_hand() -> None:
    found = {
        "names": [[("a", 1.0), ("b", 1.0)]],  # both at rank 1.5
        "dense": [[("c", 0.9), ("b", 0.8), ("a", 0.1)]],
    }
    scores = {"a": 1 / 61.5 + 1 / 63, "b": 1 / 61.5 + 1 / 62, "c": 1 / 61}
    assert scores["b"] > scores["a"] > scores["c"]
    fusion = fuse(found, 1, 3)
    assert fusion.ids == (("b", "a", "c"),)
    assert fusion.sources == ({"b": {"names": 2, "dense": 2}, "a": {"names": 1, "dense": 3}, "c": {"dense": 1}},)
    assert fuse(found, 1, 1).ids == (("b",),)


def test_ties_of_the_sum_are_ordered_by_id() -> None:
    assert fuse({"x": [[("b", 2.0), ("a", 1.0)]], "y": [[("a", 2.0), ("b", 1.0)]]}, 1, 2).ids == (("a", "b"),)


def test_one_generator_keeps_its_order() -> None:
    hits = [("z", 3.0), ("m", 2.0), ("a", 1.0)]
    assert fuse({"x": [hits]}, 1, 3).ids == (("z", "m", "a"),)


def test_the_order_of_generators_changes_nothing() -> None:
    found = {
        "x": [[("a", 2.0), ("b", 1.0), ("c", 0.5)], []],
        "y": [[("c", 7.0), ("d", 7.0)], [("q", 1.0)]],
        "z": [[("b", 0.1)], [("r", 1.0), ("q", 1.0)]],
    }
    fusions = [fuse(dict(order), 2, 10) for order in itertools.permutations(found.items())]
    assert all(fusion.ids == fusions[0].ids for fusion in fusions)
    assert all([dict(where) for where in f.sources] == [dict(where) for where in fusions[0].sources] for f in fusions)
    assert fusions[0].ids[1] == ("q", "r")


def test_generators_are_asked_for_more_than_is_kept() -> None:
    first, second = Fixed("x", [[("a", 1.0)]]), Fixed("y", [[("b", 1.0)]])
    assert fused([first, second], [Mention("1", "t", "s")], 5) == Candidates(
        (("a", "b"),), ({"a": {"x": 1}, "b": {"y": 1}},)
    )
    assert first.asked == second.asked == 20


def test_union_keeps_the_order_of_first_appearance() -> None:
    assert Candidates((("b", "a"), ("c", "b"), ())).union() == ["b", "a", "c"]


@pytest.mark.parametrize("m", [0, 2])
def test_nothing_found(m: int) -> None:
    assert fuse({"x": [[] for _ in range(m)]}, m, 5).ids == ((),) * m
