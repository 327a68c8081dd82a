"""The loop over a problem of one parameter: the best is kept, stops early, goes on, refreshes, adds gradients up."""

from __future__ import annotations

import csv
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from melink.errors import ConfigError, MelinkError
from melink.train.loop import Interrupted, Trained, interruptible, refuse_leftovers, train
from melink.train.negatives import NONE

UP = {"E1": (1.0, 0.0), "E2": (0.0, 0.5), "E3": (3.0, -3.0), "E4": (0.0, -9.0)}
"""E1 passes E2 at θ = 0.5 and is passed by E3 at θ = 1.5; training, which knows E1 and E2 alone, moves θ up."""
PLAN: dict[str, Any] = {
    "epochs": 10, "batch": 4, "lr": 0.25, "weight_decay": 0, "warmup": 0, "schedule": "constant", "patience": 99,
    "clip": 0, "negatives": {"pool": 1, "hard": 1},
}  # fmt: skip


def trained(anns: Any, method: Any, folder: Path, resume: bool = False, **changes: Any) -> tuple[Trained, Any]:
    course = anns.course(method, ["E1"] * 4, ["E1"] * 3, **{**PLAN, **changes})
    return train(method, course, course.plan, folder, resume, cpu=True), course


def theta(method: Any) -> float:
    return float(method.module.theta.detach())


def losses(folder: Path) -> list[str]:
    with (folder / "steps.csv").open(newline="") as file:
        return [row["loss"] for row in csv.DictReader(file)]


def calls(at: int, act: Callable[[], object]) -> Callable[[], None]:
    """Return what acts when it is called for the ``at``-th time."""
    left = [at]

    def call() -> None:
        left[0] -= 1
        if left[0] == 0:
            act()

    return call


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_best_of_validation_is_kept(anns: Any, toy: Any, tmp_path: Path) -> None:
    method = toy(UP)
    found, _ = trained(anns, method, tmp_path / "a")
    seen = [row["mrr"] for row in found.history]
    assert len(seen) == 10 and seen[:3] == [0.5, 0.5, 1.0] and seen[-1] == 0.5
    assert found.best == found.history[2] and found.steps == 10
    shorter = toy(UP)
    trained(anns, shorter, tmp_path / "b", epochs=3)
    assert theta(method) == theta(shorter) and 0.5 < theta(method) < 1


def test_it_stops_when_validation_gets_no_better(anns: Any, toy: Any, tmp_path: Path) -> None:
    method = toy(UP)
    found, _ = trained(anns, method, tmp_path, patience=2)
    assert [row["mrr"] for row in found.history] == [0.5, 0.5, 1.0, 1.0, 1.0]  # two that are no better than the third
    assert found.best["epoch"] == 2 and len(losses(tmp_path)) == 5


def test_patience_counts_from_the_last_best(anns: Any, toy: Any, tmp_path: Path) -> None:
    found, _ = trained(anns, toy(UP), tmp_path, patience=1)
    assert [row["mrr"] for row in found.history] == [0.5, 0.5]


def test_validation_within_an_epoch(anns: Any, toy: Any, tmp_path: Path) -> None:
    found, _ = trained(anns, toy(UP), tmp_path, batch=1, validations=2, epochs=2)
    assert [(row["epoch"], row["step"]) for row in found.history] == [(0, 2), (0, 4), (1, 6), (1, 8)]


def test_the_loss_of_a_row_is_the_mean_since_the_last(anns: Any, toy: Any, tmp_path: Path) -> None:
    found, _ = trained(anns, toy(UP), tmp_path, batch=1, validations=2, epochs=1)
    each = list(map(float, losses(tmp_path)))
    assert [row["loss"] for row in found.history] == pytest.approx([sum(each[:2]) / 2, sum(each[2:]) / 2])


