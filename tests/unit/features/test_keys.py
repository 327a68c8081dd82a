"""Content hashes of texts and files, and the cache that spares reading files again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from melink.features import keys as keys_module
from melink.features.images import Limits
from melink.features.keys import FileKeys, text_keys


def old(path: Path, content: bytes, seconds: int = 1_000_000) -> Path:
    path.write_bytes(content)
    os.utime(path, (seconds, seconds))
    return path


def test_text_keys() -> None:
    found = text_keys(["a", None, " ", "a", "\ud800"])
    assert found.absent == {1: "none", 2: "empty"}
    assert found.keys[0] == found.keys[3] == hashlib.sha256(b"a").digest()
    assert found.keys[4] != b""


def test_file_keys_and_errors(tmp_path: Path) -> None:
    here = old(tmp_path / "a", b"content")
    found = FileKeys(tmp_path / "c.sqlite", Limits()).of([here, None, tmp_path / "no", str(here), tmp_path / "no"])
    assert found.keys[0] == found.keys[3] == hashlib.sha256(b"content").digest()
    assert found.absent == {1: "none", 2: "missing", 4: "missing"}
    assert list(found.errors) == [str(tmp_path / "no")]


def test_second_run_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = old(tmp_path / "a", b"content")
    first = FileKeys(tmp_path / "c.sqlite", Limits()).of([here])
    reads: list[str] = []
    real = keys_module.read
    monkeypatch.setattr(keys_module, "read", lambda path, limits: reads.append(path) or real(path, limits))
    again = FileKeys(tmp_path / "c.sqlite", Limits())
    assert (again.of([here]).keys == first.keys).all() and reads == []
    old(here, b"changed", 2_000_000)
    assert again.of([here]).keys[0] == hashlib.sha256(b"changed").digest() and len(reads) == 1


def test_fresh_files_are_not_trusted(tmp_path: Path) -> None:
    here = tmp_path / "a"
    here.write_bytes(b"one")
    files = FileKeys(tmp_path / "c.sqlite", Limits())
    stamp = here.stat()
    files.of([here])
    here.write_bytes(b"two")
    os.utime(here, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert files.of([here]).keys[0] == hashlib.sha256(b"two").digest()


def test_a_damaged_cache_costs_nothing_but_time(tmp_path: Path) -> None:
    here = old(tmp_path / "a", b"content")
    (tmp_path / "c.sqlite").write_bytes(b"not a database" * 100)
    assert FileKeys(tmp_path / "c.sqlite", Limits()).of([here]).keys[0] == hashlib.sha256(b"content").digest()
