"""Whose face is it: nearest entities and threshold by hand; on, off and forgetting on a real knowledge base."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from melink.errors import ConfigError, NotFound, StoreError
from melink.features import face_index
from melink.features.face_index import (
    FaceIndex,
    Resemblance,
    collect,
    face_encoder,
    forget_entities,
    forgotten_pictures,
    state,
    turn_off,
    turn_on,
)
from melink.features.part_table import read_parts
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.records import Entity

pytest.importorskip("cv2")
MakeKB = Callable[..., KnowledgeBase]


def unit(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_nearest_by_hand() -> None:
    """Ann at 0° and 30°, Bob at 90°; a face at 20° is cos 10° from Ann and cos 70° from Bob."""
    index = FaceIndex(["A", "A", "B"], ["Ann", "Ann", "Bob"], unit(0, 30, 90), {})
    (found,) = index.nearest(unit(20), threshold=0.0)
    assert found == [
        Resemblance("A", "Ann", pytest.approx(np.cos(np.deg2rad(10)), abs=1e-3)),
        Resemblance("B", "Bob", pytest.approx(np.cos(np.deg2rad(70)), abs=1e-3)),
    ]
    assert found[0].words() == "this face resembles Ann, 0.98"
    assert [each.id for each in index.nearest(unit(20), most=1, threshold=0.0)[0]] == ["A"]
    assert [each.id for each in index.nearest(unit(20), threshold=0.5)[0]] == ["A"]
    assert index.nearest(unit(180), threshold=0.5) == [[]]
    assert index.nearest(np.zeros((0, 2), np.float32)) == []


def test_threshold_by_hand() -> None:
    """Nearest strangers: Ann's 30° and Bob's 90° are 60° apart, 0° is 90° from Bob; the largest of few counts."""
    index = FaceIndex(["A", "A", "B"], ["Ann", "Ann", "Bob"], unit(0, 30, 90), {})
    assert index.threshold == pytest.approx(0.5, abs=1e-6)
    assert FaceIndex(["A", "A"], ["Ann", "Ann"], unit(0, 1), {}).threshold == 0.5
    twins = FaceIndex(["A", "B"], ["Ann", "Bob"], unit(7, 7), {})
    assert twins.threshold == 0.5, "one photograph of both says nothing about strangers"
    assert FaceIndex(["A", "B", "C"], ["Ann", "Bob", "Cy"], unit(7, 7, 67), {}).threshold == pytest.approx(
        0.5, abs=1e-6
    )
    empty = FaceIndex([], [], np.zeros((0, 2), np.float32), {})
    assert empty.threshold == 0.5 and empty.nearest(unit(20)) == [[]]


def test_strangers_are_rarely_somebody() -> None:
    """By construction: of known faces about the given share resembles anybody else above the threshold."""
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(1000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"E{row}" for row in range(1000)]
    index = FaceIndex(ids, ids, vectors + np.float32(2), {}, false=0.05)  # all have much in common
    alike = [
        [each.id for each in found if each.id != id]
        for id, found in zip(ids, index.nearest(index.vectors), strict=True)
    ]
    assert 0.03 < np.mean([bool(others) for others in alike]) < 0.07


def crowd(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@pytest.mark.parametrize("at_once", [1, 5000, 60_000])
def test_nearest_in_blocks_of_any_size(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit what one product gives, also for the faces left over."""
    ids = [f"E{row % 200}" for row in range(300)]
    index, faces = FaceIndex(ids, ids, crowd(300), {}), crowd(241, seed=1)
    whole = index.nearest(faces, threshold=0.3)
    assert index.nearest(faces[:1], threshold=0.3) and sum(map(len, whole)) > 200
    monkeypatch.setattr(face_index, "_AT_ONCE", at_once)
    assert index.nearest(faces, threshold=0.3) == whole


