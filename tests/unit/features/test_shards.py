"""Shards: round trip, open format, damage, merging."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from melink.errors import StoreError
from melink.features.index import MANY, Index, compact, open_index
from melink.features.shards import KEY, Shard, full, read_shard, sweep, write_shard


def key(n: int) -> bytes:
    return hashlib.sha256(str(n).encode()).digest()


def shard(*numbers: int, tokens: bool = False, bad: dict[bytes, str] | None = None) -> Shard:
    keys = np.array([key(n) for n in numbers], KEY)
    vectors = np.array([[n, n + 0.5] for n in numbers], np.float16).reshape(-1, 2)
    if not tokens:
        return Shard(keys, vectors, bad=bad or {}, decoder="d")
    lengths = [n % 3 + 1 for n in numbers]
    rows = np.concatenate([np.full((length, 3), n, np.float16) for n, length in zip(numbers, lengths, strict=True)])
    return Shard(keys, vectors, rows, np.cumsum([0, *lengths], dtype=np.int64), bad or {}, "d")


@pytest.mark.parametrize("tokens", [False, True])
def test_round_trip(tmp_path: Path, tokens: bool) -> None:
    bad = {b"\x01" * 31 + b"\x00": "corrupt"}  # a key that ends in the byte numpy drops
    before = shard(1, 2, 5, tokens=tokens, bad=bad)
    after = read_shard(tmp_path / write_shard(tmp_path, before))
    assert (after.keys == before.keys).all() and (after.vectors == before.vectors).all()
    assert dict(after.bad) == bad and after.decoder == "d"
    assert isinstance(after.vectors, np.memmap)
    if tokens:
        assert after.token_rows(2).tolist() == [[5] * 3] * 3
    else:
        with pytest.raises(ValueError, match="no token vectors"):
            after.token_rows(0)


def test_only_failures(tmp_path: Path) -> None:
    after = read_shard(tmp_path / write_shard(tmp_path, shard(bad={key(1): "corrupt"})))
    assert len(after.keys) == 0 and after.vectors.shape == (0, 2) and after.bad == {key(1): "corrupt"}


def test_other_tools_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / write_shard(tmp_path, shard(1, 2, tokens=True))
    with safe_open(path, "np") as file:
        assert file.get_tensor("vectors").tolist() == [[1, 1.5], [2, 2.5]]
        assert file.get_tensor("offsets").tolist() == [0, 2, 5]


def test_same_content_is_one_file(tmp_path: Path) -> None:
    assert write_shard(tmp_path, shard(1)) == write_shard(tmp_path, shard(1)) != write_shard(tmp_path, shard(2))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:60], lambda data: b"\xff" * 9 + data[9:]])
def test_damage_is_named(tmp_path: Path, damage) -> None:
    path = tmp_path / write_shard(tmp_path, shard(1))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match="delete this file"):
        read_shard(path)


def test_truncated_arrays_are_named(tmp_path: Path) -> None:
    path = tmp_path / write_shard(tmp_path, shard(1, 2, 3))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(StoreError, match="damaged"):
        read_shard(path)


def test_index_prefers_token_vectors_and_finds_exactly() -> None:
    index = Index({"b": shard(1, 2), "a": shard(3), "c": shard(2, 4, tokens=True)})
    keys = np.array([key(n) for n in (4, 2, 1, 9)], KEY)
    shards, rows = index.find(keys, tokens=False)
    got = [index.shards[s].vectors[r][0] if s >= 0 else None for s, r in zip(shards, rows, strict=True)]
    assert got == [4, 2, 1, None] and len(index) == 4
    assert (index.find(keys, tokens=True)[0] >= 0).tolist() == [True, True, False, False]
    assert len(Index({})) == 0 and Index({}).find(keys, False)[0].tolist() == [-1] * 4


def test_compact_keeps_everything(tmp_path: Path) -> None:
    def content(index: Index) -> str:
        digest = hashlib.sha256()
        index.update(digest)
        return digest.hexdigest()

    for n in range(MANY):
        write_shard(tmp_path, shard(n, n + 1, bad={key(1000 + n): "corrupt"}))
    few = open_index(tmp_path)
    assert compact(tmp_path, few) is few
    for n in range(5):
        write_shard(tmp_path, shard(n, 50 + n, tokens=True))
    before = open_index(tmp_path, few)
    after = compact(tmp_path, before)
    assert len(after.shards) == 2 and len(after) == len(before)
    assert content(after) == content(before)
    assert compact(tmp_path, after) is after


def test_open_index_reuses_what_is_unchanged(tmp_path: Path) -> None:
    assert len(open_index(tmp_path / "nowhere")) == 0
    write_shard(tmp_path, shard(1))
    first = open_index(tmp_path)
    assert open_index(tmp_path, first) is first
    write_shard(tmp_path, shard(2))
    second = open_index(tmp_path, first)
    assert len(second) == 2 and first.shards[0] in second.shards


def test_sweep_removes_only_old_leftovers(tmp_path: Path) -> None:
    for name in (".1-old.tmp", ".1-new.tmp", "keep.safetensors"):
        (tmp_path / name).touch()
    hours_ago = time.time() - 7200
    os.utime(tmp_path / ".1-old.tmp", (hours_ago, hours_ago))
    os.utime(tmp_path / "keep.safetensors", (hours_ago, hours_ago))
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".1-new.tmp", "keep.safetensors"]


def test_full_restores_dropped_zeros() -> None:
    whole = b"\x07" * 30 + b"\0\0"
    assert full(np.array([whole], KEY).tolist()[0]) == whole
