"""The README does what it says: its commands run in order in one folder, and print what it shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"(?:<!-- (?P<note>[^>]*?) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block, with the comment right above it."""

    kind: str
    body: str
    note: str


def blocks() -> list[Block]:
    found = FENCE.finditer((ROOT / "README.md").read_text(encoding="utf-8"))
    return [Block(match["kind"], match["body"], match["note"] or "") for match in found]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """Run every block that may run, and give the folder and what each of them printed."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "src").symlink_to(ROOT / "src")
    shutil.copytree(ROOT / "tests/fixtures/datasets/mimic", folder / "WikiMEL")
    settings = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "140"}
    settings |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    said = {}
    for block in blocks():
        if block.kind not in ("bash", "python") or block.note.startswith("not run"):
            continue
        command = ["bash", "-euo", "pipefail", "-c"] if block.kind == "bash" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, block.body],
            cwd=folder,
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"this failed:\n{block.body}\n{done.stdout}"
        said[block.body] = done.stdout
    yield folder, said


def test_a_block_that_is_not_run_says_why() -> None:
    kept = [block for block in blocks() if block.note.startswith("not run")]

    assert kept
    assert all(re.fullmatch(r"not run: \w.{8,}", block.note) for block in kept)


@pytest.mark.slow
def test_the_commands_run(printed: tuple[Path, dict[str, str]]) -> None:
    folder, said = printed

    assert len(said) >= 4
    assert len((folder / "links.jsonl").read_text().splitlines()) == 3
    assert (folder / "run" / "config.json").is_file()
    assert 0 <= json.loads((folder / "names.json").read_text())["overall"]["hits@1"] <= 1


@pytest.mark.slow
def test_the_walk_through_links_as_told(printed: tuple[Path, dict[str, str]]) -> None:
    rows = [json.loads(line) for line in (printed[0] / "links.jsonl").read_text().splitlines()]

    assert [row["prediction"]["id"] for row in rows] == ["Q230", "Q1428", "Q41421"]
    assert "capital: Atlanta" in rows[1]["candidates"][0]["evidence"]["matched_triples"]


@pytest.mark.slow
def test_the_commands_print_what_is_shown(printed: tuple[Path, dict[str, str]]) -> None:
    said: str | None = None
    compared = 0
    for block in blocks():
        said = printed[1].get(block.body, said)
        if block.note == "prints":
            assert said is not None
            at = 0
            for line in filter(lambda line: line != "…", block.body.splitlines()):
                found = said.find(line, at)
                assert found >= 0, f"not printed: {line}\n{said}"
                at = found + len(line)
                compared += 1

    assert compared >= 5


@pytest.mark.slow
def test_the_shown_row_is_the_real_one(printed: tuple[Path, dict[str, str]]) -> None:
    (shown,) = (json.loads(block.body) for block in blocks() if block.note == "first row of links.jsonl")
    real = json.loads((printed[0] / "links.jsonl").read_text().splitlines()[0])
    same(shown, real, "row")


def same(shown: Any, real: Any, where: str) -> None:
    """Compare two JSON values: numbers nearly, everything else exactly."""
    if isinstance(shown, dict):
        assert list(shown) == list(real), f"{where}: fields differ"
        for key in shown:
            same(shown[key], real[key], f"{where}.{key}")
    elif isinstance(shown, list):
        assert len(shown) == len(real), f"{where}: lengths differ"
        for place, pair in enumerate(zip(shown, real, strict=True)):
            same(*pair, f"{where}[{place}]")
    elif isinstance(shown, float):
        assert shown == pytest.approx(real, abs=0.02), where
    else:
        assert shown == real, where


def test_pictures_and_links_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = {target for target in re.findall(r"\]\(([^)#]+)", text) if not target.startswith("http")}

    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
