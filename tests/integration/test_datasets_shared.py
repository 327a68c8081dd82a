"""The shared benchmark data: counts, leaks and round trips of the real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from melink.datasets.check import check
from melink.datasets.detect import open_dataset
from melink.datasets.mentions import read_mentions, write_mentions

pytestmark = pytest.mark.data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "train", "valid", "unspanned", "shared_sentence", "in_id"),
    [
        ("wikimel", 18092, 2585, 69, 496, 0),
        ("richpediamel", 12463, 1780, 69, 0, 1780),
        ("wikidiverse", 11151, 1656, 0, 0, 0),
    ],
)
def test_counts_and_leaks(
    shared_data: Path, name: str, train: int, valid: int, unspanned: int, shared_sentence: int, in_id: int
):
    result = check(open_dataset(name, shared_data / name))
    assert result.layout == "jsonl"
    assert (result.splits["train"].mentions, result.splits["train"].published) == (train, train)
    found = result.splits["valid"]
    assert (found.mentions, found.published, found.no_span) == (valid, valid, unspanned)
    assert set(found.problems) == {"image missing"}
    assert (found.gold_in_id, found.gold_in_image_name) == (in_id, in_id)
    assert found.leaks is not None
    assert found.leaks["shared_with_train"]["sentence id"] == shared_sentence


def test_sentence_disjoint_split_of_wikimel(shared_data: Path):
    """Regrouped by the field that the GHMFC authors' split gave, train and valid share no sentence."""
    rows = [
        json.loads(line)
        for split in ("train", "valid")
        for line in (shared_data / "wikimel" / f"{split}.jsonl").read_text().splitlines()
    ]
    sentences = {
        split: {row["sentence_id"] for row in rows if row["split_sentence_disjoint"] == split}
        for split in ("train", "valid")
    }
    assert sentences["train"].isdisjoint(sentences["valid"])


def test_every_mention_picture_is_found(shared_data: Path):
    found = [
        item
        for name in ("wikimel", "richpediamel")
        for item in read_mentions(shared_data / name / "valid.jsonl", shared_data / "images" / "index.csv")
        if item.mention.image is not None
    ]
    assert len(found) == 8
    assert all(Path(str(item.mention.image)).is_file() for item in found)


def test_round_trip(shared_data: Path, tmp_path: Path):
    items = list(read_mentions(shared_data / "wikidiverse" / "valid.jsonl"))
    write_mentions(items, tmp_path / "valid.jsonl")
    assert list(read_mentions(tmp_path / "valid.jsonl")) == items


def test_gold_and_its_neighbours_stay_out_of_the_mention(shared_data: Path):
    for item in read_mentions(shared_data / "richpediamel" / "valid.jsonl"):
        assert item.gold not in (item.mention.text, item.mention.surface, item.mention.image)
        assert item.mention.attributes == {}
        assert {"entity_title", "namesake_candidates", "kb", "split"} <= set(item.extra)
        assert "qid" not in item.extra
