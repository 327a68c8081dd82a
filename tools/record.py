"""Write or renew reproductions/NAME.yaml from results of ``melink evaluate --json``.

    python tools/record.py names-wikimel work/names-wikimel.json --minutes 1
    python tools/record.py biencoder-wikimel work/biencoder-wikimel-{0,1,2}.json --seeds 0,1,2 --minutes 25 \\
        --commands commands.txt --method biencoder --benchmark "WikiMEL valid" --kb "34,662 persons" \\
        --unpublished "published figures rank other knowledge bases" --tolerance hits@1=0.01

What a file that is there says in words stays as it is; the options change it. A new file needs all of them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from melink.config import parse
from melink.evaluate.measured import measured
from melink.evaluate.reproduction import Reproduction, read

RECORDS = Path(__file__).resolve().parent.parent / "reproductions"
HASH = 16
"""Digits of a hash that are kept."""


def main() -> None:
    """Read results and write one record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="<method>-<benchmark>")
    parser.add_argument("results", type=Path, nargs="+", help="one for each seed")
    parser.add_argument("--seeds", default="", help="such as 0,1,2, in the order of the results")
    parser.add_argument("--minutes", type=float, help="how long the commands took, one seed")
    parser.add_argument("--commands", type=Path, help="file with one command on each line")
    parser.add_argument("--method", help="what the table calls the row")
    parser.add_argument("--benchmark", help="such as 'WikiMEL valid'")
    parser.add_argument("--kb", help="the knowledge base in words, such as '34,662 persons'")
    parser.add_argument("--unpublished", help="why there is no published figure")
    parser.add_argument("--tolerance", action="append", help="FIGURE=DISTANCE (repeatable)")
    parser.add_argument("--deviation", action="append", help="(repeatable)")
    parser.add_argument("--machine", help="left out: cores, Python and GPU of this one")
    parser.add_argument("--out", type=Path, help="left out: reproductions/NAME.yaml")
    arguments = parser.parse_args()
    path = arguments.out or RECORDS / f"{arguments.name}.yaml"
    before = read(path).model_dump(mode="json", exclude_defaults=True) if path.is_file() else {}
    results = [json.loads(each.read_text(encoding="utf-8")) for each in arguments.results]
    path.write_text(dump(record(before, arguments, results)), encoding="utf-8")


def record(before: dict[str, Any], given: argparse.Namespace, results: list[dict[str, Any]]) -> Reproduction:
    """Return the record: what was said before, under what is said now, with new figures.

    Raises:
        ConfigError: Something is missing or contradicts itself; names it.
    """
    told = {key: getattr(given, key) for key in ("method", "benchmark", "unpublished", "minutes")}
    told["deviations"] = given.deviation
    told["commands"] = given.commands and commands(given.commands.read_text(encoding="utf-8"))
    told["tolerance"] = given.tolerance and dict(each.rsplit("=", 1) for each in given.tolerance)
    new = {key: value for key, value in told.items() if value is not None}
    words = {**before, **new}
    terms = before.get("protocol", {})
    seeds = [int(seed) for seed in given.seeds.split(",") if seed]
    fresh = {
        "name": given.name,
        "protocol": protocol(results[0]["protocol"], words.get("benchmark", ""), given.kb or terms.get("kb", "")),
        "ours": measured(results, seeds).model_dump(),
        "date": datetime.date.today(),
        "machine": given.machine or machine(),
    }
    return parse(Reproduction, {**words, **fresh}, given.name)


def commands(text: str) -> list[str]:
    """Return the command lines of a text; a backslash at the end of a line goes on."""
    return [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def protocol(stated: Mapping[str, Any], split: str, kb: str) -> dict[str, Any]:
    """Return what two figures must share to stand in one table."""
    full = stated["candidates"] == "full"
    return {
        "split": split,
        "split_hash": stated["split_hash"][:HASH],
        "kb": kb,
        "kb_size": stated["kb_size"],
        "kb_hash": stated["kb_hash"][:HASH],
        "generators": [] if full else stated["generators"],
        **{key: stated[key] for key in ("candidates", "ties", "miss_policy", "shortlist", "approximate")},
    }


def machine() -> str:
    """Return what ran: cores, Python, and the GPU when torch sees one."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {gpu}"


def dump(made: Reproduction) -> str:
    """Return a record as YAML, in the order of its keys."""
    return yaml.safe_dump(
        made.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True, width=110
    )


if __name__ == "__main__":
    main()
