"""KGMEL's reranker worked by hand: which triples are kept, against plain loops, and how an answer is read."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from melink.features.encoder import Encoder
from melink.features.load import load_text
from melink.features.store import FeatureStore
from melink.records import Entity, Mention, Scored, Triple
from melink.rerank.base import Case
from melink.rerank.choice import Choices
from melink.rerank.kept_triples import Kept, TripleFilter, relation_of, spelled, surviving, tail_of
from melink.rerank.kgmel import read

RELATIONS = ("occupation", "place of birth", "sex", "position held", "member of", "award", "country", "sport")
TAILS = (
    "actor", "film actor", "politician", "senator", "singer", "Georgia", "Atlanta", "Tbilisi", "France", "male",
    "female", "basketball player", "basketball", "Milwaukee Bucks", "painter", "Nobel Prize", "poet", "member of",
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_text("minilm")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


def case(mention: Mention, *entities: Entity) -> Case:
    return Case(mention, tuple(Scored(each.id, each.label, 1.0) for each in entities), entities)


def test_the_nearest_survive_for_each_wanted_one() -> None:
    offered = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    one, two = np.array([[1, 0]], np.float32), np.array([[1, 0], [0, 1]], np.float32)
    assert surviving(one, offered, 1).tolist() == [True, False, False, False]
    assert surviving(one, offered, 2).tolist() == [True, True, False, False]
    assert surviving(two, offered, 1).tolist() == [True, False, True, False]  # the union, not what both like
    assert surviving(two, offered, 9).tolist() == [True] * 4
    assert surviving(one, offered[:0], 3).tolist() == []
    assert surviving(np.array([[0, 1]], np.float32), offered[[0, 3, 0]], 1).tolist() == [True, False, False]  # ties


def plain_loops(
    encoder: Encoder, mention: Mention, entities: list[Entity], n: int, most: int
) -> list[list[tuple[Triple, Triple]]]:
    """METHODS.md §3, stage 3, as it is written there."""

    def alike(one: str, other: str) -> float:
        first, second = encoder.encode([one]).vectors[0], encoder.encode([other]).vectors[0]
        return round(float(sum(float(a) * float(b) for a, b in zip(first, second, strict=True))), 5)

    kept_tails: set[str] = set()
    kept_relations: set[str] = set()
    for own in mention.triples:
        tails: list[str] = []
        relations: list[str] = []
        for entity in entities:  # the union of the candidates
            for triple in entity.triples:
                tails += [] if tail_of(triple) in tails else [tail_of(triple)]
                relations += [] if relation_of(triple) in relations else [relation_of(triple)]
        kept_tails |= set(sorted(tails, key=lambda tail: -alike(tail, tail_of(own)))[:n])
        kept_relations |= set(sorted(relations, key=lambda relation: -alike(relation, relation_of(own)))[: 2 * n])
    found = []
    for entity in entities:
        left = []
        for triple in entity.triples:
            if tail_of(triple) in kept_tails and relation_of(triple) in kept_relations:
                both = [
                    (alike(relation_of(triple), relation_of(own)) + alike(tail_of(triple), tail_of(own))) / 2
                    for own in mention.triples
                ]
                left.append((round(max(both), 4), triple, mention.triples[both.index(max(both))]))
        left.sort(key=lambda each: -each[0])
        found.append([(triple, answers) for _, triple, answers in left[:most]])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_filter_against_plain_loops(seed: int, encoder: Encoder, store: FeatureStore) -> None:
    draw = random.Random(seed)
    words: Callable[[], Triple] = lambda: Triple(draw.choice(RELATIONS), draw.choice(TAILS), literal=True)  # noqa: E731
    entities = [
        Entity(f"Q{k}", f"Name {k}", triples=tuple(dict.fromkeys(words() for _ in range(draw.randrange(7)))))
        for k in range(5)
    ]
    mention = Mention("", "A name in a text", "name", triples=tuple(dict.fromkeys(words() for _ in range(3))))
    n, most = draw.choice([(1, 3), (2, 2), (3, 9)])
    (found,) = TripleFilter(store, encoder, n, most, 50).kept([case(mention, *entities)])
    expected = plain_loops(encoder, mention, entities, n, most)
    assert [[(kept.triple, kept.answers) for kept in own] for own in found] == expected
    assert any(found)


def test_by_hand(encoder: Encoder, store: FeatureStore) -> None:
    """One triple of the mention, n = 1: one tail and two relations survive, and a triple must have both."""
    mention = Mention("", "Robertson on court", "Robertson", triples=(Triple("occupation", "basketball player", True),))
    player = Entity("Q1", "Oscar", triples=(
        Triple("P106", "Q1", relation_label="occupation", tail_label="basketball player"),
        Triple("place of birth", "Charlotte", True),
        Triple("award", "basketball player", True),
    ))  # fmt: skip
    priest = Entity("Q2", "Pat", triples=(Triple("profession", "priest", True), Triple("sex", "male", True)))
    (found,) = TripleFilter(store, encoder, 1, 10, 50).kept([case(mention, player, priest, Entity("Q3", "Ann"))])
    # tails: "basketball player" alone; relations: "occupation" and "profession", so the award goes
    assert found == [[Kept(player.triples[0], mention.triples[0], 1.0)], [], []]
    assert found[0][0].evidence() == {
        "triple": "occupation: basketball player", "answers": "occupation: basketball player", "similarity": 1.0,
    }  # fmt: skip


def test_each_wording_counts_once() -> None:
    twice = (
        Triple("P1", "Q2", relation_label="sport", tail_label="golf"),
        Triple("sport", "golf", literal=True),
        Triple(" ", "golf", literal=True),
        Triple("sport", "  ", literal=True),
        Triple("sport", "chess", literal=True),
    )
    assert spelled(twice) == [twice[0], twice[4]]


OFFERED = Choices({"k47": "Q1", "b12": "Q2", "z90": "Q3"})


@pytest.mark.parametrize(
    ("said", "chosen", "cited"),
    [
        ('{"facts": ["b12.2", "k47.1"], "id": "b12"}', "Q2", [("Q2", 2), ("Q1", 1)]),
        ('{"facts": [], "id": "z90"}', "Q3", []),
        ('{"id": "k47"}', "Q1", []),
        ('{"facts": ["z90.1"]}', None, [("Q3", 1)]),  # a citation chooses nobody
        ('{"facts": ["z90.1"], "id": "z90.1"}', None, [("Q3", 1)]),
        ('{"facts": ["z90.1"], "id": "k4', None, [("Q3", 1)]),  # cut off
        ("z90.1 and z90.2 speak for it.\nb12", "Q2", [("Q3", 1), ("Q3", 2)]),
        ("the first in the list: z90, then k47", "Q3", []),
        ('{"facts": ["x11.1", "k47.0", "k47", 7, null, "k47.99999999999"], "id": "k47"}', "Q1",
         [("Q1", 0), ("Q1", 999999)]),
        ('{"facts": "b12.1", "id": "Q2"}', None, [("Q2", 1)]),  # an entity id was not offered
        ('{"facts": ["k47"], "choice": "b12"}', "Q2", []),
        ('{"facts": "k47"}', None, []),
        ('{"facts": ["k47"], "id": "b12"', "Q2", []),  # cut off
        ('{"facts": ["k47", "b1', None, []),
        ('Here is the JSON: {"facts": ["k47"], "id": "b12"} hope it helps, k47', "Q2", []),
        ("k47 or so: {'facts': ['z90.2'], 'id': 'b12'}", "Q2", [("Q3", 2)]),
        ("<think>k47.1 k47</think>", None, []),
        ("", None, []),
    ],
)  # fmt: skip
def test_answers(said: str, chosen: str | None, cited: list[tuple[str, int]]) -> None:
    assert read(OFFERED, said) == (chosen, cited)


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("[k47] is a singer, but it is about acting; [b12]: occupation: actor supports it.\nb12", "Q2"),
        ("k47\n**b12**\nk47 is another one.", "Q2"),
        ("k47.1: singer\nSo it is b12, not k47.", "Q2"),
        ('k47 sings.\n{"id": "b12"}', "Q2"),
        ("x11", None),
    ],
)
def test_facts_in_words_and_then_a_line_with_the_id(said: str, chosen: str | None) -> None:
    assert read(OFFERED, said, spoken=True)[0] == chosen


def test_at_most_three_facts_are_cited() -> None:
    assert read(OFFERED, '{"facts": ["k47.1", "k47.1", "k47.2", "b12.1", "b12.2"], "id": "k47"}') == (
        "Q1", [("Q1", 1), ("Q1", 2), ("Q2", 1)],
    )  # fmt: skip
