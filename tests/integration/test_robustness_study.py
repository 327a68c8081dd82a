"""The study of poor pictures, as its users run it: on few people, with real portraits, encoders and trainings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("zeroshot", "mimic")
CASES = 2 + 9 * 2
"""Good and second pictures; nine conditions at two severities."""


def run(data: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(ROOT / "reproductions" / "robustness" / "study.py"), "--data", str(data)]
    line = [*script, "-o", str(out), "--quick", "--seeds", "0", "--settings", "clean", *arguments]
    return subprocess.run(line, capture_output=True, text=True, env={**os.environ, "COLUMNS": "240"})


@pytest.fixture(scope="module")
def out(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study."""
    folder = tmp_path_factory.mktemp("study")
    done = run(shared_data, folder, "--methods", ";".join(METHODS))
    assert done.returncode == 0, done.stderr
    assert "good pictures" in done.stdout and "mimic" in done.stdout
    assert "wrote" in done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.data
def test_figures_are_those_of_the_ranks(out: Path) -> None:
    found = orjson.loads((out / "robustness.json").read_bytes())
    assert found["quick"] and list(found["settings"]["clean"]) == list(METHODS)
    for method in METHODS:
        cell = orjson.loads((out / "cells" / f"clean-{method}-0.json").read_bytes())
        figures = found["settings"]["clean"][method]
        assert len(cell["ranks"]) == len(figures["cases"]) == CASES
        assert len(cell["ranks"]["clean/0"]) == found["people by seed"]["test"][0]
        for case, ranks in cell["ranks"].items():
            assert len(ranks) == len(cell["people"][case])
            assert all(1 <= rank <= found["people"] for rank in ranks)
            if ranks:
                assert figures["cases"][case]["hits@1"] == pytest.approx(
                    sum(r <= 1 for r in ranks) / len(ranks), abs=1e-5
                )
        poor = [rank for case in ("person/2", "person/4", "place/2", "place/4") for rank in cell["ranks"][case]]
        expected = sum(rank <= 1 for rank in poor) / len(poor)
        assert figures["families"]["low relevance"]["hits@1"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.data
def test_pictures_decide_and_poor_ones_cost(out: Path) -> None:
    """Not a figure to keep, but a study in which this failed would study nothing."""
    found = orjson.loads((out / "robustness.json").read_bytes())
    cases = found["settings"]["clean"]["zeroshot"]["cases"]
    guess = found["hits@1 of guessing among all who bear the name"]
    assert cases["clean/0"]["hits@1"] > 0.9 > guess + 0.3
    assert cases["none/4"]["hits@1"] < 0.6
    assert cases["person/4"]["hits@1"] < cases["person/2"]["hits@1"] < cases["clean/0"]["hits@1"]


@pytest.mark.slow
@pytest.mark.data
def test_nobody_is_in_two_parts(out: Path) -> None:
    cell = orjson.loads((out / "cells" / "clean-mimic-0.json").read_bytes())
    tested = set(cell["people"]["clean/0"])
    pictures = [path.name for path in (out / "pictures" / "seed0").iterdir()]
    trained = {name.partition("-")[0] for name in pictures if "-train" in name}
    assert tested and trained and not tested & trained


@pytest.mark.slow
@pytest.mark.data
def test_what_is_finished_is_not_done_again(out: Path, shared_data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    figures = (out / "robustness.json").read_bytes()
    done = run(shared_data, out, "--methods", ";".join(METHODS))
    assert done.returncode == 0, done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert (out / "robustness.json").read_bytes() == figures


@pytest.mark.slow
@pytest.mark.data
def test_plot_and_page(out: Path) -> None:
    root = ElementTree.fromstring((out / "robustness.svg").read_bytes())
    panels = root.findall("./{*}g/{*}svg")
    assert len(panels) == 4
    assert all(name in "".join(panel.itertext()) for panel in panels for name in METHODS)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 4 and str(ROOT) not in page


def test_refusals(tmp_path: Path, shared_data: Path) -> None:
    wrong = run(shared_data, tmp_path, "--methods", "mimik")
    assert wrong.returncode == 1 and "mimic" in wrong.stderr
    nowhere = run(tmp_path / "nothing", tmp_path)
    assert nowhere.returncode == 1 and "--data" in nowhere.stderr
