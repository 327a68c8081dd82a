"""Run every benchmark in a process of its own and write benchmarks/results/<date>.json."""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import ROOT, data_folder, machine

NEED_DATA = ("build", "encode", "candidates", "rank")
ALL = ("cold_start", "training", *NEED_DATA)


def main() -> None:
    """Measure what can be measured here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=ALL, help=f"which of {', '.join(ALL)}; all by default")
    parser.add_argument("--scratch", type=Path, help="folder to build in, kept; a temporary one by default")
    arguments = parser.parse_args()
    has_data = (data_folder() / "kb" / "entities.jsonl.gz").is_file()
    result: dict[str, object] = {"machine": machine(), "date": datetime.date.today().isoformat()}
    with tempfile.TemporaryDirectory() as temporary:
        scratch = arguments.scratch or Path(temporary)
        for name in arguments.names:
            if name in NEED_DATA and not has_data:
                print(f"{name}: no data at {data_folder()}; set MELINK_DATA", file=sys.stderr)
                continue
            print(f"{name} …", file=sys.stderr)
            command = [sys.executable, ROOT / "benchmarks" / f"{name}.py", scratch]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            result[name] = json.loads(done.stdout.splitlines()[-1])
    out = ROOT / "benchmarks" / "results" / f"{result['date']}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
