"""Learning rates over a training, and settings that are refused."""

from __future__ import annotations

import math

import pytest

from melink.config import parse
from melink.errors import ConfigError
from melink.runs import Run
from melink.train.plan import Plan


def rates(steps: int, **settings: object) -> list[float]:
    plan = Plan.model_validate(settings)
    return [plan.rate(step, steps) for step in range(steps)]


def test_the_linear_schedule_by_hand() -> None:
    assert rates(10, warmup=0.2) == pytest.approx([1 / 2, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_the_cosine_schedule_by_hand() -> None:
    assert rates(6, warmup=1 / 3, schedule="cosine") == pytest.approx(
        [1 / 2, 1, 1, (1 + math.cos(math.pi / 4)) / 2, 1 / 2, (1 + math.cos(3 * math.pi / 4)) / 2]
    )


def test_the_constant_schedule_rises_too() -> None:
    assert rates(4, warmup=0.5, schedule="constant") == [0.5, 1, 1, 1]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3, 17, 400])
@pytest.mark.parametrize("warmup", [0.0, 0.06, 0.9])
def test_every_step_learns(schedule: str, steps: int, warmup: float) -> None:
    found = rates(steps, schedule=schedule, warmup=warmup)
    assert all(0 < rate <= 1 for rate in found) and max(found) == 1
    top = found.index(1.0)
    assert found[: top + 1] == sorted(found[: top + 1]) and found[top:] == sorted(found[top:], reverse=True)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"lr": 0}, {"warmup": 1.0}, {"schedule": "step"}, {"precision": "fp16"}, {"epoch": 1},
              {"negatives": {"easy": 2}}, {"valid_candidates": 1}, {"patience": 0}],
)  # fmt: skip
def test_what_cannot_be_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        parse(Plan, wrong, "train")


def test_one_key_of_a_nested_table_keeps_the_others() -> None:
    plan = parse(Plan, {"negatives": {"hard": 7}})
    assert plan.negatives.hard == 7 and plan.negatives.pool == Plan().negatives.pool


def test_a_run_says_what_its_method_leaves_open() -> None:
    assert Plan.of(Run(method="biencoder")) == Plan()
    own = Plan.of(Run(method="mimic"))
    assert (own.epochs, own.batch, own.lr, own.head_lr) == (4, 128, 1e-5, 1e-3) and own.clip == Plan().clip
    said = Plan.of(Run(method="melov", train={"batch": 7, "seed": 3}))
    assert said == own.model_copy(update={"batch": 7, "seed": 3})
    with pytest.raises(ConfigError, match="train: epoch"):
        Plan.of(Run(method="mimic", train={"epoch": 3}))


def test_a_plan_is_made_again_from_what_is_written() -> None:
    plan = Plan(epochs=3, schedule="cosine")
    assert parse(Plan, plan.model_dump(mode="json")) == plan
