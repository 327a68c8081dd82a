"""Running the commands of a recorded evaluation, one after another, without doing anything twice.

A finished step leaves a stamp: its command line, a hash over that line, over the files of data that it reads and over
the steps before it, and what it wrote. It is not run again while the hash is the same and the output is still there.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from melink import __version__
from melink.errors import InputError, NotFound
from melink.evaluate.protocol import file_hash
from melink.evaluate.reproduction import Reproduction, output_of
from melink.kb.disk import read_json, write_json
from melink.kb.lines import fingerprint

STAMPS: Final = ".steps"
_STOPPING: Final = 120.0
"""Seconds that a stopped step has for saving what it has."""
_INTERRUPTED: Final = 130
_STDERR: Final = 2
"""Descriptor: what a step prints as data is talk here."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command line, ready to run.

    Attributes:
        words: Its words, with placeholders replaced.
        reads: Files of the benchmark data that it names.
        output: What it writes, relative to the folder of the run; None when that cannot be told.
        told: The command line with ``{data}`` left in: the same wherever the data lie.
        after: The step before it.
    """

    words: tuple[str, ...]
    reads: tuple[Path, ...]
    output: str | None
    told: str
    after: Step | None

    def line(self) -> str:
        """Return the command line as one would type it."""
        return shlex.join(self.words)

    def key(self) -> str:
        """Return the hash that tells this step, on these data, from another.

        Raises:
            InputError: A file that it reads cannot be read.
        """
        inputs = [{**fingerprint(path), "path": ""} for path in self.reads]
        before = self.after.key() if self.after else ""
        return hashlib.sha256(orjson.dumps([__version__, self.told, inputs, before])).hexdigest()

    def stamp(self, work: Path) -> Path:
        """Return its stamp: one for each output, so that another step with the same output takes it over."""
        name = hashlib.sha256((self.output or self.told).encode()).hexdigest()[:16]
        return work / STAMPS / f"{name}.json"


def plan(recorded: Reproduction, data: Path, seeds: Sequence[int] = ()) -> list[Step]:
    """Return the steps in order: each command for each seed, those without ``{seed}`` once.

    Args:
        recorded: What to run.
        data: Folder of the benchmark data.
        seeds: Seeds that ``{seed}`` stands for.
    """
    steps: dict[str, Step] = {}
    for seed in seeds or (None,):
        before: Step | None = None
        for command in recorded.commands:
            told = command if seed is None else command.replace("{seed}", str(seed))
            if told not in steps:
                steps[told] = _step(told, data.resolve(), before)
            before = steps[told]
    return list(steps.values())


def _step(told: str, data: Path, before: Step | None) -> Step:
    words = shlex.split(told)
    reads = [Path(str(data) + found[1]) for word in words if (found := re.search(r"\{data\}(.*)", word))]
    filled = tuple(word.replace("{data}", str(data)) for word in words)
    return Step(filled, tuple(reads), output_of(words), told, before)


def check_data(steps: Sequence[Step], data: Path) -> None:
    """Return when every file that the steps read is there.

    Raises:
        NotFound: Names those that are not.
    """
    absent = list(dict.fromkeys(str(path) for step in steps for path in step.reads if not path.exists()))
    if absent:
        raise NotFound(
            f"{data} lacks: {', '.join(absent)}",
            "docs/reproductions.md says where these files come from; name the folder that holds them with --data",
        )


def finished(step: Step, work: Path) -> dict[str, Any] | None:
    """Return the stamp of a step that need not be run again, None when it must."""
    stamp = read_json(step.stamp(work))
    if not isinstance(stamp, dict) or stamp.get("key") != step.key():
        return None
    output = work / (step.output or "")
    unchanged = output.exists() and stamp.get("sha256") == _content(output)
    return stamp if unchanged else None


def run(step: Step, work: Path) -> dict[str, Any]:
    """Run a step, its talk on standard error, and return the stamp that it left.

    Raises:
        InputError: It failed.
        KeyboardInterrupt: It was stopped.
    """
    key, began = step.key(), time.perf_counter()
    step.stamp(work).unlink(missing_ok=True)
    status = _call([sys.executable, "-P", "-m", *step.words], work)
    if status == _INTERRUPTED:
        raise KeyboardInterrupt
    if status:
        raise InputError(
            f"this step failed with exit status {status}: {step.line()}",
            "see what it said above; the same command goes on from this step",
        )
    output = work / (step.output or "")
    if not output.exists():
        raise InputError(f"{output} is not there after: {step.line()}", "correct the commands of the reproduction")
    stamp = {
        "command": step.told,
        "key": key,
        "output": step.output,
        "sha256": _content(output),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
        "seconds": round(time.perf_counter() - began, 3),
    }
    step.stamp(work).parent.mkdir(parents=True, exist_ok=True)
    write_json(step.stamp(work), stamp)
    return stamp


def _content(output: Path) -> str | None:
    """Return the hash of an output that is a file; folders change when they are used."""
    return file_hash(output) if output.is_file() else None


def _call(command: Sequence[str], work: Path) -> int:
    """Run a command in a folder; Ctrl-C reaches it as well, and it is given time to save."""
    with subprocess.Popen(command, cwd=work, stdout=_STDERR) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            try:
                child.wait(_STOPPING)
            except subprocess.TimeoutExpired:
                child.terminate()
            raise
