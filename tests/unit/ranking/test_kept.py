"""Kept terms: computed once, resumed, never read half, forgotten when they are old."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from letters import Letters, LetterTerms

from melink.errors import Locked, StoreError
from melink.kb.disk import locked
from melink.kb.store import KnowledgeBase
from melink.kb.view import EntityView
from melink.ranking import kept as module
from melink.ranking.kept import MOST, Kept, leaves, pictures_of
from melink.records import Entity

N = 50


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 12)


def contents(kept: Kept) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(kept.folder.glob("*.*")) if path.name != ".lock"}


def whole(method: Letters, view: EntityView) -> list[np.ndarray]:
    return [leaf.numpy() for _, leaf in leaves(method.terms(view))]


def sides(entities: Any) -> list[np.ndarray]:
    return [leaf.numpy() for _, leaf in leaves(entities)]


def assert_right(kept: Kept) -> None:
    """Compare what is read, in chunks and singly, with what the method says."""
    method = Letters()
    expected = whole(method, kept.view)
    joined = zip(*(sides(kept.chunk(start, stop)) for start, stop in kept.chunks()), strict=True)
    for read, own in zip(joined, expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(read), own)
    rows = torch.tensor([49, 0, 13, 13])
    for read, own in zip(sides(kept.some(rows, frozenset(LetterTerms._fields))), expected, strict=True):
        np.testing.assert_array_equal(read, own[rows.numpy()])


def test_terms_are_computed_once(wordy: KnowledgeBase, tmp_path: Path) -> None:
    method, view = Letters(), wordy.view()
    first = Kept(method, view, tmp_path)
    assert method.computed == [1, 12, 12, 12, 12, 2], "one row tells the shapes"
    before, times = contents(first), [path.stat().st_mtime_ns for path in sorted(first.folder.glob("*.bin"))]
    method.computed.clear()
    second = Kept(method, view, tmp_path)
    assert method.computed == [1] and second.folder == first.folder
    assert contents(second) == before
    assert [path.stat().st_mtime_ns for path in sorted(second.folder.glob("*.bin"))] == times
    assert_right(second)


def test_what_is_left_out_is_empty_and_the_rest_is_right(wordy: KnowledgeBase, tmp_path: Path) -> None:
    kept = Kept(Letters(), wordy.view(), tmp_path)
    first, last, places, known = whole(Letters(), kept.view)
    light = kept.chunk(12, 30, light=True)
    assert light.places.shape == (18, 0) and (light.counts.last.numpy() == last[12:30]).all()
    some = kept.some(torch.tensor([3, 1]))
    assert some.counts.first.shape == (2, 0) and (some.places.numpy() == places[[3, 1]]).all()
    assert kept.some(torch.tensor([3, 1]), light=True).places.shape == (2, 0)
    assert (some.known.numpy() == known[[3, 1]]).all() and (light.counts.first.numpy() == first[12:30]).all()


def test_bytes_of_an_entity(wordy: KnowledgeBase, tmp_path: Path) -> None:
    kept = Kept(Letters(), wordy.view(), tmp_path)
    assert kept.bytes_each == 2 * (26 + 8) + 1
    assert sum(path.stat().st_size for path in kept.folder.glob("*.bin")) == N * kept.bytes_each
    assert len(kept) == N


class Failing(Letters):
    """Gives up after so many chunks."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def terms(self, view: EntityView) -> LetterTerms:
        if len(self.computed) > self.after:
            raise RuntimeError("given up")
        return super().terms(view)


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("size", [12, 7, 100])
def test_an_interrupted_build_goes_on(
    wordy: KnowledgeBase, tmp_path: Path, after: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = contents(Kept(Letters(), wordy.view(), tmp_path / "whole"))
    with pytest.raises(RuntimeError, match="given up"):
        Kept(Failing(after), wordy.view(), tmp_path / "cut")
    monkeypatch.setattr(module, "CHUNK", size)  # a later version may cut otherwise
    method = Letters()
    resumed = Kept(method, wordy.view(), tmp_path / "cut")
    assert sum(method.computed[1:]) == N - 12 * after
    assert contents(resumed) == undisturbed
    assert_right(resumed)


def cut_short(folder: Path) -> None:
    path = folder / "2.bin"
    path.write_bytes(path.read_bytes()[:-1])


def emptied(folder: Path) -> None:
    (folder / "0.bin").write_bytes(b"")


def lost(folder: Path) -> None:
    (folder / "3.bin").unlink()


def rewritten(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        about = json.loads((folder / "about.json").read_text())
        (folder / "about.json").write_text(json.dumps({**about, **changes}))

    return change


def replaced(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "about.json").write_text(text)

    return change


DAMAGE: dict[str, Callable[[Path], None]] = {
    "an array is short": cut_short,
    "an array is empty": emptied,
    "an array is gone": lost,
    "no account": lambda folder: (folder / "about.json").unlink(),
    "half an account": replaced('{"shapes": ['),
    "a list": replaced("[]"),
    "a number": replaced("7"),
    "done is text": rewritten(done="50"),
    "done is too much": rewritten(done=51),
    "done is negative": rewritten(done=-3),
    "other shapes": rewritten(shapes=[]),
    "other entities": rewritten(rows=49),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_repaired(wordy: KnowledgeBase, tmp_path: Path, kind: str) -> None:
    kept = Kept(Letters(), wordy.view(), tmp_path)
    undisturbed = contents(kept)
    DAMAGE[kind](kept.folder)
    method = Letters()
    again = Kept(method, wordy.view(), tmp_path)
    assert sum(method.computed[1:]) == N
    assert contents(again) == undisturbed
    assert_right(again)


def test_a_half_built_array_that_lost_its_end_is_not_padded_with_zeros(wordy: KnowledgeBase, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        Kept(Failing(2), wordy.view(), tmp_path)
    (folder,) = tmp_path.iterdir()
    with (folder / "0.bin").open("r+b") as file:
        file.truncate(13 * 40)
    assert_right(Kept(Letters(), wordy.view(), tmp_path))


def test_other_weights_entities_or_pictures_have_another_key(
    make_kb: Callable[..., KnowledgeBase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"one")
    kb = make_kb(Entity("A", "ab", images=(str(picture),)), Entity("B", "ba", images=(str(tmp_path / "none.png"),)))

    def key(method: Letters | None = None) -> str:
        view = kb.view()
        return Kept(method or Letters(), view, tmp_path / "terms", pictures_of(view)).folder.name

    keys = [key(), key(Letters(0.25))]
    assert key() == keys[0]
    picture.write_bytes(b"another")
    keys.append(key())
    os.utime(picture, ns=(1, 1))
    keys.append(key())
    picture.unlink()
    keys.append(key())
    kb.upsert([Entity("B", "bab", images=(str(tmp_path / "none.png"),))])
    keys.append(key())
    monkeypatch.setattr(module, "FORMAT", 99)
    keys.append(key())
    assert len(set(keys)) == 7


def aged(kept: Kept, seconds: int) -> None:
    os.utime(kept.folder, (1_000_000 + seconds, 1_000_000 + seconds))


def test_the_builds_that_were_used_last_remain(wordy: KnowledgeBase, tmp_path: Path) -> None:
    builds = []
    for n in range(MOST):
        builds.append(Kept(Letters(n + 1.0), wordy.view(), tmp_path))
        aged(builds[-1], n)
    oldest = builds[0]
    aged(Kept(Letters(1.0), wordy.view(), tmp_path), 500)  # used again, it is no longer the oldest
    new = Kept(Letters(99.0), wordy.view(), tmp_path)
    left = {path for path in tmp_path.iterdir() if path.is_dir()}
    assert left == {oldest.folder, new.folder, *(kept.folder for kept in builds[2:])} and len(left) == MOST
    assert_right(builds[1])  # who has it open reads on


def test_the_build_in_use_remains_however_old_it_looks(
    wordy: KnowledgeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(MOST):
        Kept(Letters(n + 1.0), wordy.view(), tmp_path)
    used = Kept(Letters(1.0), wordy.view(), tmp_path)
    aged(used, 0)
    monkeypatch.setattr(module.os, "utime", lambda path: None)  # as on a disk that notes no times
    again = Kept(Letters(1.0), wordy.view(), tmp_path)
    assert again.folder == used.folder and used.folder.is_dir()
    assert_right(again)


def test_what_another_process_builds_remains(wordy: KnowledgeBase, tmp_path: Path) -> None:
    builds = []
    for n in range(MOST):
        builds.append(Kept(Letters(n + 1.0), wordy.view(), tmp_path))
        aged(builds[-1], n)
    with locked(builds[0].folder / ".lock"):
        Kept(Letters(50.0), wordy.view(), tmp_path)
        assert builds[0].folder.is_dir()
    Kept(Letters(60.0), wordy.view(), tmp_path)
    assert not builds[0].folder.exists()


def test_two_builders_of_the_same_are_one_too_many(wordy: KnowledgeBase, tmp_path: Path) -> None:
    folder = Kept(Letters(), wordy.view(), tmp_path).folder
    with locked(folder / ".lock"):
        assert_right(Kept(Letters(), wordy.view(), tmp_path))  # what is complete is read without a lock
    (folder / "about.json").unlink()
    with locked(folder / ".lock"), pytest.raises(Locked, match="another process is preparing") as caught:
        Kept(Letters(), wordy.view(), tmp_path)
    assert "wait" in str(caught.value)
    assert_right(Kept(Letters(), wordy.view(), tmp_path))


def test_a_folder_that_cannot_be_written_is_no_hindrance(
    wordy: KnowledgeBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is used; what lacks is built elsewhere, and goes away with its reader."""
    there = Kept(Letters(), wordy.view(), tmp_path / "a")
    monkeypatch.setattr("melink.kb.disk.os.access", lambda path, mode: not Path(path).is_relative_to(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    assert Kept(Letters(), wordy.view(), tmp_path / "a").folder == there.folder
    lacking = Kept(Letters(), wordy.view(), tmp_path / "b")
    assert_right(lacking)
    assert tmp_path not in lacking.folder.parents and sorted(tmp_path.rglob("*")) == before
    folder = lacking.folder
    del lacking
    gc.collect()
    assert not folder.parent.exists()


class Wide(Letters):
    """Takes 8 KB for an entity, most of it in its third array."""

    def terms(self, view: EntityView) -> LetterTerms:
        terms = super().terms(view)
        return terms._replace(places=terms.places[..., None].repeat(1, 1, 512))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder], check=False,
                                       capture_output=True).returncode:  # fmt: skip
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)  # arrays may still be mapped


def test_a_full_disk_is_said_and_nothing_half_is_read(wordy: KnowledgeBase, tmp_path: Path, small_disk: Path) -> None:
    undisturbed = contents(Kept(Wide(), wordy.view(), tmp_path / "whole"))
    for _ in range(2):
        with pytest.raises(StoreError, match="disk is full") as caught:
            Kept(Wide(), wordy.view(), small_disk / "terms")
        assert "free some space" in str(caught.value)
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    method = Wide()
    kept = Kept(method, wordy.view(), small_disk / "terms")
    assert sum(method.computed[1:]) == N - 12, "one chunk was finished before"
    assert contents(kept) == undisturbed
