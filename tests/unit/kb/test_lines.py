from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pytest

from melink.errors import InputError
from melink.kb import lines as module
from melink.kb.lines import fingerprint, lines

TEXT = b"\xef\xbb\xbfone\r\ntwo\n\nfour"


@pytest.fixture(params=["", ".gz", ".bz2"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"x.txt{request.param}"
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[request.param]
    path.write_bytes(pack(TEXT))
    return path


def test_lines_have_numbers_and_no_line_ends(file: Path):
    assert [(line.number, line.raw) for line in lines(file)] == [(1, b"one"), (2, b"two"), (3, b""), (4, b"four")]


def test_going_on_after_any_line_gives_the_rest(file: Path):
    everything = list(lines(file))
    for i, line in enumerate(everything):
        assert list(lines(file, line.number, line.end)) == everything[i + 1 :]


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LONGEST", 10)
    path = tmp_path / "x"
    path.write_bytes(b"short\n" + b"x" * 35 + b"\nnext\n" + b"y" * 9 + b"\n" + b"z" * 10)
    assert [(line.number, line.raw, line.too_long) for line in lines(path)] == [
        (1, b"short", False),
        (2, b"", True),
        (3, b"next", False),
        (4, b"y" * 9, False),
        (5, b"", True),
    ]


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
def test_a_cut_off_archive_says_where(tmp_path: Path, suffix: str):
    pack = gzip.compress if suffix == ".gz" else bz2.compress
    path = tmp_path / f"x{suffix}"
    packed = pack(b"".join(b"%d %d\n" % (i, i * i * 7919 % 10007) for i in range(50_000)))
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"after line \d+ the file is cut off"):
        list(lines(path))


def test_a_missing_file_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="No such file"):
        list(lines(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="No such file"):
        fingerprint(tmp_path / "none.jsonl")


def test_fingerprints_tell_files_and_folders_apart(tmp_path: Path):
    path = tmp_path / "a"
    path.write_text("1")
    first, folder = fingerprint(path), fingerprint(tmp_path)
    path.write_text("2")
    assert fingerprint(path) != first
    (tmp_path / "b").write_text("3")
    assert fingerprint(tmp_path) != folder
