"""What a split shares with train: every kind of leak, on mentions worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from melink.datasets.leaks import KINDS, TrainFootprint, leak_report, normalized
from melink.records import NIL, Labelled, Mention


def mention(id: str, text: str, surface: str = "x", gold: str | None = None, **extra: Any) -> Labelled:
    return Labelled(Mention(id, text, surface, image=extra.pop("image", None)), gold, extra)


TRAIN = [
    mention("t1", "Ada and Borin in Veld", "Ada", "Q1", sentence_id=7, image_file="7.jpg"),
    mention("t2", "Another", "Another", "Q2", sentence_id="8", image_file="8.jpg"),
    mention("t3", "No gold", "gold", NIL),
]


@pytest.mark.parametrize(
    ("other", "kinds"),
    [
        (mention("v", "Different", sentence_id="7"), {"sentence id"}),
        (mention("v", "ADA — and\u00a0Borin, in Veld!", "Borin"), {"sentence"}),
        (mention("v", "Ada and Borin in Veld", "ada"), {"sentence", "sentence and mention"}),
        (mention("v", "Different", image_file="8.jpg"), {"image name"}),
        (mention("v", "Different", "Ada"), set()),
        (mention("v", "Another thing", sentence_id=9, image_file="9.jpg"), set()),
    ],
)
def test_kinds(other: Labelled, kinds: set[str]):
    report = leak_report(TRAIN, [other])
    assert {kind for kind, ids in report.shared.items() if ids == ("v",)} == kinds
    assert report.leaking == (frozenset({"v"}) if kinds else frozenset())


def test_picture_content(tmp_path: Path):
    for name, content in (("a.jpg", b"same"), ("b.jpg", b"same"), ("c.jpg", b"other")):
        (tmp_path / name).write_bytes(content)
    train = [mention("t", "T", image=str(tmp_path / "a.jpg"))]
    other = [
        mention("v1", "V", image=str(tmp_path / "b.jpg")),
        mention("v2", "W", image=str(tmp_path / "c.jpg")),
        mention("v3", "X", image=str(tmp_path / "gone.jpg")),
    ]
    report = leak_report(train, other)
    assert report.shared["image content"] == ("v1",)
    assert report.shared["image name"] == ()


def test_seen_entities_do_not_count_nil():
    other = [
        mention("v1", "a", gold="Q1"),
        mention("v2", "b", gold="Q3"),
        mention("v3", "c", gold=NIL),
        mention("v4", "d"),
    ]
    report = leak_report(TRAIN, other)
    assert (report.mentions, report.golds, report.seen) == (4, 2, 1)
    assert report.seen_ids == {"v1"}
    assert report.to_dict() == {
        "mentions": 4,
        "shared_with_train": dict.fromkeys(KINDS, 0),
        "shared_any": 0,
        "golds": 2,
        "seen_in_train": 1,
    }


def test_footprint_serves_several_splits():
    footprint = TrainFootprint.of(iter(TRAIN))
    assert footprint.report(TRAIN).leaking == {"t1", "t2", "t3"}
    assert footprint.report([]).to_dict()["shared_any"] == 0


def test_normalized():
    assert normalized("  Ｆｕｌｌ—Width’s \n STRASSE ") == normalized("full width s strasse")
