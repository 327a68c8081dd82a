"""``datasets check``, ``list`` and ``convert`` on fixtures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from melink.cli.datasets import app
from melink.datasets.check import check
from melink.datasets.convert import convert
from melink.datasets.detect import open_dataset
from melink.datasets.mentions import read_mentions
from melink.errors import Problems

FIXTURES = Path(__file__).parents[2] / "fixtures" / "datasets"


def test_counts_and_leaks():
    result = check(open_dataset("wikimel", FIXTURES / "jsonl"), kb={"Q9001"})
    assert (result.layout, result.absent, result.complete) == ("jsonl", ["test"], False)
    train, valid = result.splits["train"], result.splits["valid"]
    assert (train.mentions, train.published, train.leaks) == (2, 18092, None)
    assert (valid.mentions, valid.sentences, valid.entities) == (4, 4, 3)
    assert (valid.nil, valid.no_span, valid.image_named, valid.image_found) == (1, 1, 3, 2)
    assert (valid.gold_outside, valid.gold_in_id, valid.gold_in_image_name) == (2, 1, 1)
    assert valid.problems == {"image missing": 1}
    assert valid.leaks is not None
    assert valid.leaks["shared_with_train"] == {
        "sentence id": 1,
        "sentence": 2,
        "image name": 1,
        "image content": 2,  # copy.png has the bytes of train's 2.png
        "sentence and mention": 1,
    }
    assert (valid.leaks["shared_any"], valid.leaks["seen_in_train"], valid.leaks["golds"]) == (2, 1, 3)


def test_candidate_lists_and_hidden_problems():
    valid = check(open_dataset("wikimel", FIXTURES / "drin_wikimel")).splits["valid"]
    assert (valid.lists, valid.gold_in_list) == (2, 1)
    assert valid.gold_outside is None
    test = check(open_dataset("wikimel", FIXTURES / "mimic")).splits["test"]
    assert [problem.partition(": ")[2] for problem in test.first_problems] == [
        "no text: expected a field 'sentence' or 'text' that is not empty (id 'wikimel-test-0')",
        "expected an object, found str",
    ]


def test_unpublished_layout():
    result = check(open_dataset("wikidiverse", FIXTURES / "passages"))
    assert result.absent == []
    assert {split.published for split in result.splits.values()} == {None}


def test_command_check(tmp_path: Path):
    done = CliRunner().invoke(app, ["check", "wikimel", str(FIXTURES / "jsonl"), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["splits"]["valid"]["leaks"]["shared_any"] == 2
    done = CliRunner().invoke(app, ["check", "wikimel", str(FIXTURES / "jsonl")], env={"COLUMNS": "120"})
    assert "2 (published 18,092)" in done.stdout
    assert "test: absent" in done.stdout
    done = CliRunner().invoke(app, ["check", "wikimel", str(tmp_path)])
    assert done.exit_code == 2
    assert "kb_entity.json" in done.stderr


def test_command_list():
    done = CliRunner().invoke(app, ["list", "--json"])
    assert [row["name"] for row in json.loads(done.stdout)] == ["wikimel", "richpediamel", "wikidiverse"]
    table = CliRunner().invoke(app, ["list"], env={"COLUMNS": "250"}).stdout
    assert "18,092" in table


@pytest.mark.parametrize(
    ("name", "folder", "files"),
    [
        ("wikimel", "mimic", {"train.jsonl": 2, "valid.jsonl": 2, "test.jsonl": 1, "entities.jsonl": 2}),
        (
            "wikidiverse",
            "kgmel",
            {
                "train.jsonl": 3,
                "valid.jsonl": 1,
                "test.jsonl": 1,
                "entities.jsonl": 3,
                "triples.tsv": 2,
                "relations.tsv": 2,
            },
        ),
        (
            "wikimel",
            "drin_wikimel",
            {
                "train.jsonl": 1,
                "train.candidates.jsonl": 1,
                "valid.jsonl": 2,
                "valid.candidates.jsonl": 2,
                "entities.jsonl": 3,
            },
        ),
    ],
)
def test_convert(tmp_path: Path, name: str, folder: str, files: dict[str, int]):
    dataset = open_dataset(name, FIXTURES / folder)
    assert convert(dataset, tmp_path / "out", Problems()) == files
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(files)
    again = open_dataset(name, tmp_path / "out")
    assert again.layout == "jsonl"
    for split in dataset.splits:
        assert list(again.mentions(split)) == list(dataset.mentions(split))


def test_convert_command(tmp_path: Path):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["convert", "wikidiverse", str(FIXTURES / "kgmel"), "-o", str(out), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["problems"]["unequal lists"] == 1
    rows = [json.loads(line) for line in (out / "entities.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "qid": "Q8001",
        "label": "Veld",
        "description": "island country",
        "images": [str(FIXTURES / "kgmel/data/KB/image/Q8001_0.jpg")],
    }
    assert (out / "relations.tsv").read_text().splitlines()[1] == "P17\tcountry\tsovereign state"
    assert len(list(read_mentions(out / "train.jsonl"))) == 3
    done = CliRunner().invoke(app, ["convert", "wikidiverse", str(FIXTURES / "kgmel"), "-o", str(out), "--strict"])
    assert done.exit_code == 2
    assert "different lengths" in done.stderr
