"""Write reproductions/<method>-<benchmark>.yaml from results of ``melink evaluate --json``.

python tools/record.py result.json --name "zeroshot, WikiMEL valid" --command commands.txt --out FILE.yaml
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

import yaml

KEPT = ("n", "hits@1", "hits@3", "hits@5", "hits@10", "mrr", "mr", "candidate_recall")


def main() -> None:
    """Read one result and write one record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--split", required=True, help="the split in words, such as 'WikiMEL valid'")
    parser.add_argument("--kb", required=True, help="the knowledge base in words, such as '34,662 persons'")
    parser.add_argument("--command", type=Path, required=True, help="file with the commands as typed")
    parser.add_argument("--deviations", default="none")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    result = json.loads(arguments.result.read_text(encoding="utf-8"))
    record = {
        "name": arguments.name,
        "command": arguments.command.read_text(encoding="utf-8"),
        "protocol": protocol(result["protocol"], arguments.split, arguments.kb),
        "published": None,
        "ours": {**figures(result["overall"]), "ci95": rounded(result["overall"]["ci95"]["hits@1"])},
        "slices": {name: figures(row) for name, row in result["slices"].items() if row["n"]},
        "date": datetime.date.today(),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, no GPU",
        "deviations": arguments.deviations,
    }
    arguments.out.write_text(yaml.safe_dump(record, sort_keys=False, allow_unicode=True), encoding="utf-8")


def protocol(stated: dict[str, Any], split: str, kb: str) -> dict[str, Any]:
    """Return what two figures must share to stand in one table."""
    return {
        "split": split,
        "split sha256": stated["split_hash"][:16],
        "knowledge base": kb,
        "knowledge base content": stated["kb_hash"][:16],
        "candidates": "the whole knowledge base, exact" if stated["candidates"] == "full" else stated["candidates"],
        "ties": stated["ties"],
        "gold not among the candidates": "a miss" if stated["miss_policy"] == "miss" else stated["miss_policy"],
    }


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a slice, with those of NIL where there are any."""
    kept = {key: row[key] if key == "n" else rounded(row[key]) for key in KEPT if row.get(key) is not None}
    nil = {key: rounded(value) for key, value in (row.get("nil") or {}).items() if value is not None}
    return {**kept, **({"nil": nil} if nil.get("n_nil") else {})}


def rounded(value: Any) -> Any:
    """Round to five places, lists as well."""
    return [rounded(each) for each in value] if isinstance(value, list) else round(value, 5)


if __name__ == "__main__":
    main()
