"""The run files and the pictures of the DWE+ study."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from melink.config import load, parse
from melink.features.images import load_image
from melink.methods.dwe import DWESettings
from melink.runs import Run
from melink.train.plan import Plan

FOLDER = Path(__file__).parents[3] / "reproductions" / "dwe"


@pytest.fixture
def portraits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module of the study; it and what it finds beside it are forgotten again."""
    path = list(sys.path)
    monkeypatch.syspath_prepend(str(FOLDER))
    import portraits

    yield portraits
    sys.path[:] = path
    for name in ("portraits", "people", "systems"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["dwe", "dwe-plus"])
def test_run_files_can_be_used(name: str) -> None:
    run = load(Run, FOLDER / f"{name}.yaml")
    settings = parse(DWESettings, run.settings)
    assert run.method == "dwe" and settings.shortcut == (name == "dwe-plus")
    assert Plan.of(run).batch == 64
    assert settings.losses.fine > 0 and (settings.losses.coarse == 0) == (name == "dwe")
    assert (settings.faces == "faces") == (name == "dwe")


def test_every_commented_setting_is_one(tmp_path: Path) -> None:
    lines = (FOLDER / "dwe-plus.yaml").read_text(encoding="utf-8").splitlines()
    offered = [line.removeprefix("# ").partition("#")[0] for line in lines if line.startswith("# ") and ": " in line]
    offered = [line for line in offered if not line.startswith("DWE+") and line.strip()[-1:] != ":"]
    assert len(offered) >= 12
    for line in offered:
        file = tmp_path / "run.yaml"
        file.write_text(f"method: dwe\nsettings:\n  {line}\n", encoding="utf-8")
        parse(DWESettings, load(Run, file).settings)


def test_people_stand_side_by_side(shared_data: Path, tmp_path: Path, portraits: Any) -> None:
    sitters = portraits.Sitters(shared_data, tmp_path, 0, quick=True)
    parts = sitters.parts()
    names = {part: {name for name, _ in own} for part, own in parts.items()}
    assert not names["train"] & names["valid"] and not (names["train"] | names["valid"]) & (
        names["test"] | names["second"]
    )
    assert all(person.names[0] == name for name, person in parts["test"]), "surnames"
    assert min(len(parts[part]) for part in ("train", "valid", "test")) > 3
    everybody = portraits.Sitters(shared_data, tmp_path, 0).parts()["second"]
    assert len(everybody) == 9 and all(person.second is not None for _, person in everybody)
    name, person = parts["test"][0]
    one, three = (sitters._mention(name, person, case, count, "test") for case, count in (("one", 1), ("three", 3)))
    assert one.gold == three.gold == person.id and one.mention.surface == name
    sizes = [load_image(each.mention.image).size for each in (one, three)]
    assert sizes[1][1] == portraits.SIDE and sizes[1][0] > 2 * sizes[1][1] * sizes[0][0] / sizes[0][1]
    again = portraits.Sitters(shared_data, tmp_path / "again", 0, quick=True)
    again.folder.mkdir()
    other = again._mention(name, person, "three", 3, "test")
    assert Path(other.mention.image).read_bytes() == Path(three.mention.image).read_bytes()
    strangers = [each for each in sitters.people() if name in each.names]
    assert person in strangers and len(strangers) > 1, "the name alone does not tell"
