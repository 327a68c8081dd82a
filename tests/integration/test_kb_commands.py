from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from melink.cli.kb import app

RUN = CliRunner()


def run(*args: str | Path, status: int = 0) -> str:
    result = RUN.invoke(app, [str(arg) for arg in args])
    assert result.exit_code == status, result.output
    return result.stdout if status == 0 else result.output


@pytest.fixture
def kb(tmp_path: Path) -> Path:
    (tmp_path / "e.jsonl").write_text(
        '{"id": "a", "label": "Ann", "description": "a singer", "triples": [["P1", "b"]]}\n'
        '{"id": "b", "label": "Bern"}\nbad\n'
    )
    numbers = json.loads(run("build", tmp_path / "kb", "--entities", tmp_path / "e.jsonl", "--json"))
    assert (numbers["entities"], numbers["problems"]) == (2, {"not JSON": 1})
    return tmp_path / "kb"


def test_search_show_and_stats(kb: Path):
    assert [row["id"] for row in json.loads(run("search", kb, "singer", "--json"))] == ["a"]
    assert run("search", kb, "ann").startswith("a\tAnn\ta singer\t")
    assert json.loads(run("show", kb, "a", "--json"))["triples"][0]["tail_label"] == "Bern"
    assert "fact\tP1: Bern" in run("show", kb, "a")
    assert json.loads(run("stats", kb, "--json"))["triples"] == 1
    assert "entities\t2" in run("stats", kb)
    assert "nothing found" in RUN.invoke(app, ["search", str(kb), "zzz"]).output


def test_add_is_found_at_once_and_delete_removes(kb: Path, tmp_path: Path):
    new = tmp_path / "new.jsonl"
    new.write_text('{"id": "c", "label": "Chur"}\n{"id": "a", "label": "Anna"}\n{}\n{"id": "c", "label": "Zug"}\n')
    done = json.loads(run("add", kb, new, "--json", "--problems", tmp_path / "p.jsonl"))
    assert done == {"added": 1, "updated": 1, "problems": {"no id": 1, "duplicate id": 1}}
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 2
    assert json.loads(run("search", kb, "zug", "--json"))[0]["id"] == "c"
    run("delete", kb, "c", "nobody")
    assert json.loads(run("search", kb, "zug", "--json")) == []
    assert len(json.loads(run("versions", kb, "--json"))) >= 3
    assert len(run("versions", kb).splitlines()) >= 3


def test_what_show_prints_can_be_added_and_changes_nothing(kb: Path, tmp_path: Path):
    before = json.loads(run("stats", kb, "--json"))["content_hash"]
    (tmp_path / "same.jsonl").write_text(json.dumps(json.loads(run("show", kb, "a", "--json"))) + "\n")
    run("add", kb, tmp_path / "same.jsonl")
    assert json.loads(run("stats", kb, "--json"))["content_hash"] == before


def test_errors_name_the_way_out(kb: Path, tmp_path: Path):
    assert "no entity with id" in run("show", kb, "zzz", status=2)
    assert "melink kb build" in run("stats", tmp_path / "none", status=2)
    assert "--strict" in run("build", tmp_path / "x", "--entities", tmp_path / "e.jsonl", "--strict", status=2)
    assert "up to date" in RUN.invoke(app, ["build", str(kb), "--entities", str(tmp_path / "e.jsonl")]).output
    assert "--entities" in run("build", tmp_path / "y", status=2)
