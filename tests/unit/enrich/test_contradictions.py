"""Texts held against facts: a hand-made set, claims by hand, and true descriptions that were corrupted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from melink.enrich.claims import claims, year
from melink.enrich.contradictions import Checker
from melink.enrich.families import areas, trades
from melink.records import Entity, Triple

MADE = Path(__file__).resolve().parents[2] / "fixtures" / "contradictions.jsonl"
ROWS = [json.loads(line) for line in MADE.read_text(encoding="utf-8").splitlines()]
PLACES = {
    "oslo": "Norway",
    "paris": "France",
    "sao paulo": "Brazil",
    "london": "United Kingdom",
    "tokyo": "Japan",
    "lisbon": "Portugal",
    "new york city": "United States of America",
    "kolkata": "India",
    "toronto": "Canada",
    "cologne": "Germany",
    "madrid": "Spain",
    "kiev": "Ukraine",
    "moscow": "Russia",
}
CHECKER = Checker({name: frozenset({country}) for name, country in PLACES.items()})


def entity(row: dict[str, Any]) -> Entity:
    triples = tuple(
        Triple("P27", f"Q{n}", False, "country of citizenship", name) for n, name in enumerate(row["citizenship"])
    )
    return Entity("Q1", row["label"], attributes=row["attributes"], triples=triples)


def test_the_hand_made_set() -> None:
    """Every flag is right, and nearly all are found (docs/descriptions.md tells both figures)."""
    right = wrong = missed = 0
    for row in ROWS:
        found = Counter(each.kind for each in CHECKER.check(row["text"], entity(row)))
        expected = Counter(row["flags"])
        right += (found & expected).total()
        wrong += (found - expected).total()
        missed += (expected - found).total()
    assert len(ROWS) == 32 and right + missed == 27
    assert wrong == 0 and right >= 25


@pytest.mark.parametrize("row", [row for row in ROWS if not row["flags"]], ids=lambda row: row["text"][:40])
def test_true_texts_are_left_alone(row: dict[str, Any]) -> None:
    assert CHECKER.check(row["text"], entity(row)) == []


def test_a_flag_says_what_stands_against_what() -> None:
    row = ROWS[1]
    (found,) = CHECKER.check(row["text"], entity(row))
    assert found.to_dict() == {"kind": "birth year", "said": "1963", "known": ["1863"], "sentence": row["text"]}


def test_claims_of_a_first_sentence() -> None:
    text = (
        "Jane Roe (c. 1580 – 21 June 1631), also called Joan, was a Dutch-born English poet, painter and spy of note."
    )
    said = {claim.kind: (claim.values, claim.vague) for claim in claims(text, ["Jane Roe"])}
    assert said["birth year"] == (("1580",), True) and said["death year"] == (("1631",), False)
    assert said["nationality"] == (("United Kingdom",), False)
    assert said["occupation"] == (("poet", "painter", "spy"), False)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("She was born in Honolulu, Hawaii, to a teacher.", ("Honolulu", "Hawaii")),
        ("Roe was born on 3 May 1955 in the town of Bruges and raised in Ghent.", ("Bruges",)),
        ("Born in Rome in 1900, she left early.", ("Rome",)),
        ("She was born in March 1900.", None),
        ("Her brother was born in Rome.", None),
        ("Many children were born in Rome when the king ruled it and all that.", None),
    ],
)
def test_places_of_birth(text: str, place: tuple[str, ...] | None) -> None:
    said = {claim.kind: claim.values for claim in claims(f"Jane Roe sings. {text}", ["Jane Roe"])}
    assert said.get("birth place") == place


@pytest.mark.parametrize(
    ("text", "born"),
    [
        ("Jane Roe (born in 1948 or 1950) is a spy.", ("1948", "1950")),
        ("Jane Roe (1 May 1948 or 3 May 1950 – 1999) was a spy.", ("1948", "1950")),
        ("Jane Roe (born 1948/50) is a spy.", ("1948", "1950")),
        ("Jane Roe was born between 1948 and 1950.", ("1948", "1950")),
        ("Jane Roe was born in 1948 and died in 1950.", ("1948",)),
    ],
)
def test_of_several_years_one_is_meant(text: str, born: tuple[str, ...]) -> None:
    said = {claim.kind: claim.values for claim in claims(text, ["Jane Roe"])}
    assert said["birth year"] == born and said.get("death year") in (None, ("1999",), ("1950",))
    found = {
        known: CHECKER.check(text, Entity("Q1", "Jane Roe", attributes=f"Birth: {known}.")) for known in (1950, 1960)
    }
    assert bool(found[1950]) == (born == ("1948",)) and found[1960], "near either, or a contradiction"


def test_years_of_offices_are_no_years_of_life() -> None:
    for text in (
        "Ann was Queen of Nowhere (1702–1714).",
        "Ann was a minister during the war (1702–1714).",
        "Ann, born Anna Bee, was regent from 1702 to 1714.",
        "Ann (reigned 1702–1714) was a queen.",
    ):
        assert not [claim for claim in claims(text, ["Ann"]) if "year" in claim.kind], text
    assert [claim.values for claim in claims("Ann was a painter (1702–1774).", ["Ann"]) if "year" in claim.kind] == [
        ("1702",),
        ("1774",),
    ]


def test_what_is_not_known_is_no_contradiction() -> None:
    bare = Entity("Q1", "Jane Roe")
    assert CHECKER.check("Jane Roe (1900–1950) was a French spy born in Rome, Italy.", bare) == []
    unnamed = Entity("Q1", "Jane Roe", triples=(Triple("P27", "Q9", False, "country of citizenship", ""),))
    assert CHECKER.check("Jane Roe is a French spy.", unnamed) == []


def test_families_and_regions() -> None:
    assert trades("association football players") == {"sport"} and trades("film director") >= {"stage"}
    assert not trades("quality person")
    assert areas("Kingdom of Romania") == areas("Romania") != areas("Kingdom of Hawaii")
    assert areas("United Kingdom") & areas("Scotland") and not areas("France") & areas("Japan")
    assert year("106 BC") == (-106, False) and year("about 1490") == (1490, True) and year("in the 1950s") is None


def test_hostile_texts_are_read_in_time() -> None:
    for piece in ("born in A", "(1900–", "was a ", "and, ", "Born ", "A. ", "in The "):
        CHECKER.check(piece * (20_000 // len(piece)), entity(ROWS[0]))


def test_places_in_countries_that_nobody_knows_are_undecided() -> None:
    person = Entity("Q1", "Jane Roe", attributes="Birth: 1900, Oslo.")
    for place, flags, undecided in (("Paris", 1, set()), ("Oslo", 0, set()), ("Nowhere", 0, {"birth place"})):
        text = f"Jane Roe was born in {place}."
        assert (len(CHECKER.check(text, person)), CHECKER.undecided(text, person)) == (flags, undecided)
    assert CHECKER.undecided("Jane Roe was born in Nowhere.", Entity("Q1", "Jane Roe")) == set()
