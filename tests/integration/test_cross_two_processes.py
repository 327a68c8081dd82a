"""Two processes by torchrun train a cross-encoder as one does: the first retrieves, writes and talks."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from melink.cli.main import app
from melink.demo.run import Demo

SETTINGS = (
    "settings.tune=1", "settings.max_tokens=48", "scope.k=4", "scope.probability=null", "negatives=2", "easy=1",
    "train.epochs=2", "train.batch=29", "train.lr=1e-3",
)  # fmt: skip


def command(demo: Demo, lessons: Path, folder: Path, *more: object) -> list[str]:
    files = ["--run", "names", "--train", lessons / "train.jsonl", "--valid", lessons / "valid.jsonl", "-o", folder]
    settings = [word for each in SETTINGS for word in ("--set", each)]
    return [*map(str, ("train-reranker", demo.linker.kb.path, *files, "--json", *more)), *settings]


def by_two(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    several = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # without the dashes torchrun takes --run for one of its own options
    return subprocess.run(
        [*several, "-m", "--", "melink", *arguments], capture_output=True, text=True, env=environment, check=False
    )


def losses(folder: Path) -> list[float]:
    with (folder / "steps.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_train_a_cross_encoder_as_one(
    demo: Demo, lessons: Path, small_bert: Path, tmp_path: Path
) -> None:
    one = CliRunner().invoke(app, command(demo, lessons, tmp_path / "one", "--encoder", small_bert))
    assert one.exit_code == 0, one.stderr
    two = by_two(command(demo, lessons, tmp_path / "two", "--encoder", small_bert))
    assert two.returncode == 0, two.stderr
    made = [orjson.loads(each.stdout)["metrics"] for each in (one, two)]  # one document: one process talks
    assert made[0]["training mentions"] == 30, "the second process has nothing of the last batch"
    alone, together = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(alone) == made[0]["steps"] == 4
    assert together == pytest.approx(alone, rel=1e-4, abs=1e-5)
    clock = {"seconds in all", "seconds of training", "history"}
    assert {k: v for k, v in made[0].items() if k not in clock} == {k: v for k, v in made[1].items() if k not in clock}
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in tmp_path.iterdir()]
    assert names[0] == names[1] and not any("partial" in name for name in names[0])
    assert "Traceback" not in two.stderr and two.stderr.count("wrote") <= 1


def test_figures_and_a_last_word_are_the_work_of_one(
    demo: Demo, lessons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    figures, again = tmp_path / "figures", tmp_path / "again"
    files = ["--run", "zeroshot", "--valid", lessons / "valid.jsonl", "-o", again, "--network", figures, "--json"]
    commands = {
        figures: command(demo, lessons, figures, "--encoder", "none"),
        again: [*map(str, ("train-reranker", demo.linker.kb.path, *files))],
    }
    for folder, arguments in commands.items():
        for rank in (1, 0):  # neither waits for the other: there is nobody to wait for here
            monkeypatch.setenv("RANK", str(rank))
            done = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert done.exit_code == 0 and bool(done.stdout) == (rank == 0), done.stderr
            assert folder.exists() == (rank == 0)
