"""Fenced blocks of a page: what may run, what was shown, and running them in order in one folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"(?:<!-- (?P<note>[^>]*?) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"\d+\.\d+")
_RUNNERS = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}


@dataclass(frozen=True)
class Block:
    """A fenced block, with the comment right above it."""

    kind: str
    body: str
    note: str

    @property
    def runs(self) -> bool:
        return self.kind in _RUNNERS and not self.note.startswith("not run")


def blocks(page: Path) -> list[Block]:
    found = _FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["kind"], match["body"], match["note"] or "") for match in found]


def run(found: list[Block], folder: Path) -> dict[str, str]:
    """Run what may run, in order, and return what each block printed on both streams."""
    settings = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "140"}
    settings |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    said = {}
    for block in found:
        if block.runs:
            done = subprocess.run(
                [*_RUNNERS[block.kind], block.body],
                cwd=folder,
                env=os.environ | settings,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=240,
                check=False,
            )
            assert done.returncode == 0, f"this failed:\n{block.body}\n{done.stdout}"
            said[block.body] = done.stdout
    return said


def compare(found: list[Block], said: dict[str, str]) -> int:
    """Look for the lines of each block under ``<!-- prints -->``, in order; return how many there were.

    Numbers with a point may differ by 0.02: other processors round otherwise.
    """
    output: str | None = None
    compared = 0
    for block in found:
        output = said.get(block.body, output)
        if block.note == "prints":
            assert output is not None
            rest = output.splitlines()
            for line in filter(lambda line: line != "…", block.body.splitlines()):
                place = next((at for at, other in enumerate(rest) if _alike(line, other)), None)
                assert place is not None, f"not printed: {line}\n{output}"
                rest = rest[place + 1 :]
                compared += 1
    return compared


def _alike(shown: str, printed: str) -> bool:
    ours, theirs = (_NUMBER.findall(line) for line in (shown, printed))
    if _NUMBER.sub("#", shown) != _NUMBER.sub("#", printed):
        return False
    return all(abs(float(a) - float(b)) <= 0.02 for a, b in zip(ours, theirs, strict=True))
