"""Stated facts against their formula, written out in loops."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest

from melink.kb.folding import tokens
from melink.methods.triple_score import STOPWORDS, TripleScorer
from melink.records import Mention, Triple

VOCABULARY = ("actor", "painter", "lake", "Chad", "N'Djamena", "the", "of", "river", "red", "Łódź", "band", "2010")
ENTITIES = 50

Facts = list[list[Triple]]


def random_facts(seed: int, n: int) -> Facts:
    rng = random.Random(seed)

    def fact() -> Triple:
        words = " ".join(rng.choices(VOCABULARY, k=rng.randrange(1, 4)))
        return Triple("P1", words, True) if rng.random() < 0.5 else Triple("P2", f"Q{hash_of(words)}", tail_label=words)

    return [[fact() for _ in range(rng.randrange(0, 6))] for _ in range(n)]


def hash_of(words: str) -> int:
    return sum(map(ord, words))


def random_mentions(seed: int, n: int) -> list[Mention]:
    rng = random.Random(seed)
    return [
        Mention(str(at), " ".join(rng.choices(VOCABULARY, k=rng.randrange(0, 7))), rng.choice(VOCABULARY))
        for at in range(n)
    ]


def frequencies(facts: Facts) -> Counter[str]:
    return Counter(tail for own in facts for tail in {triple.tail for triple in own})


def by_hand(mention: Mention, own: list[Triple], frequency: Counter[str], n: int) -> float:
    if not own:
        return math.nan
    surface = set(tokens(mention.surface))
    context = {word for word in tokens(mention.text) if word not in STOPWORDS and word not in surface}
    for triple in mention.triples:
        words = tokens(triple.tail_label or triple.tail)
        context |= {word for word in words if word not in STOPWORDS and word not in surface}
    left, seen = 1.0, set()
    for triple in own:
        words = {word for word in tokens(triple.tail_label or triple.tail) if word not in STOPWORDS}
        if not words or (triple.tail, frozenset(words)) in seen:
            continue
        seen.add((triple.tail, frozenset(words)))
        share = sum(word in context for word in words) / len(words)
        match = share * share if share >= 0.5 else 0.0
        rarity = min(max(1 - math.log(1 + frequency[triple.tail]) / math.log(1 + n), 0.0), 1.0)
        left *= 1 - 0.9 * match * rarity
    return 1 - left


def score(mentions: list[Mention], facts: Facts, frequency: Counter[str], n: int = ENTITIES) -> np.ndarray:
    scorer = TripleScorer(lambda tail: frequency[tail], n)
    return scorer.score(scorer.contexts(mentions), scorer.side(facts))


def test_formula() -> None:
    mentions, facts = random_mentions(1, 40), random_facts(2, ENTITIES)
    frequency = frequencies(facts)
    found = score(mentions, facts, frequency)
    expected = np.array([[by_hand(m, own, frequency, ENTITIES) for own in facts] for m in mentions])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.isnan(expected).any() and (expected > 0.3).any() and (expected == 0).any()


def test_one_fact_with_pencil_and_paper() -> None:
    facts = [
        [Triple("capital", "N'Djamena", True)],
        [Triple("a", "red lake", True)],
        [Triple("a", "big red lake", True)],
    ]
    mention = Mention("1", "Rain in N'Djamena, the red city of Chad", "Chad")
    frequency = Counter({"N'Djamena": 1, "red lake": 1, "big red lake": 1})
    rarity = 1 - math.log(2) / math.log(1 + 100)
    found = score([mention], facts, frequency, 100)[0]
    assert found.tolist() == pytest.approx([0.9 * rarity, 0.9 * 0.25 * rarity, 0.0])  # one of three words is too few


def test_facts_add_up_and_common_ones_say_nothing() -> None:
    rare, common = Triple("p", "actor", True), Triple("p", "human", True)
    mention = Mention("1", "the actor and painter, a human", "Smith")
    frequency = Counter({"actor": 3, "painter": 3, "human": 100})
    found = score([mention], [[rare], [rare, Triple("q", "painter", True)], [common]], frequency, 100)[0]
    assert 0 < found[0] < found[1] < 1
    assert found[1] == pytest.approx(1 - (1 - found[0]) ** 2, abs=1e-6)
    assert found[2] == pytest.approx(0.0, abs=1e-6)


def test_without_facts_there_is_no_score() -> None:
    facts: Facts = [[], [Triple("P1", "Q9")], [Triple("P1", "of the", True)]]  # none; without a label; stop words only
    found = score([Mention("1", "Q9 of the", "x")], facts, Counter())
    assert np.isnan(found[0, 0])
    assert found[0, 1:].tolist() == [0.0, 0.0]


def test_the_name_itself_is_no_fact() -> None:
    facts: Facts = [[Triple("country", "Q657", tail_label="Chad")]]
    assert score([Mention("1", "Chad is in Chad", "Chad")], facts, Counter())[0, 0] == 0.0
    assert score([Mention("1", "Lake in Chad", "Lake")], facts, Counter())[0, 0] > 0.8


def test_facts_about_the_mention_count_as_context() -> None:
    facts: Facts = [[Triple("occupation", "Q33999", tail_label="actor")]]
    told = Mention("1", "Smith came", "Smith", triples=(Triple("occupation", "actor", True),))
    assert score([told], facts, Counter())[0, 0] > 0.8
    assert score([Mention("1", "Smith came", "Smith")], facts, Counter())[0, 0] == 0.0


def test_a_part_is_scored_as_the_whole() -> None:
    mentions, facts = random_mentions(5, 17), random_facts(6, ENTITIES)
    frequency = frequencies(facts)
    whole = score(mentions, facts, frequency)
    for size in (1, 7, 20):
        chunks = [score(mentions, facts[at : at + size], frequency) for at in range(0, len(facts), size)]
        np.testing.assert_array_equal(np.concatenate(chunks, axis=1), whole)
        rows = [score(mentions[at : at + size], facts, frequency) for at in range(0, len(mentions), size)]
        np.testing.assert_array_equal(np.concatenate(rows), whole)
    order = np.random.default_rng(0).permutation(len(facts))
    np.testing.assert_array_equal(score(mentions, [facts[i] for i in order], frequency), whole[:, order])


def test_nobody_to_score() -> None:
    assert score([], [[]], Counter()).shape == (0, 1)
    assert score([Mention("1", "a b", "a")], [], Counter()).shape == (1, 0)
