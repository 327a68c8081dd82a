from __future__ import annotations

import pytest

from melink.kb.attributes import attribute_triples
from melink.records import Triple


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (
            "Sex: female. Birth: 1942, Hollywood. Occupation: actor, singer.",
            ["sex=female", "birth date=1942", "birth place=Hollywood", "occupation=actor", "occupation=singer"],
        ),
        # a stop inside a value is not an end
        (
            "Birth: 1938, East St. Louis. Occupation: actor.",
            ["birth date=1938", "birth place=East St. Louis", "occupation=actor"],
        ),
        (
            "Death: 1965, Washington D.C.. Occupation: x.",
            ["death date=1965", "death place=Washington D.C.", "occupation=x"],
        ),
        ("Death: 1907, Washington D.C.", ["death date=1907", "death place=Washington D.C."]),
        ("Death: 1942, Washington, D.C..", ["death date=1942", "death place=Washington, D.C."]),
        (
            "Birth: 1903, Adorf/Vogtl.. Death: 1944, Berlin.",
            ["birth date=1903", "birth place=Adorf/Vogtl.", "death date=1944", "death place=Berlin"],
        ),
        ("Spouse: William A. Brady.", ["spouse=William A. Brady"]),
        ("Spouse: Sammy Davis, Jr., Ann Lee.", ["spouse=Sammy Davis, Jr.", "spouse=Ann Lee"]),
        # dates
        ("Birth: 1854-06-16, Dresden.", ["birth date=1854-06-16", "birth place=Dresden"]),
        ("Birth: -384, Stagira.", ["birth date=384 BCE", "birth place=Stagira"]),
        ("Birth: Hollywood.", ["birth place=Hollywood"]),
        ("Birth: 1950.", ["birth date=1950"]),
        # keys of several words, renamed keys, repeats
        (
            "Alma mater: Sorbonne, Sorbonne. Languages: Dutch, Latin.",
            ["alma mater=Sorbonne", "language=Dutch", "language=Latin"],
        ),
        ("Nick name: The Rock. Work starts: 1967.", ["nickname=The Rock", "work start=1967"]),
        # quotes and brackets
        (
            'Alma mater: Georgetown University, "Mount St. Marys University", Tulane.',
            ["alma mater=Georgetown University", "alma mater=Mount St. Marys University", "alma mater=Tulane"],
        ),
        (
            'Alma mater: Mumbai", "St. Xaviers College, Vienna.',
            ["alma mater=Mumbai", "alma mater=St. Xaviers College", "alma mater=Vienna"],
        ),
        (
            "Position held: minister (trade, industry), member.",
            ["position held=minister (trade, industry)", "position held=member"],
        ),
        # nothing to be had
        ("Occupation: .", []),
        ("a plain sentence. And another: with a colon.", ["and another=with a colon"]),
        ("plain words", []),
        ("", []),
    ],
)
def test_values_of_a_property_string(text: str, pairs: list[str]):
    expected = tuple(Triple(*pair.split("=", 1), literal=True) for pair in pairs)
    assert attribute_triples(text) == expected


def test_hostile_strings_take_linear_time():
    for text in ("Occupation: " + "(" * 50_000, "Alma mater: " + '"' * 50_000, "A b" * 20_000 + ". Ab: " * 10_000):
        assert len(attribute_triples(text)) <= len(text)
