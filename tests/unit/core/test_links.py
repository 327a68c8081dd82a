"""Links as rows, and a file of rows that a stopped run goes on with."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from melink.links import link_row, resumable, url
from melink.records import Labelled, Link, Mention, Scored

MENTION = Mention("m1", "In Georgia", "Georgia", 3, 10, "x.png")


def row(link: Link, labelled: Labelled | None = None) -> dict[str, object]:
    found = link_row(labelled or Labelled(link.mention), link, {"model": "names", "kb_version": 3})
    return orjson.loads(orjson.dumps(found))  # type: ignore[no-any-return]


def test_a_row_by_hand() -> None:
    first = Scored("Q230", "Georgia", 1.5, {"name": 1.0, "text": 0.5}, {"matched_name": "Georgia"}, {"names": 1}, 0.8)
    second = Scored("E2", "Georgia", 1.4, {"name": 1.0, "text": 0.1, "image": 0.3})
    link = Link(MENTION, (first, second), False, 0.8, {"calibrated": True})
    labelled = Labelled(MENTION, "Q230", {"topic": "sport", "model": "mine", "prediction": "theirs"})
    assert row(link, labelled) == {
        "topic": "sport",
        "id": "m1",
        "text": "In Georgia",
        "mention": {"text": "Georgia", "start": 3, "end": 10},
        "image": "x.png",
        "gold": "Q230",
        "prediction": {
            "id": "Q230",
            "label": "Georgia",
            "url": "https://www.wikidata.org/wiki/Q230",
            "score": 1.5,
            "probability": 0.8,
            "nil": False,
        },
        "candidates": [
            {
                "id": "Q230",
                "label": "Georgia",
                "score": 1.5,
                "probability": 0.8,
                "features": {"name": 1.0, "text": 0.5},
                "evidence": {"matched_name": "Georgia"},
                "sources": {"names": 1},
            },
            {
                "id": "E2",
                "label": "Georgia",
                "score": 1.4,
                "probability": None,
                "features": {"name": 1.0, "text": 0.1, "image": 0.3},
                "evidence": {},
                "sources": {},
            },
        ],
        "explanation": {"decided_by": "text", "calibrated": True},
        "model": "names",
        "kb_version": 3,
    }


def test_what_decided() -> None:
    def decided(*candidates: Scored, nil: bool = False) -> object:
        return row(Link(MENTION, candidates, nil))["explanation"]["decided_by"]  # type: ignore[index]

    one, other = Scored("a", "a", 1.0, {"name": 1.0}), Scored("b", "b", 0.5, {"name": 1.0, "image": -0.5})
    assert decided(one, other) == "image"  # a part that the first lacks can decide, too
    assert decided(one) is None and decided() is None
    assert decided(one, other, nil=True) == "nil"


def test_nil_has_no_entity() -> None:
    found = row(Link(MENTION, (Scored("Q1", "a", 0.1),), True, 0.9))["prediction"]
    assert found == {"id": "NIL", "label": None, "url": None, "score": None, "probability": 0.9, "nil": True}


@pytest.mark.parametrize(("id", "known"), [("Q1", True), ("Q0", False), ("Q1x", False), ("E1", False), ("NIL", False)])
def test_urls_of_items_only(id: str, known: bool) -> None:
    assert (url(id) is not None) == known


class Stop(Exception):
    """What stops a run half way."""


def write(path: Path, upto: int, settings: dict[str, int], block: int = 1, stop: bool = False) -> int:
    """Write rows 0 … upto−1 and return how many were there before."""
    with resumable(path, settings, block) as (file, done):
        for at in range(done, upto):
            file.write(f"row {at}\n".encode())
        if stop:
            file.write(b"row torn off in the mid")
            file.flush()
            raise Stop
    return done


def expected(n: int) -> str:
    return "".join(f"row {at}\n" for at in range(n))


def test_an_undisturbed_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.jsonl"
    assert write(path, 5, {"a": 1}) == 0
    assert path.read_text() == expected(5)
    assert [each.name for each in path.parent.iterdir()] == ["out.jsonl"]
    assert write(path, 3, {"a": 1}) == 0  # a finished file is made anew
    assert path.read_text() == expected(3)


@pytest.mark.parametrize(("block", "kept"), [(1, 7), (3, 6), (7, 7), (10, 0)])
def test_a_stopped_file_goes_on_at_a_whole_block(tmp_path: Path, block: int, kept: int) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("earlier\n")
    with pytest.raises(Stop):
        write(path, 7, {"a": 1}, block, stop=True)
    assert path.read_text() == "earlier\n"  # the old file stays until the new one is whole
    assert write(path, 12, {"a": 1}, block) == kept
    assert path.read_text() == expected(12)
    assert [each.name for each in tmp_path.iterdir()] == ["out.jsonl"]


def test_other_settings_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with pytest.raises(Stop):
        write(path, 7, {"a": 1}, stop=True)
    assert write(path, 2, {"a": 2}) == 0
    assert path.read_text() == expected(2)


@pytest.mark.parametrize("damage", ["sidecar", "partial"])
def test_lost_traces_begin_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "out.jsonl"
    with pytest.raises(Stop):
        write(path, 7, {"a": 1}, stop=True)
    sidecar = tmp_path / "out.jsonl.partial.json"
    if damage == "sidecar":
        sidecar.write_text("{half")
    else:
        (tmp_path / "out.jsonl.partial").unlink()
    assert write(path, 4, {"a": 1}) == 0
    assert path.read_text() == expected(4)
