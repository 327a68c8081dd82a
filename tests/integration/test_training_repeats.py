"""Three trainings in processes of their own with one seed: the same weights, the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from warmed import warmed

from melink.demo.run import Demo

SETTINGS = ("train.epochs=2", "train.batch=4", "train.seed=7", "settings.tune=1", "settings.max_tokens=48",
            "settings.encoder_dropout=0.1")  # fmt: skip


@pytest.mark.slow
def test_one_seed_three_runs(demo: Demo, demo_mentions: Path, lessons: Path, small_bert: Path, tmp_path: Path) -> None:
    kb = demo.linker.kb.path
    files = ["--train", lessons / "train.jsonl", "--valid", lessons / "valid.jsonl", "--text-encoder", small_bert]
    settings = [word for each in SETTINGS for word in ("--set", each)]
    made = set()
    with warmed(tmp_path) as server:
        for name in "abc":
            run = tmp_path / name
            server.run("train", "biencoder", kb, *files, *settings, "-o", run)
            server.run("link", kb, demo_mentions, "--model", run, "-o", run / "links.jsonl")
            kept = ("links.jsonl", "model.safetensors", "encoder/model.safetensors", "reliability.svg")
            made.add(tuple((run / file).read_bytes() for file in kept))
    assert len(made) == 1
    assert all(next(iter(made)))
