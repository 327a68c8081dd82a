"""Trainings that are killed and gone on with end bit for bit as undisturbed ones; Ctrl-C saves."""

from __future__ import annotations

import csv
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from warmed import Command, Warmed, warmed

from melink.demo.run import Demo

KILLS = int(os.environ.get("MELINK_KILLS", "10"))
FROZEN = ("settings.tune=0", "train.epochs=6", "train.batch=4", "train.checkpoint_every=3", "train.patience=99",
          "train.negatives.refresh=true", "train.negatives.easy=1")  # fmt: skip
TUNED = ("settings.tune=1", "settings.encoder_dropout=0.1", "settings.max_tokens=24", "train.epochs=2",
         "train.batch=4", "train.checkpoint_every=2", "train.negatives.easy=1", "train.valid_mentions=8",
         "train.negatives.whole=true", "image_encoder=null")  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warmed]:
    with warmed(tmp_path_factory.mktemp("server")) as started:
        yield started


def arguments(demo: Demo, lessons: Path, bert: Path, folder: Path, settings: tuple[str, ...]) -> list[object]:
    files = [
        "--text-encoder",
        bert,
        "--train",
        lessons / "train.jsonl",
        "--valid",
        lessons / "valid.jsonl",
        "-o",
        folder,
    ]
    return ["train", "biencoder", demo.linker.kb.path, *files, *(word for each in settings for word in ("--set", each))]


def rows(folder: Path) -> list[list[str]]:
    """Return step, epoch, loss and rate of every step so far."""
    if not (folder / "steps.csv").is_file():
        return []
    with (folder / "steps.csv").open(newline="") as file:
        return [row[:4] for row in csv.reader(file) if len(row) == 5][1:]


def after(command: Command, folder: Path, step: int, number: int) -> int:
    """Send a signal once a step was made; return the exit status."""
    while not any(int(row[0]) >= step for row in rows(folder)):
        time.sleep(0.002)
        assert Path(f"/proc/{command.pid}").exists() or os.name != "posix", command.err
    os.kill(command.pid, number)
    return command.wait()


def weights(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("model.safetensors"))}


def killed_and_whole(
    server: Warmed, demo: Demo, lessons: Path, small_bert: Path, folder: Path, settings: tuple[str, ...], kills: int
) -> tuple[Path, Path]:
    whole, cut = folder / "whole", folder / "cut"
    server.run(*arguments(demo, lessons, small_bert, whole, settings))
    steps = len(rows(whole))
    for step in sorted(random.SystemRandom().sample(range(1, steps), kills)):
        resume = ["--resume"] if cut.is_dir() else []
        command = server.start(*arguments(demo, lessons, small_bert, cut, settings), *resume)
        assert after(command, cut, step, signal.SIGKILL) == -signal.SIGKILL
        assert not (cut / "config.json").exists()
    server.run(*arguments(demo, lessons, small_bert, cut, settings), "--resume")
    assert rows(cut) == rows(whole)
    return whole, cut


@pytest.mark.slow
def test_killed_at_random_steps(server: Warmed, demo: Demo, lessons: Path, small_bert: Path, tmp_path: Path) -> None:
    whole, cut = killed_and_whole(server, demo, lessons, small_bert, tmp_path, FROZEN, KILLS)
    assert weights(cut) == weights(whole) and list(weights(cut)) == ["model.safetensors"]
    epochs = [
        [line.rsplit(",", 1)[0] for line in (each / "epochs.csv").read_text().splitlines()] for each in (cut, whole)
    ]
    assert epochs[0] == epochs[1] and len(epochs[0]) == 7


@pytest.mark.slow
def test_killed_while_an_encoder_is_tuned(
    server: Warmed, demo: Demo, lessons: Path, small_bert: Path, tmp_path: Path
) -> None:
    whole, cut = killed_and_whole(server, demo, lessons, small_bert, tmp_path, TUNED, 2)
    assert weights(cut) == weights(whole)
    assert list(weights(cut)) == ["encoder/model.safetensors", "model.safetensors"]


@pytest.mark.slow
def test_ctrl_c_saves(server: Warmed, demo: Demo, lessons: Path, small_bert: Path, tmp_path: Path) -> None:
    settings = (*FROZEN[1:], FROZEN[0], "train.checkpoint_every=1000")
    command = server.start(*arguments(demo, lessons, small_bert, tmp_path / "cut", settings))
    assert after(command, tmp_path / "cut", 5, signal.SIGINT) == 130
    assert "the same command with --resume goes on from" in command.err
    assert len(command.err.splitlines()) == 1 and "Traceback" not in command.err
    made = len(rows(tmp_path / "cut"))
    assert made >= 5
    again = server.start(*arguments(demo, lessons, small_bert, tmp_path / "cut", settings))
    assert again.wait() == 2 and "holds a training already" in again.err and len(rows(tmp_path / "cut")) == made
    other = server.start(*arguments(demo, lessons, small_bert, tmp_path / "cut", settings), "--resume", "--seed", 5)
    assert other.wait() == 2 and "another plan, other settings or other data" in other.err
    server.run(*arguments(demo, lessons, small_bert, tmp_path / "cut", settings), "--resume")
    server.run(*arguments(demo, lessons, small_bert, tmp_path / "whole", settings))
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
