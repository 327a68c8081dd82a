"""The study of DWE+ on real portraits, as its users run it: few people, three rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest

pytest.importorskip("cv2")
SCRIPT = Path(__file__).resolve().parents[2] / "reproductions" / "dwe" / "study.py"
ROWS = ("text alone", "regions, faces, identity (hog)", "regions with regions")


@pytest.mark.slow
@pytest.mark.data
def test_identity_and_regions_in_rows_of_people(shared_data: Path, tmp_path: Path) -> None:
    """Not figures to keep, but a study in which this failed would have nothing to say."""
    line = [sys.executable, str(SCRIPT), "--data", str(shared_data), "-o", str(tmp_path), "--sets", "portraits"]
    line += ["--seeds", "0", "--quick", "--systems", ";".join(ROWS)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {row["system"]: row for row in orjson.loads((tmp_path / "table.json").read_bytes())}
    assert tuple(rows) == ROWS and all(row["seeds"] == 1 for row in rows.values())
    three = {system: row["figures"]["three"]["mean"] for system, row in rows.items()}
    assert min(three[ROWS[1]], three[ROWS[2]]) > three["text alone"] + 0.2
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert all(f"| {system} |" in table for system in ROWS) and "guessing among all who bear the name" in table
    words = "".join(ElementTree.fromstring((tmp_path / "portraits.svg").read_bytes()).itertext())
    assert "people in the picture" in words and "regions with regions" in words
    again = subprocess.run(line, capture_output=True, text=True)
    assert again.returncode == 0 and again.stderr.count("portraits 0") == 0, "finished cells are not done again"
