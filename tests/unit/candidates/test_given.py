"""Lists that were made elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from melink.candidates.given import Given
from melink.errors import BadRow, NotFound
from melink.records import Mention


def asked(given: Given, id: str, k: int = 10) -> list[str]:
    return [found for found, _ in given.search([Mention(id, "t", "s")], k)[0]]


def test_lists_keep_their_order(tmp_path: Path) -> None:
    file = tmp_path / "lists.jsonl"
    file.write_text('{"id": "a", "candidates": ["Q2", "Q1", "Q2", "Q3"]}\n\n{"id": 7, "candidates": [{"id": "Q9"}]}\n')
    given = Given.read(file)
    assert asked(given, "a") == ["Q2", "Q1", "Q3"]  # an id again is passed over
    assert asked(given, "a", 2) == ["Q2", "Q1"]
    assert asked(given, "7") == ["Q9"]
    assert asked(given, "nobody") == []
    scores = [score for _, score in given.search([Mention("a", "t", "s")], 10)[0]]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 3


def test_entities_that_the_knowledge_base_lacks_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "lists.jsonl"
    file.write_text('{"id": "a", "candidates": ["Q2", "Q1", "Q3"]}\n')
    assert asked(Given.read(file, {"Q3", "Q2"}), "a") == ["Q2", "Q3"]


@pytest.mark.parametrize(
    "row",
    [
        '{"id": "a"}',
        '{"candidates": ["Q1"]}',
        '{"id": "a", "candidates": "Q1"}',
        '{"id": "a", "candidates": {"Q1": 1}}',
        '{"id": "a", "candidates": [{"label": "x"}]}',
        '{"id": "a", "candidates": [["Q1", 0.5]]}',
        '{"id": "a", "candidates": [null]}',
        '["Q1"]',
        '"Q1"',
        "{broken",
        '{"id": "first", "candidates": []}',
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, row: str) -> None:
    file = tmp_path / "lists.jsonl"
    file.write_text(f'{{"id": "first", "candidates": []}}\n{row}\n')
    with pytest.raises(BadRow, match=r"lists\.jsonl:2: ") as wrong:
        Given.read(file)
    assert "melink candidates" in wrong.value.remedy


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        Given.read(tmp_path / "nothing.jsonl")
