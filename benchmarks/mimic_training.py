"""MIMIC's training step from cached features, all pairs of a batch of 128, against the straightforward form.

The same batch, weights and loss in one process: seconds of a step (read, score, differentiate, update), the loss and
every gradient. Memory is measured in a process of its own for each form: what one step takes beyond what was resident.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from common import machine
from melink.methods.matcher import Matcher, Read, Scores
from melink.methods.mimic import losses
from straightforward_mimic import StraightforwardMimic
from synthetic import CHUNK, IMAGE, PATCH, TEXT, TOKEN, D, Sides, World

BATCH, STEPS = 128, 5
TRAINING_CHUNKS = 1_000_000
"""Chunks from here on are only trained on."""


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scratch", nargs="?", help="not used; every benchmark may be given a folder")
    parser.add_argument("--json", type=Path, help="also write the result here")
    parser.add_argument("--device", default="cpu", help="cpu, the default, or cuda")
    parser.add_argument("--quick", action="store_true", help="a smoke run: batch of 16")
    arguments = parser.parse_args()
    result = {"machine": machine(), **measure(arguments.device, 16 if arguments.quick else BATCH)}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def measure(device: str, batch: int) -> dict[str, Any]:
    """Return times, memory and agreement of both forms."""
    ours, plain = forms(device)
    sides = lesson(World(device=device), 0, batch)
    found = {name: one_step(model, *sides) for name, model in (("melink", ours), ("straightforward", plain))}
    result: dict[str, Any] = {"batch": batch, "device": device, "threads": torch.get_num_threads()}
    for name, model in (("melink", ours), ("straightforward", plain)):
        result[name] = timed_steps(model, sides, device) | extra_memory(name, device, batch)
    mine, theirs = result["melink"], result["straightforward"]
    result["time_ratio_cpu"] = round(theirs["cpu_seconds"] / mine["cpu_seconds"], 2)
    result["time_ratio_wall"] = round(theirs["wall_seconds"] / mine["wall_seconds"], 2)
    result["memory_ratio"] = round(mine["extra_mb"] / theirs["extra_mb"], 3)
    return result | agreement(*found["melink"], *found["straightforward"])


def forms(device: str) -> tuple[Matcher, StraightforwardMimic]:
    """Return both forms with the same weights."""
    torch.manual_seed(0)
    ours = Matcher(TEXT, TOKEN, IMAGE, PATCH, D).to(device)
    return ours, straightforward(ours)


def straightforward(matcher: Matcher) -> StraightforwardMimic:
    """Return the straightforward form with a matcher's weights."""
    plain = StraightforwardMimic(TEXT, TOKEN, IMAGE, PATCH, D).to(next(matcher.parameters()).device)
    plain.load_state_dict({name: value for name, value in matcher.state_dict().items() if name != "neutral"})
    return plain


def lesson(world: World, step: int, batch: int) -> tuple[Sides, Sides]:
    """Return mentions of a step and their entities, row for row, none of which is ranked later."""
    rows = torch.arange(batch) * (CHUNK // batch)
    chunk = TRAINING_CHUNKS + step
    return world.mentions(chunk, rows), world.entities(chunk).part(rows.to(world.device))


def scored(model: nn.Module, mentions: Sides, entities: Sides) -> tuple[Tensor, Scores]:
    """Return S, and S_T, S_V and S_C, of all pairs by either form."""
    if isinstance(model, Matcher):
        parts = model(model.mention(Read(*mentions)), model.entity(Read(*entities)))
        return model.combine(parts), parts
    total, text, image, cross = model(model.features(*mentions), model.features(*entities))
    return total, Scores(text, image, cross, mentions.seen[:, None] & entities.seen[None])


def loss(model: nn.Module, mentions: Sides, entities: Sides) -> Tensor:
    """Return the four cross-entropies, averaged over mentions; the right entity of row m is row m."""
    total, parts = scored(model, mentions, entities)
    gold = torch.arange(len(total), device=total.device)
    return losses(total, parts, gold, torch.ones_like(parts.both)) / len(total)


def briefly_trained(world: World, steps: int, rate: float = 3e-4, batch: int = 64) -> Matcher:
    """Return a matcher after a few steps of AdamW, from a fixed seed."""
    torch.manual_seed(world.seed)
    matcher = Matcher(TEXT, TOKEN, IMAGE, PATCH, D).to(world.device)
    optimizer = torch.optim.AdamW(matcher.parameters(), lr=rate, weight_decay=1e-4)
    for step in range(steps):
        optimizer.zero_grad()
        loss(matcher, *lesson(world, step, batch)).backward()
        optimizer.step()
    return matcher.eval().requires_grad_(False)


def one_step(model: nn.Module, mentions: Sides, entities: Sides) -> tuple[float, dict[str, Tensor]]:
    """Return the loss and the gradients."""
    model.zero_grad()
    found = loss(model, mentions, entities)
    found.backward()
    return float(found.detach()), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def agreement(mine: float, ours: Mapping[str, Tensor], theirs: float, plain: Mapping[str, Tensor]) -> dict[str, Any]:
    """Compare losses and gradients."""
    apart = {name: float((ours[name] - grad).abs().max()) for name, grad in plain.items()}
    largest = max(float(grad.abs().max()) for grad in plain.values())
    return {
        "loss": mine,
        "loss_difference": abs(mine - theirs),
        "gradient_difference": max(apart.values()),
        "gradient_largest": largest,
        "gradient_difference_of_largest": max(apart.values()) / largest,
    }


def timed_steps(model: nn.Module, sides: tuple[Sides, Sides], device: str) -> dict[str, float]:
    """Return the shortest step; weights are put back afterwards."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss(model, *sides).backward()
        optimizer.step()

    step()
    taken = [clocked(step, device)[1] for _ in range(STEPS)]
    model.load_state_dict(before)
    return {"wall_seconds": min(each.wall for each in taken), "cpu_seconds": min(each.cpu for each in taken)}


class Seconds(NamedTuple):
    """What some work takes; CPU seconds are those of all threads."""

    wall: float
    cpu: float


def clocked(work: Callable[[], Any], device: str) -> tuple[Any, Seconds]:
    """Return what some work gives and takes, to the end of what it started on the device."""
    settle(device)
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    settle(device)
    return found, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def settle(device: str) -> None:
    """Wait for an accelerator."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def extra_memory(form: str, device: str, batch: int) -> dict[str, float]:
    """Measure one step in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return {"extra_mb": pool.submit(step_memory, form, device, batch, torch.get_num_threads()).result()}


def step_memory(form: str, device: str, batch: int, threads: int) -> float:
    """Return MB that the second step takes at its peak beyond what was in use before it.

    On a CPU: the kernel's peak of resident memory, reset before the step, less what was resident then. On CUDA: torch's
    peak of allocated memory less what was allocated.
    """
    torch.set_num_threads(threads)
    model = dict(zip(("melink", "straightforward"), forms(device), strict=True))[form]
    sides = lesson(World(device=device), 0, batch)
    if device.startswith("cuda"):
        one_step(model, *sides)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        one_step(model, *sides)
        return round((torch.cuda.max_memory_allocated() - before) / 1e6, 1)
    one_step(model, *(side.part(slice(4)) for side in sides))  # loads libraries, makes gradients
    if not sys.platform.startswith("linux"):
        raise SystemExit("memory is measured on Linux only")
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is resident now
    before = resident("VmRSS")
    one_step(model, *sides)
    return round(resident("VmHWM") - before, 1)


def resident(field: str) -> float:
    """Return MB that the kernel states for this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


if __name__ == "__main__":
    main()
