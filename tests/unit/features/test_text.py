"""Texts that encoders read."""

from __future__ import annotations

import pytest

from melink.errors import ConfigError
from melink.features.text import SOURCES, entity_text, entity_texts, mention_text
from melink.records import Entity, Mention

FULL = Entity(
    "Q1", "Georgia", description="country in the Caucasus", attributes="Capital: Tbilisi.", extract="Georgia is."
)
BARE = Entity("Q2", "Georgia", extract="A state of the USA.")


class View:
    """Two entities as columns."""

    texts: list[str] | None = None

    def column(self, name: str) -> list[str]:
        return [getattr(entity, name) for entity in (FULL, BARE)]


def test_mention_text() -> None:
    assert mention_text(Mention("1", "Georgia won.", "Georgia")) == "Georgia. Georgia won."
    assert mention_text(Mention("1", " ", "Georgia")) == "Georgia"
    assert mention_text(Mention("1", "Somebody won.", "")) == "Somebody won."
    assert mention_text(Mention("1", "", "")) == ""


@pytest.mark.parametrize(
    ("source", "full", "bare"),
    [
        ("auto", "Georgia. country in the Caucasus Capital: Tbilisi.", "Georgia. A state of the USA."),
        ("description", "Georgia. country in the Caucasus", "Georgia"),
        ("attributes", "Georgia. Capital: Tbilisi.", "Georgia"),
        ("extract", "Georgia. Georgia is.", "Georgia. A state of the USA."),
        ("all", "Georgia. country in the Caucasus Capital: Tbilisi. Georgia is.", "Georgia. A state of the USA."),
    ],
)
def test_entity_text(source: str, full: str, bare: str) -> None:
    assert [entity_text(FULL, source), entity_text(BARE, source)] == [full, bare]
    assert entity_texts(View(), source) == [full, bare]


def test_every_source_is_tried_and_others_refused() -> None:
    assert set(SOURCES) == {"auto", "description", "attributes", "extract", "all"}
    with pytest.raises(ConfigError, match="choose one of: auto"):
        entity_text(FULL, "abstract")
    with pytest.raises(ConfigError):
        entity_texts(View(), "abstract")
