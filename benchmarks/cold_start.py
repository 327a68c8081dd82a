"""How long a person waits: import, help, and one mention linked from the command line over the demo."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import main

RUNS = 5


def measure(scratch: Path) -> dict[str, Any]:
    """Return the median wall seconds of each command over five runs, after one that warms the disk cache."""
    melink = str(Path(sys.executable).with_name("melink"))
    demo = scratch / "demo"
    subprocess.run([melink, "demo", "-o", demo], check=True, capture_output=True)
    one = [melink, "link", str(demo / "kb"), "--text", "Mercury is closest to the sun", "--mention", "Mercury"]
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "import_melink": [sys.executable, "-c", "import melink"],
        "help": [melink, "--help"],
        "link_one_names": [*one, "--model", "names"],
        "link_one_zeroshot": one,
    }
    return {f"{name}_seconds": median(command) for name, command in commands.items()}


def median(command: list[str]) -> float:
    """Return the median wall seconds of a command."""
    seconds = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return round(statistics.median(seconds[1:]), 3)


if __name__ == "__main__":
    main(measure)
