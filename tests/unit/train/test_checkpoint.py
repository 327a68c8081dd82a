"""Checkpoints: all that the next step depends on, nothing that is damaged or belongs to another training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from melink.errors import ConfigError, InputError
from melink.train.checkpoint import BEST, STATE, Place, read_best, read_state, write_best, write_state


def model(seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    module[0].requires_grad_(False)
    groups = [{"params": [module[2].weight], "lr": 0.1}, {"params": [module[2].bias], "lr": 0.2}]
    return module, torch.optim.AdamW(groups)


def step(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    module(torch.ones(5, 3)).square().sum().backward()
    optimizer.step()


def write(folder: Path, steps: int = 3, plan: str = "p") -> tuple[nn.Module, torch.optim.Optimizer]:
    module, optimizer = model()
    for _ in range(steps):
        step(module, optimizer)
    place = Place(plan, 1, 2, steps, [{"epoch": 0, "mrr": 1 / 3}], 1 / 3, 1, (0.1 + 0.2, 2))
    write_state(place, module, optimizer, {"hard": torch.tensor([[3, -1]])}, folder)
    return module, optimizer


@pytest.mark.parametrize("steps", [0, 3])
def test_the_next_steps_are_those_of_an_undisturbed_training(tmp_path: Path, steps: int) -> None:
    module, optimizer = write(tmp_path, steps)
    for _ in range(4):
        step(module, optimizer)
    other, its = model()  # the same frozen part; everything else comes from the file
    with torch.no_grad():
        for parameter in other[2].parameters():
            parameter.fill_(9.0)
    found = read_state("p", other, its, tmp_path)
    assert found is not None
    place, extra = found
    assert place == Place("p", 1, 2, steps, [{"epoch": 0, "mrr": 1 / 3}], 1 / 3, 1, (0.1 + 0.2, 2))
    assert extra["hard"].tolist() == [[3, -1]]
    torch.rand(0)
    for _ in range(4):
        step(other, its)
    for one, two in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_only_what_is_trained_is_kept(tmp_path: Path) -> None:
    write(tmp_path)
    kept = {name for name in load_file(tmp_path / STATE) if name.startswith("model.")}
    assert kept == {"model.2.weight", "model.2.bias"}


def test_there_may_be_none(tmp_path: Path) -> None:
    assert read_state("p", *model(), tmp_path) is None


def test_of_another_plan(tmp_path: Path) -> None:
    write(tmp_path)
    module, optimizer = model(1)
    before = [p.clone() for p in module.parameters()]
    with pytest.raises(ConfigError, match="another plan, other settings or other data"):
        read_state("q", module, optimizer, tmp_path)
    assert all(torch.equal(one, two) for one, two in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize("kept", [0, 5, 100, -10])
def test_cut_short(tmp_path: Path, kept: int) -> None:
    write(tmp_path)
    file = tmp_path / STATE
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"state\.safetensors") as wrong:
        read_state("p", *model(), tmp_path)
    assert "remove it" in wrong.value.remedy


@pytest.mark.parametrize("place", [None, "[]", "{}", '{"plan": "p", "what": 1}', "not JSON"])
def test_without_a_place(tmp_path: Path, place: str | None) -> None:
    write(tmp_path)
    tensors = load_file(tmp_path / STATE)
    save_file(tensors, tmp_path / STATE, None if place is None else {"place": place})
    with pytest.raises(InputError, match="no checkpoint of this version"):
        read_state("p", *model(), tmp_path)


def test_of_another_method(tmp_path: Path) -> None:
    write(tmp_path)
    other = nn.Linear(2, 2)
    with pytest.raises(InputError, match="other parameters"):
        read_state("p", other, torch.optim.AdamW(other.parameters()), tmp_path)


def test_the_best_so_far(tmp_path: Path) -> None:
    module, optimizer = write(tmp_path)
    write_best(module, tmp_path)
    best = [p.clone() for p in module.parameters()]
    step(module, optimizer)
    assert not torch.equal(best[2], module[2].weight)  # type: ignore[index]
    read_best(module, tmp_path)
    assert all(torch.equal(one, two) for one, two in zip(best, module.parameters(), strict=True))
    (tmp_path / BEST).unlink()
    with pytest.raises(InputError, match=r"best\.safetensors"):
        read_best(module, tmp_path)


def test_nothing_but_the_two_files_is_left(tmp_path: Path) -> None:
    module, _ = write(tmp_path)
    write_best(module, tmp_path)
    write_best(module, tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoint").iterdir()) == [
        "best.safetensors",
        "state.safetensors",
    ]
    with (tmp_path / STATE).open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    assert json.loads(header["__metadata__"]["place"])["step"] == 3
