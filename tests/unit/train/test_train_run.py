"""A run directory from a small training of the real method: what is in it, what decides it, what it can start from."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from safetensors.torch import load_file

from melink.errors import ConfigError
from melink.kb.store import KnowledgeBase
from melink.linker import Linker, context_of
from melink.methods.biencoder import BiEncoder
from melink.records import NIL, Entity, Labelled, Mention
from melink.runs import Run, read_run
from melink.train.course import Course
from melink.train.loop import train
from melink.train.plan import Plan
from melink.train.run import train_run

TRADES = ("singer", "river", "ship")
PLAN: dict[str, Any] = {"epochs": 2, "batch": 4, "negatives": {"generators": ["names"], "easy": 1.0}}


@pytest.fixture
def people(make_kb: Callable[..., KnowledgeBase]) -> KnowledgeBase:
    return make_kb(
        *(
            Entity(f"{name[0]}{n}", name, description=f"A {trade}.")
            for name in ("Ann", "Bob", "Cid")
            for n, trade in enumerate(TRADES)
        )
    )


def samples(*turns: int) -> list[Labelled]:
    """Return nine mentions for each turn, the last of them NIL."""
    rows = [
        (name, n, trade, turn) for turn in turns for name in ("Ann", "Bob", "Cid") for n, trade in enumerate(TRADES)
    ]
    found = [
        Labelled(Mention(f"{name}{n}{turn}", f"{name} the {trade} {turn}", name, 0, 3), f"{name[0]}{n}")
        for name, n, trade, turn in rows
    ]
    return [replace(each, gold=NIL) if place % 9 == 8 else each for place, each in enumerate(found)]


def run_of(small_bert: Path, tune: int | str = 1, **changes: Any) -> Run:
    settings = {"tune": tune, "hidden": 8, "max_tokens": 32}
    fields = {"text_encoder": str(small_bert), "image_encoder": None, "generators": ("names",), "train": PLAN}
    return Run(method="biencoder", settings=settings, **{**fields, **changes})


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    found = load_file(folder / "model.safetensors")
    if (folder / "encoder").is_dir():
        found |= {f"encoder.{k}": v for k, v in load_file(folder / "encoder" / "model.safetensors").items()}
    return found


def same(one: Path, other: Path) -> bool:
    first, second = tensors(one), tensors(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_directory(people: KnowledgeBase, small_bert: Path, tmp_path: Path) -> None:
    made = train_run(run_of(small_bert), people, samples(0, 1), samples(2), tmp_path / "run", cpu=True)
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "README.md", "model.safetensors", "encoder", "epochs.csv", "steps.csv", "leaks.json",
        "reliability.svg", "checkpoint",
    }  # fmt: skip
    assert read_run(folder) == made.model_copy(update={"folder": folder})
    assert made.train == Plan.model_validate(PLAN).model_dump(mode="json")  # with everything that was not said
    assert made.settings["tune"] == 1 and made.settings["confidence"]["fitted"]
    assert made.text_encoder == "run:encoder?pooling=mean&max_tokens=32" and made.kb_hash == people.content_hash()
    metrics = made.metrics or {}
    assert metrics["training mentions"] == 16 and metrics["left out of training, gold is NIL"] == 2
    assert metrics["steps"] == 8 and metrics["validation mentions used"] == 9
    with (folder / "epochs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"] and float(rows[0]["loss"]) > 0
    assert (folder / "steps.csv").read_text().count("\n") == 9
    assert orjson.loads((folder / "leaks.json").read_bytes())["mentions"] == 9
    card = (folder / "README.md").read_text()
    assert "| training mentions | 16 |" in card and "BLINK" in card and "validation MRR" in card
    assert (folder / "reliability.svg").read_text().startswith("<svg")
    answers = Linker.from_pretrained(folder, people).link([each.mention for each in samples(2)])
    assert all(link.candidates and link.evidence["calibrated"] for link in answers)


def test_the_seed_decides(people: KnowledgeBase, small_bert: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run = run_of(small_bert, train={**PLAN, "seed": seed})
        torch.rand(seed + len(name))
        train_run(run, people, samples(0), samples(1), tmp_path / name, cpu=True)
        torch.rand(17)  # what happened before changes nothing
    assert same(tmp_path / "a", tmp_path / "b") and not same(tmp_path / "a", tmp_path / "c")
    start = [load_file(tmp_path / name / "model.safetensors")["mention.body.0.weight"] for name in "ac"]
    assert (start[0] - start[1]).abs().max() > 0.05  # first weights are drawn by it too


@pytest.mark.parametrize("tune", [0, 1, "all"])
def test_a_training_from_an_earlier_run(
    people: KnowledgeBase, small_bert: Path, tmp_path: Path, tune: int | str
) -> None:
    train_run(run_of(small_bert), people, samples(0), samples(1), tmp_path / "first", cpu=True)
    earlier = read_run(tmp_path / "first")
    again = earlier.model_copy(update={"settings": {**earlier.settings, "tune": tune}, "train": PLAN})
    train_run(again, people, samples(1), samples(0), tmp_path / "second", cpu=True)
    links = Linker.from_pretrained(tmp_path / "second", people).link([samples(2)[0].mention])
    assert links[0].candidates
    assert not same(tmp_path / "first", tmp_path / "second")


def test_only_in_batch_negatives(people: KnowledgeBase, small_bert: Path, tmp_path: Path) -> None:
    plan = {"epochs": 1, "batch": 8, "negatives": {"generators": []}}
    made = train_run(run_of(small_bert, 0, train=plan), people, samples(0), samples(1), tmp_path / "run", cpu=True)
    assert (made.metrics or {})["steps"] == 1


def test_refreshed_in_the_background_it_repeats(people: KnowledgeBase, small_bert: Path, tmp_path: Path) -> None:
    plan = {**PLAN, "epochs": 3, "negatives": {"generators": ["names"], "easy": 1.0, "refresh": True, "hard": 1}}
    for name in "ab":
        train_run(run_of(small_bert, train=plan), people, samples(0), samples(1), tmp_path / name, cpu=True)
    assert same(tmp_path / "a", tmp_path / "b")


def test_bf16(people: KnowledgeBase, small_bert: Path, tmp_path: Path) -> None:
    run = run_of(small_bert)
    losses: dict[str, list[float]] = {}
    for precision in ("fp32", "bf16"):
        context = context_of(run, people)
        torch.manual_seed(0)
        method = BiEncoder.build(context, {**run.settings, "dropout": 0.0})
        method.start_training()
        plan = Plan.model_validate({**PLAN, "precision": precision})
        course = Course(method, people, [], [], samples(0), samples(1), plan)
        train(method, course, plan, tmp_path / precision, cpu=True)
        with (tmp_path / precision / "steps.csv").open(newline="") as file:
            losses[precision] = [float(row["loss"]) for row in csv.DictReader(file)]
        assert all(parameter.dtype == torch.float32 for parameter in method.module.parameters())
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05) and losses["bf16"] != losses["fp32"]


def test_what_cannot_be_trained(people: KnowledgeBase, small_bert: Path, tmp_path: Path, small_clip: Path) -> None:
    def attempt(run: Run) -> None:
        train_run(run, people, samples(0), samples(1), tmp_path / "run", cpu=True)

    with pytest.raises(ConfigError, match="has 2 blocks, not 5") as blocks:
        attempt(run_of(small_bert, 5))
    assert "settings.tune" in blocks.value.remedy
    with pytest.raises(ConfigError, match="cannot be tuned") as tuned:
        attempt(run_of(small_bert, 1, encoder=str(small_clip)))
    assert "settings.tune=0" in tuned.value.remedy
    with pytest.raises(ConfigError, match="epoch"):
        attempt(run_of(small_bert, train={"epoch": 3}))
    with pytest.raises(ConfigError, match="tune"):
        attempt(run_of(small_bert, -1))
    with pytest.raises(ConfigError, match="needs a text encoder"):
        attempt(run_of(small_bert, text_encoder=None))
    assert not (tmp_path / "run").exists()