def test_gradients_are_added_up(anns: Any, toy: Any, tmp_path: Path) -> None:
    method = toy(UP)
    course = anns.course(method, ["E1", "E1", "E1", "E2"], ["E1"], **{**PLAN, "batch": 2, "accumulate": 2, "epochs": 1})
    batches = course.batches(0)
    assert len(batches) == 2 and course.steps(0) == 1
    by_hand, values = 0.0, []
    for batch in batches:
        fresh = toy(UP)
        loss = fresh.module(fresh.collate(course.prepared, batch)).loss
        loss.backward()
        by_hand += float(fresh.module.theta.grad) / 2
        values.append(loss.item())
    train(method, course, course.plan, tmp_path, cpu=True)
    assert float(method.module.theta.grad) == pytest.approx(by_hand) and by_hand != 0
    assert float(losses(tmp_path)[0]) == pytest.approx(sum(values) / 2)


def test_gradients_are_clipped(anns: Any, toy: Any, tmp_path: Path) -> None:
    method = toy(UP)
    trained(anns, method, tmp_path, clip=0.01, epochs=1)
    assert abs(float(method.module.theta.grad)) == pytest.approx(0.01, rel=1e-3)


def test_rates_are_those_of_the_plan(anns: Any, toy: Any, tmp_path: Path) -> None:
    _, course = trained(anns, toy(UP), tmp_path, epochs=5, schedule="linear", warmup=0.4)
    with (tmp_path / "steps.csv").open(newline="") as file:
        rates = [float(row["rate"]) for row in csv.DictReader(file)]
    assert rates == pytest.approx([course.plan.rate(step, 5) for step in range(5)], rel=1e-5)


HILL = {"E1": (1.0, 0.0), "E2": (0.0, 0.5), "E3": (0.0, 2.0), "E4": (0.0, -9.0)}


def names_of(course: Any) -> list[str]:
    return [course.view.ids[place] for place in course.pools.hard[0] if place != NONE]


def test_refreshed_candidates_are_in_the_order_of_the_model(anns: Any, toy: Any, tmp_path: Path) -> None:
    plan = {"negatives": {"pool": 3, "hard": 1, "refresh": True}, "epochs": 3}
    _, course = trained(anns, toy(HILL), tmp_path / "a", **plan)
    assert names_of(course) == ["E3", "E2"]
    _, still = trained(anns, toy(HILL), tmp_path / "b", **{**plan, "negatives": {"pool": 3, "hard": 1}})
    assert names_of(still) == ["E2", "E3"]
    assert losses(tmp_path / "a") != losses(tmp_path / "b")  # other candidates were met


def test_candidates_mined_from_the_whole_knowledge_base(anns: Any, toy: Any, tmp_path: Path) -> None:
    """The pool has room for one, and the generator proposes E2; with θ = 1.25 and more, E3 is the best wrong one."""
    plan = {"negatives": {"pool": 1, "hard": 1, "whole": True}, "lr": 0.25, "batch": 1}
    _, course = trained(anns, toy(UP), tmp_path / "a", epochs=2, **plan)
    assert course.view.ids == ["E1", "E2", "E3", "E4"]  # none is left out: each may be mined
    assert names_of(course) == ["E2"]
    method = toy(UP)
    _, course = trained(anns, method, tmp_path / "b", epochs=3, **plan)
    assert names_of(course) == ["E3"] and (course.pools.hard == course.pools.hard[0]).all()
    assert sorted(path.name for path in (tmp_path / "b" / "checkpoint").iterdir()) == [
        "best.safetensors", "state.safetensors",
    ]  # fmt: skip
    _, once = trained(anns, toy(HILL), tmp_path / "c", epochs=1, **plan)
    assert names_of(once) == ["E2"]  # nothing is mined for an epoch that never comes


@pytest.mark.parametrize(("how", "lines"), [("refresh", HILL), ("whole", UP)])
@pytest.mark.parametrize("at", range(1, 13))
def test_interrupted_and_gone_on_with(
    anns: Any, toy: Any, tmp_path: Path, at: int, how: str, lines: dict[str, tuple[float, float]]
) -> None:
    plan = {
        "negatives": {"pool": 3, "hard": 1, how: True, "sharpness": 1.0},
        "epochs": 3, "batch": 1, "validations": 2, "checkpoint_every": 5,
    }  # fmt: skip
    whole = toy(lines)
    expected, course = trained(anns, whole, tmp_path / "whole", **plan)
    stopped = toy(lines, before=calls(at, interrupt))
    if at < 12:
        with pytest.raises(Interrupted):
            trained(anns, stopped, tmp_path / "cut", **plan)
        assert len(losses(tmp_path / "cut")) == at  # the step was finished
    else:  # there is nothing left to stop
        trained(anns, stopped, tmp_path / "cut", **plan)
    again = toy(lines)
    found, its = trained(anns, again, tmp_path / "cut", resume=True, **plan)
    assert theta(again) == theta(whole) and losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert names_of(its) == names_of(course)
    without = [[{k: v for k, v in row.items() if k != "seconds"} for row in each.history] for each in (found, expected)]
    assert without[0] == without[1]


