"""A recorded evaluation, ``reproductions/<name>.yaml``: its commands, its terms, the figures published and measured."""

from __future__ import annotations

import datetime
import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Final, Literal, Self

import yaml
from pydantic import Field, model_validator

import melink
from melink.config import Config, parse
from melink.errors import ConfigError, NotFound
from melink.evaluate.measured import Measured

PLACEHOLDERS: Final = frozenset({"data", "seed"})


class Published(Config):
    """Figures that a paper gives.

    Attributes:
        figures: Figure → value in 0–1, named as in :meth:`Measured.get`.
        source: Paper and table.
        differs: What its protocol has different from ours, in words; None when nothing does.
    """

    figures: dict[str, float] = Field(min_length=1)
    source: str
    differs: str | None = None


class Terms(Config):
    """What two figures must share to be compared; named as in :class:`melink.evaluate.protocol.Protocol`.

    Attributes:
        split: The mentions, in words.
        split_hash: First 16 digits of the sha256 of their file.
        kb: The knowledge base, in words.
        kb_size: Its entities.
        kb_hash: First 16 digits of its content hash.
        candidates: ``full``, or how many each mention had.
        ties: Tie rule.
        miss_policy: What gold that is not a candidate counts as.
        generators: Where candidates came from; empty when the whole knowledge base was ranked.
        shortlist: How many entities of each mention an approximate ranking looked at.
        approximate: Its recall; None for an exact ranking. Where there is a shortlist, another run's may differ.
    """

    split: str
    split_hash: str
    kb: str
    kb_size: int
    kb_hash: str
    candidates: str | int
    ties: str
    miss_policy: Literal["miss", "inject_gold", "drop"]
    generators: tuple[str, ...] = ()
    shortlist: int | None = None
    approximate: float | None = None


class Reproduction(Config):
    """One file of ``reproductions/``.

    Attributes:
        name: What ``melink reproduce`` takes; the name of the file.
        method: What a table calls the row.
        benchmark: What was evaluated on, such as ``WikiMEL valid``.
        commands: Command lines of melink, run in one folder, the last one ``melink evaluate … --json FILE``.
            ``{data}`` stands for the folder of the benchmark data, ``{seed}`` for each seed in turn.
        protocol: Terms of the figures.
        published: Published figures, none when nobody published one.
        unpublished: Why there is none.
        ours: What was measured.
        tolerance: Figure → how far another run may be from ours; only these are judged.
        deviations: What differs from the paper or from the default settings.
        date: Day of the run.
        machine: Processor, memory, versions that matter.
        minutes: How long the commands took there, one seed; None when nobody measured it.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._+-]*$")
    method: str
    benchmark: str
    commands: tuple[str, ...] = Field(min_length=1)
    protocol: Terms
    published: tuple[Published, ...] = ()
    unpublished: str | None = None
    ours: Measured
    tolerance: dict[str, float] = Field(min_length=1)
    deviations: tuple[str, ...] = ()
    date: datetime.date
    machine: str
    minutes: float | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for command in self.commands:
            _check_command(command)
        self.result()
        if bool(self.ours.seeds) != any("{seed}" in command for command in self.commands):
            raise ValueError("ours.seeds and {seed} in the commands belong together")
        if len(self.ours.seeds) > 1 and "{seed}" not in self.result():
            raise ValueError("several seeds would write one result; put {seed} into the file name after --json")
        if bool(self.published) == bool(self.unpublished):
            raise ValueError("give published figures, or say in 'unpublished' why there are none")
        if absent := [name for name in self.tolerance if self.ours.get(name) is None]:
            raise ValueError(f"tolerance for what was not measured: {', '.join(absent)}")
        return self

    def result(self) -> str:
        """Return the file that the last command writes its figures to, relative to the folder of the run.

        Raises:
            ValueError: The last command is no evaluation, or writes no file.
        """
        words = shlex.split(self.commands[-1])
        found = output_of(words)
        if words[1:2] != ["evaluate"] or "--json" not in words or found is None:
            raise ValueError("the last command must be 'melink evaluate … --json FILE'")
        return found


def output_of(words: Sequence[str]) -> str | None:
    """Return what a command line writes: what stands after ``--json``, ``-o`` or ``kb build``; None if nothing does."""
    for option in ("--json", "-o", "--output"):
        if option in words[:-1]:
            return words[words.index(option) + 1]
    return words[3] if tuple(words[1:3]) == ("kb", "build") and len(words) > 3 else None


def _check_command(command: str) -> None:
    words = shlex.split(command)
    if words[:1] != ["melink"]:
        raise ValueError(f"not a melink command: {command}")
    # what is set may hold braces of its own, such as a template
    plain = " ".join(word for before, word in pairwise(["", *words]) if before != "--set")
    if unknown := set(re.findall(r"\{(\w*)\}", plain)) - PLACEHOLDERS:
        raise ValueError(f"unknown placeholder {{{min(unknown)}}}; known are {{data}} and {{seed}}")
    output = PurePosixPath(output_of(words) or ".")
    if output.is_absolute() or ".." in output.parts or "{data}" in str(output):
        raise ValueError(f"{output} must lie in the folder of the run")


def folder() -> Path:
    """Return where the recorded evaluations are: inside an installed package, else in the checkout around it."""
    package = Path(melink.__file__).resolve().parent
    inside = package / "reproductions"
    return inside if inside.is_dir() else package.parents[1] / "reproductions"


def read(path: Path) -> Reproduction:
    """Read one file.

    Raises:
        ConfigError: Not YAML, a key that is missing, unknown or wrong; names the file.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}", "see reproductions/README.md") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected keys and values", "see reproductions/README.md")
    found = parse(Reproduction, data, str(path))
    if found.name != path.stem:
        raise ConfigError(f"{path}: the name is {found.name!r}", f"call the file {found.name}.yaml")
    return found


def read_all(where: Path | None = None) -> list[Reproduction]:
    """Read every file of a folder, by default the one that comes with melink, in order of name.

    Raises:
        ConfigError: As :func:`read`.
    """
    return [read(path) for path in sorted((where or folder()).glob("*.yaml"))]


def find(name: str) -> Reproduction:
    """Return a recorded evaluation by name, or by the path of its file.

    Raises:
        NotFound: No such name; names the closest.
        ConfigError: As :func:`read`.
    """
    if name.endswith((".yaml", ".yml")):
        return read(Path(name))
    path = folder() / f"{name}.yaml"
    if not path.is_file():
        raise NotFound.among("reproduction", name, (each.stem for each in folder().glob("*.yaml")))
    return read(path)
