"""The study of regions and faces, as its users run it: on few people, with real portraits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest

pytest.importorskip("cv2")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def out(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study."""
    folder = tmp_path_factory.mktemp("faces")
    script = ROOT / "reproductions" / "faces" / "study.py"
    line = [sys.executable, str(script), "--data", str(shared_data), "-o", str(folder), "--quick"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "whole image" in done.stdout and "wrote" in done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.data
def test_parts_beat_the_whole_in_rows(out: Path) -> None:
    """Not a figure to keep, but a study in which this failed would have nothing to say."""
    cases = orjson.loads((out / "study.json").read_bytes())["cases"]
    assert set(cases) == {f"people/{n}" for n in (1, 2, 3)} | {
        f"{way}/2" for way in ("blur", "pixelate", "noise", "small", "crop", "cover")
    } | {"second/0"}
    three = {system: figures["hits@1"] for system, figures in cases["people/3"].items()}
    assert all(three[system] > three["whole image"] for system in ("regions", "faces (hog)", "identity (hog)"))
    assert three["regions"] > three["text alone"] + 0.3
    assert all(0 <= figures["hits@1"] <= 1 for own in cases.values() for figures in own.values())
    guess = cases["people/1"]["text alone"]["hits@1"]
    assert guess == cases["blur/2"]["text alone"]["hits@1"] == pytest.approx(0.25, abs=0.2)


@pytest.mark.slow
@pytest.mark.data
def test_identity_of_strangers_is_counted(out: Path) -> None:
    said = orjson.loads((out / "study.json").read_bytes())["identity"]["hog"]
    assert said["faces found"] >= 0.7 and said["known: right"] >= 0.7
    assert said["stranger: named somebody"] <= 0.3


@pytest.mark.slow
@pytest.mark.data
def test_plot_and_page_of_faces(out: Path) -> None:
    words = "".join(ElementTree.fromstring((out / "study.svg").read_bytes()).itertext())
    assert "regions" in words and "people in the picture" in words
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 3 and str(ROOT) not in page
