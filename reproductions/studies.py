"""What the studies share: the knowledge base of a benchmark, finished cells, and mean ± standard deviation of seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any


def knowledge(data: Path, folder: Path, where: str = "attributes") -> Path:
    """Build a knowledge base of the benchmark data, with its pictures, where there is none.

    Args:
        data: Folder of the benchmark data.
        folder: Of the knowledge base.
        where: Entities without this field are left out: ``attributes`` leaves the persons.

    Returns:
        ``folder``.
    """
    from melink.cli.main import app

    if not (folder / "manifest.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        parts = {
            "--entities": "kb/entities.jsonl.gz",
            "--triples": "kb/triples.tsv.gz",
            "--relations": "kb/relations.tsv",
            "--images": "images/index.csv",
        }
        given = [word for option, file in parts.items() for word in (option, str(data / file))]
        app(["kb", "build", str(folder), *given, "--where", where], standalone_mode=False)
    return folder


def finished(output: Path) -> Iterator[dict[str, Any]]:
    """Yield every finished cell of a study."""
    import orjson

    for file in sorted((output / "cells").glob("*.json")):
        yield orjson.loads(file.read_bytes())


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Return mean and standard deviation; None of one value."""
    return {"mean": fmean(values), "sd": stdev(values) if len(values) > 1 else None}


def mean_sd(value: Mapping[str, float | None], digits: int = 1, scale: float = 100.0) -> str:
    """Return mean ± standard deviation, in per cent unless ``scale`` says otherwise."""
    found = f"{scale * (value['mean'] or 0):.{digits}f}"
    return found + ("" if value["sd"] is None else f" ± {scale * value['sd']:.{digits}f}")