def test_a_crash_leaves_the_last_checkpoint(anns: Any, toy: Any, tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("what nobody foresaw")

    plan = {"epochs": 8, "checkpoint_every": 3, "batch": 4}
    whole = toy(UP)
    trained(anns, whole, tmp_path / "whole", **plan)
    with pytest.raises(ValueError, match="nobody foresaw"):
        trained(anns, toy(UP, before=calls(6, fail)), tmp_path / "cut", **plan)
    again = toy(UP)
    trained(anns, again, tmp_path / "cut", resume=True, **plan)
    assert theta(again) == theta(whole) and losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_resuming_what_is_finished_changes_nothing(anns: Any, toy: Any, tmp_path: Path) -> None:
    first, second = toy(UP), toy(UP)
    one, _ = trained(anns, first, tmp_path)
    rows = losses(tmp_path)
    other, _ = trained(anns, second, tmp_path, resume=True)
    assert theta(first) == theta(second) and losses(tmp_path) == rows and one.history == other.history


def test_resuming_before_anything_was_begun_begins(anns: Any, toy: Any, tmp_path: Path) -> None:
    first, second = toy(UP), toy(UP)
    trained(anns, first, tmp_path / "a", resume=True)
    trained(anns, second, tmp_path / "b")
    assert theta(first) == theta(second)


def test_another_plan_is_not_gone_on_with(anns: Any, toy: Any, tmp_path: Path) -> None:
    trained(anns, toy(UP), tmp_path, epochs=1)
    with pytest.raises(ConfigError, match="another plan"):
        trained(anns, toy(UP), tmp_path, resume=True, epochs=2)


def test_a_training_is_not_written_over(anns: Any, toy: Any, tmp_path: Path) -> None:
    refuse_leftovers(tmp_path, resume=False)
    trained(anns, toy(UP), tmp_path, epochs=1)
    with pytest.raises(ConfigError, match="holds a training already") as wrong:
        refuse_leftovers(tmp_path, resume=False)
    assert "--resume" in wrong.value.remedy
    refuse_leftovers(tmp_path, resume=True)


@pytest.mark.parametrize("exhaust", [lambda: torch.empty(1 << 60), lambda: bytearray(1 << 62)])
def test_out_of_memory_says_what_to_lower(anns: Any, toy: Any, tmp_path: Path, exhaust: Callable[[], object]) -> None:
    with pytest.raises(MelinkError, match="out of memory at 4 mentions a batch with 1 hard negatives") as wrong:
        trained(anns, toy(UP, before=calls(2, exhaust)), tmp_path)
    for word in ("train.batch", "train.accumulate", "train.negatives.hard", "settings.max_tokens", "settings.tune"):
        assert word in wrong.value.remedy


def test_other_errors_are_not_about_memory(anns: Any, toy: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shape"):
        trained(anns, toy(UP, before=lambda: torch.ones(2).reshape(3)), tmp_path)


def test_a_loss_that_is_no_number_stops_the_training(anns: Any, toy: Any, tmp_path: Path) -> None:
    with pytest.raises(MelinkError, match="loss is nan at step 1") as wrong:
        trained(anns, toy({**UP, "E2": (0.0, float("nan"))}), tmp_path)
    assert "train.lr" in wrong.value.remedy


def test_the_second_signal_is_obeyed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as stopped:
        assert not stopped()
        interrupt()
        interrupt()  # the same one, passed on by a launcher
        assert stopped()
        now = time.monotonic()
        monkeypatch.setattr("melink.train.loop.time.monotonic", lambda: now + 5)
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert signal.getsignal(signal.SIGINT) is before
