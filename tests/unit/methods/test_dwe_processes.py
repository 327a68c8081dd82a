"""Two processes by torchrun train DWE+ as one does: contrasts are over the pairs of both."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from melink.demo.run import Demo


def trained(demo: Demo, lessons: Path, folder: Path, processes: int) -> list[float]:
    """Train in a process of its own, or in several, and return the losses of all steps."""
    files = ["--train", lessons / "train.jsonl", "--valid", lessons / "valid.jsonl", "-o", folder]
    plan = ("train.epochs=2", "train.batch=5", "train.negatives.easy=1", "settings.dropout=0", "settings.width=16")
    words = ["train", "dwe", demo.linker.kb.path, *files, *(word for each in plan for word in ("--set", each))]
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(several if processes > 1 else []), "-m", "melink", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    with (folder / "steps.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_train_as_one(demo: Demo, lessons: Path, tmp_path: Path) -> None:
    alone, together = (trained(demo, lessons, tmp_path / str(count), count) for count in (1, 2))
    assert len(alone) == 14  # six batches of five, and one of one, of which the second process has nothing
    assert together == pytest.approx(alone, rel=1e-5, abs=1e-6)
    first, second = (load_file(tmp_path / each / "model.safetensors") for each in ("1", "2"))
    assert {name for name, value in first.items() if float((second[name] - value).abs().max()) > 2e-3} == set()
