"""The benchmarks of MIMIC run, say what they promise, and what they compare agrees; clocks are not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def ran(name: str, out: Path) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--quick", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == written
    return written


def test_ranking_agrees_with_the_straightforward_form(tmp_path: Path) -> None:
    found = ran("ranking", tmp_path / "ranking.json")
    assert set(found["speedup"]) == {"exact", "certified_top16", "shortlist256"}
    assert found["cache_bytes"] <= 16 * 1024
    assert 0 <= found["recall"] <= 1 and found["machine"]["cores"]
    same = found["agreement"]
    assert same["certified_same_rows_in_order"] and found["adversarial"]["same_rows"]
    assert same["straightforward_same_top1"] == 1.0
    assert same["score_difference_32_bit"] < 1e-4
    assert same["certified_score_difference"] <= 1e-4
    plot = ElementTree.fromstring((tmp_path / "ranking.svg").read_text(encoding="utf-8"))
    assert len(plot.findall("{http://www.w3.org/2000/svg}polyline")) == 4


def test_training_agrees_with_the_straightforward_form(tmp_path: Path) -> None:
    found = ran("mimic_training", tmp_path / "training.json")
    assert found["loss_difference"] < 1e-5
    assert found["gradient_largest"] > 0.01
    assert found["gradient_difference_of_largest"] < 1e-5
    assert found["time_ratio_cpu"] > 0 and found["memory_ratio"] > 0
