"""Run directories: written whole, read back, refused with a reason."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from melink.errors import ConfigError, NotFound
from melink.runs import Run, read_run, write_run


def test_a_run_is_read_back(tmp_path: Path) -> None:
    run = Run(
        settings={"weights": {"name": 2.0}}, encoder="some/clip", generators=("names",), k=5, kb="kb",
        fitted_on={"file": "valid.jsonl", "sha256": "ab"}, metrics={"hits": 0.5},
    )  # fmt: skip
    write_run(run, tmp_path / "a" / "run", "Paper 2025")
    assert read_run(tmp_path / "a" / "run") == run
    assert sorted(path.name for path in (tmp_path / "a" / "run").iterdir()) == ["README.md", "config.json"]
    card = (tmp_path / "a" / "run" / "README.md").read_text()
    for word in ("Paper 2025", "fitted on `valid.jsonl`", "some/clip", "| hits | 0.5 |", "(top 5)"):
        assert word in card


def test_a_method_name_is_its_default_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, zeroshot = read_run("names"), read_run("zeroshot")
    assert (names.method, zeroshot.method) == ("names", "zeroshot")
    assert "dense" in zeroshot.generators and "dense" not in names.generators  # names reads no text
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names").mkdir()
    assert read_run("names") == names  # a folder that is no run hides nothing
    write_run(Run(k=3), tmp_path / "names", "x")
    assert read_run("names").k == 3


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="directory without"):
        read_run(tmp_path)
    with pytest.raises(NotFound, match="neither a run directory nor a method"):
        read_run(tmp_path / "absent")
    (tmp_path / "config.json").write_bytes(orjson.dumps({"method": "names", "weigths": 1}))
    with pytest.raises(ConfigError, match="weigths"):
        read_run(tmp_path)
    (tmp_path / "config.json").write_bytes(b'{"method": ')
    with pytest.raises(ConfigError, match=r"config\.json"):
        read_run(tmp_path)
    (tmp_path / "config.json").write_bytes(b"[1, 2]")
    with pytest.raises(ConfigError, match=r"config\.json"):
        read_run(tmp_path)
