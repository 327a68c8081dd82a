"""Facts read off sentences without a language model."""

from __future__ import annotations

import pytest

from melink.datasets.spans import find_span
from melink.enrich.facts import Facts
from melink.enrich.patterns import FromPatterns, plain_words
from melink.enrich.rows import Group
from melink.enrich.tails import TailIndex, words
from melink.records import Mention, Triple

COUNTS = {
    ("occupation", "politician"): 900, ("occupation", "painter"): 200, ("occupation", "actor"): 500,
    ("occupation", "prime minister"): 2, ("occupation", "military officer"): 90, ("language", "Dutch"): 40,
    ("sex", "male"): 1500, ("sex", "female"): 700, ("birth place", "Leiden"): 9, ("death place", "Leiden"): 4,
    ("spouse", "Saskia van Uylenburgh"): 1, ("country of citizenship", "Netherlands"): 60, ("birth date", "1606"): 3,
    ("death date", "1669"): 4, ("work of art", "The Night Watch"): 2, ("member of", "House of Commons"): 30,
    ("driving side", "left"): 100, ("genre", "portrait"): 20, ("alma mater", "Leiden University"): 8,
}  # fmt: skip
KB = TailIndex([(Triple(relation, tail, literal=True), count) for (relation, tail), count in COUNTS.items()], 2000)


def facts(text: str, *surfaces: str, tails: TailIndex = KB) -> list[Facts]:
    """Return the facts of each name of one sentence."""
    mentions = [Mention(str(n), text, surface, *find_span(text, surface)) for n, surface in enumerate(surfaces)]
    (made,) = FromPatterns(tails).make([Group(tuple(mentions))])
    return [made.facts[mention.id] for mention in mentions]


def said(text: str, surface: str) -> set[tuple[str, str]]:
    return {(triple.relation, triple.tail) for triple in facts(text, surface)[0].triples}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Painter Rembrandt in his studio", {("occupation", "painter"), ("sex", "male")}),
        (
            "Rembrandt, a Dutch painter, in Leiden",
            {("occupation", "painter"), ("language", "Dutch"), ("country of citizenship", "Netherlands")},
        ),
        (
            "Rembrandt (1606–1669) was a painter.",
            {("birth date", "1606"), ("death date", "1669"), ("occupation", "painter")},
        ),
        ("Rembrandt (born 15 July 1606) is known.", {("birth date", "1606")}),
        ("Rembrandt was born in Leiden", {("birth place", "Leiden")}),
        ("Rembrandt died in Leiden", {("death place", "Leiden")}),
        ("Rembrandt and his wife Saskia van Uylenburgh", {("spouse", "Saskia van Uylenburgh"), ("sex", "male")}),
        ("Senator Rembrandt", {("occupation", "politician")}),
        ("Prime Minister Rembrandt", {("occupation", "politician")}),
        ("actress Rembrandt", {("occupation", "actor"), ("sex", "female")}),
        ("Gen. Rembrandt", {("occupation", "military officer")}),
        ("Rembrandt as member of the House of Commons", {("member of", "House of Commons")}),
        ("Rembrandt, graduate of Leiden University", {("alma mater", "Leiden University")}),
        ("Rembrandt with Saskia van Uylenburgh in Leiden (left), a portrait", set()),
        ("Portrait of Rembrandt by a painter, 1606-1669", set()),
        ("Rembrandt with the painter Frans Hals", set()),
        ("Rembrandt, by painter Frans Hals", set()),
        ("Politician Frans Hals with Rembrandt", set()),
        ("Ann Lee and her husband Rembrandt", set()),
        ("She met Rembrandt.", set()),
        ("Rembrandt won. The Dutch crowd cheered him", {("sex", "male")}),
        ("Rembrandt was not a painter", set()),
        ("Rembrandt was never a painter in Leiden", set()),
    ],
)
def test_what_a_sentence_says_about_its_name(text: str, expected: set[tuple[str, str]]) -> None:
    assert said(text, "Rembrandt") == expected


def test_each_name_has_its_own_title() -> None:
    first, second = facts("Senator Alice Fox and painter Bob Wolf in Leiden", "Alice Fox", "Bob Wolf")
    assert [triple.tail for triple in first.triples] == ["politician"]
    assert [triple.tail for triple in second.triples] == ["painter"]


def test_type_and_description() -> None:
    (found,) = facts("Rembrandt, a Dutch painter of portraits. He lived long.", "Rembrandt")
    assert (found.type, found.description) == ("person", "Dutch painter of portraits")
    assert facts("The Hague in winter", "The Hague") == [Facts()]


def test_tails_inside_a_name_are_not_facts_about_it() -> None:
    assert facts("Dutch Painter Leiden", "Dutch Painter Leiden") == [Facts()]


def test_the_longest_tail_counts_and_proper_names_need_capitals() -> None:
    found = [
        tail.label for _, _, tail in KB.find(words("The night watch by Leiden university, the Leiden University's"))
    ]
    assert found == ["Leiden", "Leiden University"]
    assert [tail.label for _, _, tail in KB.find(words("THE NIGHT WATCH"))] == ["The Night Watch"]


def test_rare_tails_weigh_more_and_shares_are_shares() -> None:
    leiden, left = KB.get("leiden"), KB.get("LEFT")
    assert leiden is not None and left is not None
    assert leiden.rarity > left.rarity > 0
    assert leiden.relations == (("birth place", 9 / 13), ("death place", 4 / 13))


def test_without_a_knowledge_base_common_titles_are_known() -> None:
    (found,) = facts("American actress Grace Hall in Leiden", "Grace Hall", tails=plain_words())
    assert {(t.relation, t.tail) for t in found.triples} == {
        ("occupation", "actor"), ("country of citizenship", "United States of America"), ("sex or gender", "female"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["(" * 5000 + "X", "X (" + "1" * 5000, "X, a " * 2000, "X born " * 1500, "X " + "\u202e|[]" * 900, "X\x00" * 2000,
     "X, " + "a" * 9000, "Painter " * 3000 + "X"],
)  # fmt: skip
def test_hostile_sentences_end_quickly(text: str) -> None:
    assert all(len(found.triples) <= 8 and len(found.description) <= 200 for found in facts(text, "X"))


def test_the_same_sentences_give_the_same_facts_whatever_the_order() -> None:
    texts = ["Rembrandt, a Dutch painter", "Senator Rembrandt", "Rembrandt died in Leiden"]
    groups = [
        Group((Mention(str(n), text, "Rembrandt", *find_span(text, "Rembrandt")),)) for n, text in enumerate(texts)
    ]
    ahead = [made.facts for made in FromPatterns(KB).make(groups)]
    assert [made.facts for made in FromPatterns(KB).make(groups[::-1])][::-1] == ahead
