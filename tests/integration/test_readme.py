"""The README does what it says: its commands run in order in one folder, and print what it shows."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import fenced
import pytest

README = fenced.ROOT / "README.md"

Row = dict[str, Any]


@pytest.mark.slow
def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    """One test, because its commands take half a minute and every check needs what they left behind."""
    (tmp_path / "src").symlink_to(fenced.ROOT / "src")
    shutil.copytree(fenced.ROOT / "tests/fixtures/datasets/mimic", tmp_path / "WikiMEL")
    found = fenced.blocks(README)

    said = fenced.run(found, tmp_path)

    assert len(said) >= 4
    assert fenced.compare(found, said) >= 5
    assert (tmp_path / "run" / "config.json").is_file()
    assert 0 <= json.loads((tmp_path / "names.json").read_text())["overall"]["hits@1"] <= 1
    rows = [json.loads(line) for line in (tmp_path / "links.jsonl").read_text().splitlines()]
    assert [row["prediction"]["id"] for row in rows] == ["Q230", "Q1428", "Q41421"]
    assert "capital: Atlanta" in rows[1]["candidates"][0]["evidence"]["matched_triples"]
    shown_row_is_real(found, rows[0])
    table_names_fields(rows[0])


def shown_row_is_real(found: list[fenced.Block], real: Row) -> None:
    (shown,) = (json.loads(block.body) for block in found if block.note == "first row of links.jsonl")
    try:
        same(shown, real, "row")
    except AssertionError as error:
        raise AssertionError(f"{error}\nthe README should show: {json.dumps(real)}") from error
    assert sum(real["candidates"][0]["features"].values()) == pytest.approx(real["prediction"]["score"], abs=1e-3)


def table_names_fields(real: Row) -> None:
    named = re.findall(r"^\| `([a-z_.\[\]]+)` \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(named) >= 8
    for name in named:
        value: Any = real
        for key in name.split("."):
            value = value[key.removesuffix("[]")]
            value = value[0] if key.endswith("[]") else value


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
