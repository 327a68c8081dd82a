"""Two processes by torchrun train as one does with the same batches: each reads its share, all negatives are shared."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from melink.cli.main import app
from melink.demo.run import Demo

SETTINGS = (
    "settings.tune=1", "settings.dropout=0", "settings.hidden=16", "train.epochs=2", "train.batch=5",
    "train.negatives.easy=1", "train.negatives.group=1", "train.validations=2",
)  # fmt: skip


def command(demo: Demo, lessons: Path, small_bert: Path, folder: Path, how: str) -> list[str]:
    files = ["--train", lessons / "train.jsonl", "--valid", lessons / "valid.jsonl", "-o", folder]
    settings = [word for each in (*SETTINGS, how) for word in ("--set", each)]
    common = ["train", "biencoder", demo.linker.kb.path, *files, "--text-encoder", small_bert, "--json"]
    return [*map(str, common), *settings]


def by_two(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    several = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "melink"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*several, *arguments], capture_output=True, text=True, env=environment, check=False)


def losses(folder: Path) -> list[float]:
    with (folder / "steps.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    encoder = load_file(folder / "encoder" / "model.safetensors")
    return load_file(folder / "model.safetensors") | {f"encoder.{name}": value for name, value in encoder.items()}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["train.negatives.refresh=true", "train.negatives.whole=true"])
def test_two_processes_train_as_one(demo: Demo, lessons: Path, small_bert: Path, tmp_path: Path, how: str) -> None:
    one = CliRunner().invoke(app, command(demo, lessons, small_bert, tmp_path / "one", how))
    assert one.exit_code == 0, one.stderr
    two = by_two(command(demo, lessons, small_bert, tmp_path / "two", how))
    assert two.returncode == 0, two.stderr
    made = orjson.loads(two.stdout)  # one document: one process talks
    assert made["metrics"]["training mentions"] == 31
    alone, together = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(alone) == 14  # six batches of five, and one of one, of which the second process has nothing
    assert together == pytest.approx(alone, rel=1e-5, abs=1e-6)
    first, second = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    assert first.keys() == second.keys()
    apart = {name: float((second[name] - value).abs().max()) for name, value in first.items()}
    # Adam divides a slope by its own size, so that rounding moves what has hardly any; the rates go up to 2e-2
    assert {name: by for name, by in apart.items() if by > 2e-3} == {}
    names = [sorted(path.name for path in (tmp_path / each).iterdir()) for each in ("one", "two")]
    assert names[0] == names[1]
    figures = [orjson.loads((tmp_path / each / "config.json").read_bytes())["metrics"] for each in ("one", "two")]
    assert figures[0]["validation MRR among candidates"] == figures[1]["validation MRR among candidates"]
    assert "Traceback" not in two.stderr and "destroy_process_group" not in two.stderr
