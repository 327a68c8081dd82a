"""The state of a training, in one file that is replaced whole: weights, optimiser, random numbers, place, history.

``checkpoint/state.safetensors`` holds tensors, and JSON in its metadata. Only trained parameters are kept: the rest
comes from the encoder. A process that is killed at any moment leaves the last complete checkpoint.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from melink.datasets.files import replacing
from melink.errors import ConfigError, InputError

STATE: Final = "checkpoint/state.safetensors"
BEST: Final = "checkpoint/best.safetensors"


@dataclass
class Place:
    """Where a training is.

    Attributes:
        plan: Hash of everything that must be the same to go on: plan, settings, data.
        epoch: From 0.
        done: Updates made in this epoch.
        step: Updates made in all.
        history: One row per validation.
        best: Highest validation figure so far; None before the first.
        worse: Validations since then.
        losses: Sum of losses since the last validation, and how many.
        finished: Whether there is nothing left to train.
    """

    plan: str
    epoch: int = 0
    done: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    worse: int = 0
    losses: tuple[float, int] = (0.0, 0)
    finished: bool = False


def trained(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that are trained, by name."""
    return {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}


def write_best(module: nn.Module, folder: Path) -> None:
    """Write the trained parameters as the best so far."""
    _write(folder / BEST, trained(module), {})


def read_best(module: nn.Module, folder: Path) -> None:
    """Put the best parameters back."""
    tensors, _ = _read(folder / BEST)
    _fill(module, tensors, folder / BEST)


def write_state(
    place: Place, module: nn.Module, optimizer: torch.optim.Optimizer, extra: dict[str, Tensor], folder: Path
) -> None:
    """Write a checkpoint.

    Args:
        place: Where the training is.
        module: Whose parameters are trained.
        optimizer: Whose state goes with them.
        extra: Other tensors that the training goes on from, such as the order of hard candidates.
        folder: The run directory.
    """
    tensors = {f"model.{name}": value for name, value in trained(module).items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
    tensors |= {f"extra.{name}": value for name, value in extra.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    _write(folder / STATE, tensors, {"place": json.dumps(asdict(place))})


def read_state(
    plan: str, module: nn.Module, optimizer: torch.optim.Optimizer, folder: Path
) -> tuple[Place, dict[str, Tensor]] | None:
    """Put a checkpoint back; None when there is none.

    Raises:
        ConfigError: It belongs to another plan, other settings or other data.
        InputError: It is damaged.
    """
    file = folder / STATE
    if not file.is_file():
        return None
    tensors, metadata = _read(file)
    place = _place(metadata, file)
    if place.plan != plan:
        raise ConfigError(
            f"{folder} was begun with another plan, other settings or other data",
            "go on with the command it was begun with, or choose another -o",
        )
    _fill(module, _under(tensors, "model."), file)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _under(tensors, "optimizer.").items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return place, _under(tensors, "extra.")


def _place(metadata: dict[str, str], file: Path) -> Place:
    try:
        place = Place(**json.loads(metadata["place"]))
        place.losses = (place.losses[0], place.losses[1])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{file}: no checkpoint of this version", "remove it to train from the start") from error
    return place


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _fill(module: nn.Module, tensors: dict[str, Tensor], file: Path) -> None:
    own = trained(module)
    if own.keys() != tensors.keys():
        raise InputError(f"{file}: other parameters than this method trains", "train again, with another -o")
    for name, value in own.items():
        value.copy_(tensors[name])


def _write(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(file) as out:
        out.write(save(plain, metadata))


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(file, framework="pt") as inside:
            return {name: inside.get_tensor(name) for name in inside.keys()}, inside.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: {error}", "remove it to train from the start") from error
