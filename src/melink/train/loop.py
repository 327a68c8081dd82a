"""The loop that every method trains with: steps, validation, checkpoints, early stopping.

accelerate places the module (CPU, one accelerator, several by ``torchrun``) and takes care of 16-bit arithmetic; what
is left is here. One *step* is one move of the weights, over ``plan.accumulate`` batches. A checkpoint holds all that
the next step depends on, so a resumed training goes on as if nothing had happened: bit for bit on one CPU thread.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, gather_object
from jaxtyping import Float

from melink import progress
from melink.errors import ConfigError, MelinkError
from melink.methods.gather import share
from melink.methods.trainable import Batch, Trainable
from melink.train.checkpoint import Place, read_best, read_state, write_best, write_state
from melink.train.course import Course
from melink.train.log import StepLog
from melink.train.mining import emptied
from melink.train.negatives import Pools, refilled
from melink.train.plan import Plan

SIGNS_OF_NO_MEMORY = ("out of memory", "can't allocate memory", "DefaultCPUAllocator")


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        history: One row per validation: epoch, step, loss, figures, seconds.
        best: The row that the weights come from.
        steps: Steps made in all.
        seconds: Of this process, validation included.
        main: Whether this process is the one that writes.
    """

    history: list[dict[str, Any]]
    best: dict[str, Any]
    steps: int
    seconds: float
    main: bool = True


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the checkpoint was written."""


def train(
    method: Trainable, course: Course, plan: Plan, folder: Path, resume: bool = False, cpu: bool = False
) -> Trained:
    """Train a method; its module holds the best weights afterwards.

    Args:
        method: What is trained.
        course: On what, and how it is judged.
        plan: How.
        folder: Run directory, for checkpoints and the log of steps.
        resume: Go on from the checkpoint, where there is one.
        cpu: Leave an accelerator alone.

    Raises:
        ConfigError: A checkpoint of another plan, or one that is in the way.
        MelinkError: Out of memory, with what to lower.
        Interrupted: Ctrl-C; a checkpoint was written.
    """
    try:
        with interruptible() as stopped:
            return _Loop(method, course, plan, folder, cpu).run(resume, stopped)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in SIGNS_OF_NO_MEMORY):
            raise MelinkError(
                f"out of memory at {plan.batch} mentions a batch with {plan.negatives.hard} hard negatives each",
                "lower train.batch (and raise train.accumulate as much), train.negatives.hard, settings.max_tokens or "
                "settings.tune, and begin anew with another -o",
            ) from error
        raise


class _Loop:
    """The state of a training while it runs."""

    def __init__(self, method: Trainable, course: Course, plan: Plan, folder: Path, cpu: bool) -> None:
        self.method, self.course, self.plan, self.folder = method, course, plan, folder
        torch.manual_seed(plan.seed)
        handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)]
        cpu = cpu or not torch.accelerator.is_available()  # accelerate takes several processes for one unless told
        self.accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=handlers)
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        groups = method.groups(plan.lr, plan.head_lr)
        self.optimizer = torch.optim.AdamW(groups, weight_decay=plan.weight_decay)
        self.highest = [group["lr"] for group in self.optimizer.param_groups]
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.module: torch.nn.Module = self.accelerator.prepare_model(method.module)
        self.steps = sum(course.steps(epoch) for epoch in range(plan.epochs))
        self.place = Place(course.key)

    @property
    def main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def run(self, resume: bool, stopped: Callable[[], bool]) -> Trained:
        began = time.perf_counter()
        self._start(resume)
        self._refresh()
        opened = contextlib.closing(StepLog(self.folder, self.place.step)) if self.main else contextlib.nullcontext()
        with opened as log, progress.task("training", self.steps, "steps") as advance:
            advance(self.place.step)
            while not self.place.finished:
                self._epoch(log, advance, stopped, began)
        self.accelerator.wait_for_everyone()
        read_best(self.method.module, self.folder)
        best = max(self.place.history, key=lambda row: row["mrr"])
        return Trained(self.place.history, best, self.place.step, time.perf_counter() - began, self.main)

    def _start(self, resume: bool) -> None:
        found = read_state(self.course.key, self.method.module, self.optimizer, self.folder) if resume else None
        self.accelerator.wait_for_everyone()  # nobody writes before all have looked
        if found is None:
            self._save()
            return
        self.place, extra = found
        if "hard" in extra:
            self.course.pools = Pools(**{**vars(self.course.pools), "hard": extra["hard"].numpy()})

    def _epoch(
        self, log: StepLog | None, advance: Callable[[int], None], stopped: Callable[[], bool], began: float
    ) -> None:
        place, plan = self.place, self.plan
        if plan.negatives.whole and place.epoch and not place.done:
            self._mine()
        steps = _steps(self.course.batches(place.epoch), plan.accumulate)
        due = {round(len(steps) * (n + 1) / plan.validations) for n in range(plan.validations)}
        for batches in steps[place.done :]:
            rate = plan.rate(place.step, self.steps)
            loss = self._step(batches, rate)
            place.step, place.done = place.step + 1, place.done + 1
            place.losses = place.losses[0] + loss, place.losses[1] + 1
            if log is not None:
                log.row(place.step, place.epoch, loss, rate, time.perf_counter() - began)
            advance(1)
            last = place.done == len(steps)
            if place.done in due:
                self._validated(last)
            if last:
                place.epoch, place.done = place.epoch + 1, 0
            place.finished = place.worse >= plan.patience or place.epoch == plan.epochs
            stop = self._asked(stopped)
            if stop or last or place.finished or place.step % plan.checkpoint_every == 0:
                self._save(log)
            if stop and not place.finished:
                raise Interrupted
            if place.finished:
                return

    def _step(self, batches: Sequence[Batch], rate: float) -> float:
        self.module.train()
        for group, highest in zip(self.optimizer.param_groups, self.highest, strict=True):
            group["lr"] = highest * rate
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for number, batch in enumerate(batches, start=1):
            inputs = self.method.collate(self.course.prepared, batch, self.rank, self.world)
            waiting = self.accelerator.no_sync(self.module) if number < len(batches) else contextlib.nullcontext()
            with waiting:
                with self._arithmetic():
                    loss = self.module(inputs).loss / len(batches)
                self.accelerator.backward(loss)
            total += float(self.accelerator.reduce(loss.detach(), reduction="mean"))
        if not np.isfinite(total):
            raise MelinkError(f"the loss is {total} at step {self.place.step + 1}", "lower train.lr and train.head_lr")
        if self.plan.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.plan.clip)
        self.optimizer.step()
        return total

    def _validated(self, epoch_ends: bool) -> None:
        """Validate, keep the best; where asked, order the hard candidates anew while validation runs."""
        self._refresh()
        place, plan = self.place, self.plan
        refresh = plan.negatives.refresh and not plan.negatives.whole
        more = epoch_ends and refresh and place.epoch + 1 < plan.epochs
        began = time.perf_counter()
        self.module.eval()
        with ThreadPoolExecutor(1) as background:
            # several processes score together, in one order: there the two can't overlap
            mined = background.submit(self.course.mined, self._score) if more and self.world == 1 else None
            figures = self.course.validate(self._score)
            pools = mined.result() if mined is not None else self.course.mined(self._score) if more else None
        if pools is not None:
            self.course.pools = pools
        loss = place.losses[0] / max(place.losses[1], 1)
        seconds = time.perf_counter() - began
        place.losses = 0.0, 0
        place.history.append({"epoch": place.epoch, "step": place.step, "loss": loss, **figures, "seconds": seconds})
        if place.best is None or figures["mrr"] > place.best:
            place.best, place.worse = figures["mrr"], 0
            if self.main:
                write_best(self.method.module, self.folder)
        else:
            place.worse += 1

    def _mine(self) -> None:
        """Fill the pools from the whole knowledge base: as an epoch begins, so that stopping after one does not wait.

        One process saves the method, for all; each mines for its share of the mentions.
        """
        own, folder = share(len(self.course.pools.gold), self.rank, self.world), self.folder / "checkpoint/mined"
        with emptied(folder) if self.main else contextlib.nullcontext():
            saved = [self.method.save(folder)] if self.main else []
            (changed,) = gather_object(saved) if self.world > 1 else saved  # nobody reads before it is written
            rows = self.course.mined_anew(own, folder, changed, self.rank)
            if self.world > 1:
                rows = np.concatenate(gather_object([rows]))  # nor is it removed before all are done
        self.course.pools = refilled(self.course.pools, rows.tolist())

    def _refresh(self) -> None:
        refresh = getattr(self.method, "refresh", None)
        if refresh is not None:
            refresh(self.course.prepared)

    def _score(self, prepared: Any, batch: Batch) -> Float[np.ndarray, "b c"]:
        with torch.no_grad(), self._arithmetic():
            inputs = self.method.collate(prepared, batch, self.rank, self.world)
            own = self.method.module(inputs).scores.float().cpu().numpy()
        return own if self.world == 1 else np.concatenate(gather_object([own]))

    def _arithmetic(self) -> torch.autocast:
        wanted = self.plan.precision == "bf16"
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=wanted)

    def _asked(self, stopped: Callable[[], bool]) -> bool:
        """Return whether any process was asked to stop: they stop together, or would wait for each other."""
        if self.world == 1:
            return stopped()
        asked = torch.tensor(float(stopped()), device=self.accelerator.device)
        return float(self.accelerator.reduce(asked, reduction="sum")) > 0

    def _save(self, log: StepLog | None = None) -> None:
        if log is not None:
            log.flush()
        if self.main:
            refreshed = self.plan.negatives.refresh or self.plan.negatives.whole
            extra = {"hard": torch.from_numpy(self.course.pools.hard)} if refreshed else {}
            write_state(self.place, self.method.module, self.optimizer, extra, self.folder)
        self.accelerator.wait_for_everyone()


def _steps(batches: Sequence[Batch], accumulate: int) -> list[Sequence[Batch]]:
    return [batches[start : start + accumulate] for start in range(0, len(batches), accumulate)]


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Put the first Ctrl-C (or SIGTERM) off until the step is done; a second one is obeyed at once.

    Within a second they are one: torchrun passes on what the terminal has sent already. Outside the main thread
    signals are left alone.
    """
    asked: list[float] = []
    old: dict[signal.Signals, Any] = {}

    def ask(number: int, frame: Any) -> None:
        if asked and time.monotonic() > asked[0] + 1:
            raise KeyboardInterrupt
        asked.append(time.monotonic())

    with contextlib.suppress(ValueError):  # signals can only be caught in the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            old[number] = signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def refuse_leftovers(folder: Path, resume: bool) -> None:
    """Refuse to write over a training that was not asked to go on.

    Raises:
        ConfigError: There is one.
    """
    if not resume and (folder / "checkpoint").is_dir():
        raise ConfigError(
            f"{folder} holds a training already", "go on with --resume, or choose another -o, or remove the folder"
        )
