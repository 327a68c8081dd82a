"""Name similarity against its formula, written out in loops."""

from __future__ import annotations

import random

import numpy as np
import pytest

from melink.candidates.name_score import NameScorer, similarity
from melink.kb.folding import fold

WORDS = (
    "Oscar",
    "II",
    "of",
    "Nowhere",
    "Łódź",
    "Jean-Luc",
    "O'Neil",
    "St",
    "a",
    "москва",
    "東京",
    "🎉",
    "İstanbul",
    "X",
    "Ångström",
    "",
)


def grams_of(name: str) -> set[str]:
    """Each word as ^word$: its trigrams, and ^ with its first letter."""
    found = set()
    for word in fold(name).split():
        marked = "^" + word + "$"
        found.add(marked[0] + marked[1])
        for at in range(len(marked) - 2):
            found.add(marked[at] + marked[at + 1] + marked[at + 2])
    return found


def by_hand(mention: str, name: str) -> float:
    words, theirs = set(fold(mention).split()), set(fold(name).split())
    parts, their_parts = grams_of(mention), grams_of(name)
    if not words or not theirs:
        return 0.0
    both = len(parts & their_parts)
    tokens = len(words & theirs) / len(words)
    same = 0.2 if sorted(words) == sorted(theirs) else 0.0
    return 0.4 * tokens + 0.24 * both / len(parts) + 0.16 * 2 * both / (len(parts) + len(their_parts)) + same


def random_names(seed: int, n: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(0, 4))) for _ in range(n)]


def scores(scorer: NameScorer, mentions: list[str], entities: list[list[str]]) -> np.ndarray:
    return scorer.score(scorer.side([m] for m in mentions), scorer.side(entities))


def test_formula() -> None:
    mentions, names = random_names(1, 40), random_names(2, 60)
    found = scores(NameScorer(), mentions, [[name] for name in names])
    expected = np.array([[by_hand(m, n) for n in names] for m in mentions])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (expected > 0).sum() > 200 and (expected == 0).any()
    np.testing.assert_allclose([[similarity(m, n) for n in names] for m in mentions], expected, atol=1e-12)


def test_three_pairs_with_pencil_and_paper() -> None:
    # grams of "oscar": ^o ^os osc sca car ar$ = 6; "oscar ii": and ^i ^ii ii$ = 9
    assert similarity("Oscar", "Oscar II") == pytest.approx(0.4 * 1 + 0.24 * 6 / 6 + 0.16 * 12 / 15)
    assert similarity("Oscar II", "Oscar") == pytest.approx(0.4 / 2 + 0.24 * 6 / 9 + 0.16 * 12 / 15)
    assert similarity("OSCAR", "óscar") == pytest.approx(1.0)
    assert similarity("Oscar", "Bilbo") == 0.0


def test_best_alias_counts() -> None:
    mentions = random_names(3, 20)
    entities = [random_names(seed, 1 + seed % 4) for seed in range(10, 30)]
    found = scores(NameScorer(), mentions, entities)
    expected = [[max(by_hand(m, name) for name in names) for names in entities] for m in mentions]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_part_is_scored_as_the_whole() -> None:
    """Batch 1, shortlists, chunks, and a scorer that has seen other names before: all bit for bit the same."""
    mentions, entities = random_names(4, 15), [random_names(seed, 1 + seed % 3) for seed in range(40, 80)]
    whole = scores(NameScorer(), mentions, entities)
    used = NameScorer()
    scores(used, random_names(5, 50), [[name] for name in random_names(6, 50)])
    np.testing.assert_array_equal(scores(used, mentions, entities), whole)
    for row, mention in enumerate(mentions):
        np.testing.assert_array_equal(scores(used, [mention], entities)[0], whole[row])
    for start in range(0, len(entities), 7):
        np.testing.assert_array_equal(scores(used, mentions, entities[start : start + 7]), whole[:, start : start + 7])
    chosen = [31, 2, 2, 17]
    np.testing.assert_array_equal(scores(used, mentions, [entities[i] for i in chosen]), whole[:, chosen])


def test_sides_of_different_age() -> None:
    """An entity side made before a mention's words were known scores as one made after."""
    scorer = NameScorer()
    early = scorer.side([["Oscar II"], ["東京"]])
    late = scorer.side([["Tokyo Oscar"]])
    np.testing.assert_allclose(
        scorer.score(late, early), [[by_hand("Tokyo Oscar", n) for n in ("Oscar II", "東京")]], atol=1e-6
    )
    np.testing.assert_allclose(
        scorer.score(early, late), [[by_hand(n, "Tokyo Oscar")] for n in ("Oscar II", "東京")], atol=1e-6
    )


@pytest.mark.parametrize("nothing", ["", " ", "\u200b", "\t\n"])
def test_nothing_is_like_nothing(nothing: str) -> None:
    assert scores(NameScorer(), [nothing], [["Oscar"], [nothing], []]).tolist() == [[0.0, 0.0, 0.0]]
    assert scores(NameScorer(), ["Oscar"], [[nothing], []]).tolist() == [[0.0, 0.0]]


def test_emoji_and_other_scripts_match_themselves() -> None:
    names = ["🎉", "москва", "東京", "!!!"]
    found = scores(NameScorer(), names, [[name] for name in names])
    np.testing.assert_allclose(found, np.eye(4), atol=1e-6)


def test_no_mentions_or_no_entities() -> None:
    assert scores(NameScorer(), [], [["a"]]).shape == (0, 1)
    assert scores(NameScorer(), ["a"], []).shape == (1, 0)