def test_nearest_takes_no_memory_for_every_pair() -> None:
    """All 36 million scores at once would be 144 MB."""
    ids = [f"E{row}" for row in range(6000)]
    index, faces = FaceIndex(ids, ids, crowd(6000), {}), crowd(6000, seed=1)
    index.nearest(faces[:2], threshold=0.9)
    tracemalloc.start()
    index.nearest(faces, threshold=0.9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@pytest.fixture
def family(make_kb: MakeKB, shared_data: Path, tmp_path: Path) -> KnowledgeBase:
    """Five people with portraits; E5 shares the portrait of E4; E6 is a row of two, E7 no person."""
    own = sorted((shared_data / "images/us_politicians").glob("*_0.jpg"))[:4]
    paths = [str(shutil.copy(path, tmp_path / f"{place}.jpg")) for place, path in enumerate(own)]
    both = Image.new("RGB", (448, 224))
    for place, path in enumerate(paths[:2]):
        both.paste(Image.open(path).convert("RGB").resize((224, 224)), (224 * place, 0))
    both.save(tmp_path / "both.jpg")
    Image.new("RGB", (80, 80), "blue").save(tmp_path / "blue.png")
    people = [Entity(f"E{n}", f"Person {n}", images=(path,)) for n, path in enumerate(paths, 1)]
    return make_kb(
        *people,
        Entity("E5", "Twin", images=(paths[3],)),
        Entity("E6", "Pair", images=(str(tmp_path / "both.jpg"),)),
        Entity("E7", "Flag", images=(str(tmp_path / "blue.png"), str(tmp_path / "gone.png"))),
        Entity("E8", "Nobody"),
    )


@pytest.mark.data
def test_it_is_off_until_it_is_on(family: KnowledgeBase) -> None:
    with pytest.raises(NotFound, match="not indexed") as wrong:
        FaceIndex.open(family)
    assert "--identity" in wrong.value.remedy
    with pytest.raises(NotFound, match="no entity Etypo"):
        forget_entities(family, ["Etypo"])
    with pytest.raises(ConfigError, match="does not encode faces"):
        turn_on(family, "classical")
    assert not (family.path / "faces.json").exists()
    with pytest.raises(ConfigError):
        face_encoder("regions")


@pytest.mark.data
def test_known_faces(family: KnowledgeBase, tmp_path: Path) -> None:
    turn_on(family)
    index = FaceIndex.open(family)
    assert list(index.ids) == ["E1", "E2", "E3", "E4", "E5"]
    assert index.skipped == {"unreadable": 1, "no face": 1, "several faces": 1, "forgotten entities": 0}
    store = FeatureStore(family.features_dir)
    (pair,) = index.read(store, [str(tmp_path / "both.jpg")])
    assert {face[0].id for face in pair} == {"E1", "E2"} and all(face[0].score > 0.9 for face in pair)
    twins = index.read(store, [str(tmp_path / "3.jpg")])[0][0]
    assert {each.id for each in twins if each.score > 0.99} == {"E4", "E5"}
    assert index.read(store, [str(tmp_path / "blue.png"), None]) == [[], []]
    family.upsert([Entity("E9", "New", images=(str(tmp_path / "0.jpg"),))])
    assert "E9" in FaceIndex.open(family).ids  # without turning anything on again


@pytest.mark.data
def test_forgetting(family: KnowledgeBase, tmp_path: Path) -> None:
    turn_on(family)
    FaceIndex.open(family)
    store, encoder = FeatureStore(family.features_dir), face_encoder("faces")
    paths = [str(tmp_path / f"{n}.jpg") for n in range(4)]
    assert store.lacking(encoder, paths, tokens=True) == 0
    assert forget_entities(family, ["E1"]) == 1
    assert FeatureStore(family.features_dir).lacking(encoder, paths, tokens=True) == 1  # nothing of that face is left
    assert forget_entities(family, ["E4"]) == 0  # E5 still has the picture
    index = FaceIndex.open(family)
    assert list(index.ids) == ["E2", "E3", "E5"] and index.skipped["forgotten entities"] == 2
    assert FeatureStore(family.features_dir).lacking(encoder, paths, tokens=True) == 1
    assert [[each.id for each in face if each.score > 0.9] for face in index.read(store, [paths[0]])[0]] == [[]]
    turn_on(family, "faces?most=5")  # another encoder brings nobody back
    assert list(FaceIndex.open(family).ids) == ["E2", "E3", "E5"]
    before = read_parts(FeatureStore(family.features_dir), encoder, paths[1:3])
    assert before.encoded == 0 and (before.lengths() == 1).all()


def stored(kb: KnowledgeBase, path: Path) -> bool:
    """Return whether anything is kept of the faces in a picture."""
    return not FeatureStore(kb.features_dir).lacking(face_encoder("faces"), [str(path)], tokens=True)


@pytest.mark.data
def test_forgetting_while_it_is_off(family: KnowledgeBase, tmp_path: Path) -> None:
    """Faces that somebody looked at are deleted all the same, and nobody comes back when it is turned on."""
    paths = [str(tmp_path / f"{n}.jpg") for n in range(4)]
    read_parts(FeatureStore(family.features_dir), face_encoder("faces"), paths)
    assert forget_entities(family, ["E1"]) == 1 and state(family) is None
    assert [stored(family, tmp_path / f"{n}.jpg") for n in range(4)] == [False, True, True, True]
    family.delete(["E2"])
    assert collect(family) == 1 and not stored(family, tmp_path / "1.jpg") and stored(family, tmp_path / "2.jpg")
    assert forget_entities(family, ["E4"]) == 0, "E5 still has the picture"
    assert forgotten_pictures(family) == {paths[0]}
    with pytest.raises(NotFound, match="not indexed"):
        FaceIndex.open(family)
    turn_on(family)
    assert list(FaceIndex.open(family).ids) == ["E3", "E5"] and not stored(family, tmp_path / "0.jpg")


def test_where_nothing_is_kept_no_picture_is_read(make_kb: MakeKB, monkeypatch: pytest.MonkeyPatch) -> None:
    kb = make_kb(Entity("E1", "Ann", images=("a.jpg",)))
    monkeypatch.setattr(face_index, "FileKeys", None)
    assert collect(kb) == 0 and forgotten_pictures(kb) == set()
    assert forget_entities(kb, ["E1"]) == 0 and {Path(path).name for path in forgotten_pictures(kb)} == {"a.jpg"}


@pytest.mark.parametrize(
    "content",
    ["", '{"format": 1, "encoder": "faces", "forgot', "[]", "{}", '{"forgotten": "E1"}', '{"forgotten": [1]}',
     '{"encoder": null, "forgotten": []}'],
)  # fmt: skip
def test_a_damaged_file_brings_nobody_back(make_kb: MakeKB, content: str) -> None:
    """Whom to forget is not known any more: nothing goes on as if that were nobody."""
    kb = make_kb(Entity("E1", "Ann"))
    (kb.path / "faces.json").write_text(content)
    calls: list[Callable[[], object]] = [
        lambda: state(kb),
        lambda: FaceIndex.open(kb),
        lambda: turn_on(kb),
        lambda: forget_entities(kb, ["E1"]),
        lambda: collect(kb),
        lambda: forgotten_pictures(kb),
    ]
    for call in calls:
        with pytest.raises(StoreError, match=r"faces\.json") as wrong:
            call()
        assert "--identity-off" in wrong.value.remedy and "--forget" in wrong.value.remedy
        assert (kb.path / "faces.json").read_text() == content
    assert turn_off(kb) == 0
    forget_entities(kb, ["E1"])
    assert json.loads((kb.path / "faces.json").read_text()) == {"format": 1, "forgotten": ["E1"]}


def test_a_file_that_cannot_be_opened_is_no_missing_file(make_kb: MakeKB) -> None:
    kb = make_kb(Entity("E1", "Ann"))
    (kb.path / "faces.json").mkdir()
    with pytest.raises(StoreError, match=r"faces\.json"):
        state(kb)


@pytest.mark.data
def test_forgetting_leaves_nothing_of_pictures_and_entities_that_are_gone(
    family: KnowledgeBase, tmp_path: Path
) -> None:
    turn_on(family)
    FaceIndex.open(family)
    encoder, safe = face_encoder("faces"), tmp_path / "elsewhere"
    shutil.copytree(tmp_path, safe, ignore=shutil.ignore_patterns("kb"))

    def lacking() -> int:
        return FeatureStore(family.features_dir).lacking(
            encoder, [str(safe / f"{n}.jpg") for n in range(4)], tokens=True
        )

    (tmp_path / "0.jpg").unlink()
    assert forget_entities(family, ["E1"]) == 1 and lacking() == 1
    family.delete(["E2"])
    assert collect(family) == 1
    with pytest.raises(NotFound, match="Etypo"):
        forget_entities(family, ["Etypo", "E3"])
    assert lacking() == 2 and "E3" in FaceIndex.open(family).ids, "nobody is forgotten by a call that fails"
    family.delete(["E3"])
    assert forget_entities(family, ["E3"]) == 1 and lacking() == 3
    assert collect(family) == 0, "E5 still has the picture of E4"


@pytest.mark.data
def test_a_disk_that_is_away_costs_nobody_a_face(family: KnowledgeBase, tmp_path: Path) -> None:
    for path in tmp_path.glob("*.jpg"):
        os.utime(path, (1e9, 1e9))  # hashes of files that have just changed are not remembered
    turn_on(family)
    FaceIndex.open(family)
    (tmp_path / "2.jpg").rename(tmp_path / "away")
    assert collect(family) == 0
    (tmp_path / "away").rename(tmp_path / "2.jpg")
    assert "E3" in FaceIndex.open(family).ids


@pytest.mark.data
def test_the_encoder_stays_until_another_is_named(family: KnowledgeBase) -> None:
    turn_on(family, "faces?most=5")
    turn_on(family)
    assert state(family)["encoder"] == "faces?most=5"
    turn_on(family, "faces")
    assert state(family)["encoder"] == "faces"


@pytest.mark.data
def test_turning_it_off_leaves_nothing(family: KnowledgeBase, tmp_path: Path) -> None:
    turn_on(family)
    FaceIndex.open(family)
    assert turn_off(family) == 6
    encoder = face_encoder("faces")
    lacking = FeatureStore(family.features_dir).lacking(encoder, [str(tmp_path / "0.jpg")], tokens=True)
    assert lacking == 1
    with pytest.raises(NotFound):
        FaceIndex.open(family)
