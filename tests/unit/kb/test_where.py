from __future__ import annotations

import pytest

from melink.errors import ConfigError
from melink.kb.where import Where
from melink.records import Entity, Triple

PLAIN = Entity("a", "A")
FULL = Entity(
    "b",
    "B",
    ("b",),
    "d",
    "Sex: male.",
    "e",
    ("human",),
    (Triple("P31", "Q5"),),
    ("b.jpg",),
    {"sitelinks": 9, "type_qids": ["Q5"]},
)


@pytest.mark.parametrize(
    "condition",
    [
        "aliases",
        "attributes",
        "description",
        "extract",
        "images",
        "text",
        "triples",
        "types",
        "type=Q5",
        "type=Q1, Q5",
        "type=human",
        "sitelinks>=9",
    ],
)
def test_conditions_that_only_the_full_one_meets(condition: str):
    where = Where.parse([condition])
    assert where.keeps(FULL)
    assert not where.keeps(PLAIN)


def test_all_conditions_must_hold_and_none_keeps_everything():
    assert not Where.parse(["attributes", "sitelinks >= 10"]).keeps(FULL)
    assert Where.parse([]).keeps(PLAIN)
    assert not Where.parse([])
    assert Where.parse(["text"])


def test_text_is_any_of_three_fields():
    assert Where.parse(["text"]).keeps(Entity("c", "C", extract="e"))


@pytest.mark.parametrize("extra", [{"type_qids": 5}, {"type_qids": [{}, 3]}, {"sitelinks": "many"}])
def test_odd_extra_fields_are_no_match_and_no_crash(extra: dict[str, object]):
    assert not Where.parse(["type=Q5", "sitelinks>=1"]).keeps(Entity("c", "C", extra=extra))


@pytest.mark.parametrize(
    "condition", ["label2", "type", "type=", "sitelinks=3", "sitelinks>=x", "", "attributes=1", "a b"]
)
def test_other_conditions_are_refused(condition: str):
    with pytest.raises(ConfigError, match="where"):
        Where.parse([condition])
