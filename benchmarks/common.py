"""What every benchmark shares: the machine, the clock, peak memory, and a JSON line as the answer."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """Return the folder of benchmark data, which may be absent."""
    return Path(os.environ.get("MELINK_DATA", ROOT.parent / "shared" / "data"))


def machine() -> dict[str, Any]:
    """Describe the machine."""
    import torch

    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 1e9, 1),
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_before": load,
    }


@contextmanager
def timed(result: dict[str, Any], name: str) -> Iterator[None]:
    """Record wall and CPU seconds of a block under ``name``."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    result[f"{name}_seconds"] = round(time.perf_counter() - wall, 3)
    result[f"{name}_cpu_seconds"] = round(time.process_time() - cpu, 3)


def peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def main(measure: Callable[[Path], dict[str, Any]]) -> None:
    """Run one benchmark in a scratch folder and print its result as one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=Path)
    scratch = parser.parse_args().scratch
    scratch.mkdir(parents=True, exist_ok=True)
    result = measure(scratch)
    result["peak_mb"] = peak_mb()
    print(json.dumps(result))
