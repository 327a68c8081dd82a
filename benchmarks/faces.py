"""Pictures per second through detection, faces and encoding, on one thread or more; and again, from the cache.

    OMP_NUM_THREADS=1 python benchmarks/faces.py --json

By hand; needs the benchmark data (``MELINK_DATA``). ``pictures`` are portraits of 224 pixels, one person each; ``rows``
are three of them side by side. CPU seconds are the figure to compare on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from PIL import Image

from common import data_folder, machine, peak_mb, timed
from melink.features.images import load_image as read
from melink.features.load import load_image
from melink.features.store import FeatureStore

ENCODERS = ("classical", "regions", "faces", "faces?model=dlib")


def measure(pictures: list[str], spec: str, scratch: Path) -> dict[str, Any]:
    """Encode some pictures, then again with an encoder and a store that are new."""
    result: dict[str, Any] = {}
    encoder = load_image(spec)
    encoder.encode([read(pictures[0])], tokens=True)  # what is loaded on first use is not of interest here
    with timed(result, "first"):
        first = FeatureStore(scratch).encode(encoder, pictures, tokens=True)
    again = load_image(spec)
    with timed(result, "second"):
        second = FeatureStore(scratch).encode(again, pictures, tokens=True)
    parts = first.lengths().tolist() if spec != "classical" else []
    return {
        "encoded": first.encoded,
        "encoded again": second.encoded,
        "parts": sum(parts),
        "pictures per cpu second": round(len(pictures) / max(result["first_cpu_seconds"], 1e-9), 1),
        "pictures per second": round(len(pictures) / max(result["first_seconds"], 1e-9), 1),
        "second run, seconds": result["second_seconds"],
        "times faster again, by cpu": round(result["first_cpu_seconds"] / max(result["second_cpu_seconds"], 1e-9)),
    }


def rows(portraits: list[str], folder: Path) -> list[str]:
    """Write rows of three portraits."""
    found = []
    for start in range(0, len(portraits) - 2, 3):
        row = Image.new("RGB", (3 * 224, 224))
        for place, path in enumerate(portraits[start : start + 3]):
            row.paste(read(path).resize((224, 224)), (224 * place, 0))
        row.save(folder / f"{start}.jpg", quality=90)
        found.append(str(folder / f"{start}.jpg"))
    return found


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=120)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    given = parser.parse_args()
    portraits = [str(path) for path in sorted((data_folder() / "images" / "us_politicians").glob("*_0.jpg"))]
    if not portraits:
        raise SystemExit(f"no portraits below {data_folder()}; set MELINK_DATA")
    there = find_spec("dlib") is not None and find_spec("face_recognition_models") is not None
    found: dict[str, Any] = {"machine": machine(), "threads": os.environ["OMP_NUM_THREADS"], "encoders": {}}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        some = portraits[: given.pictures]
        sheets = {"pictures": some, "rows": rows(some, scratch)}
        for spec in ENCODERS if there else ENCODERS[:-1]:
            found["encoders"][spec] = {
                kind: measure(own, spec, scratch / f"{kind}-{len(found['encoders'])}") for kind, own in sheets.items()
            }
    found["peak_mb"] = peak_mb()
    if given.json:
        print(json.dumps(found, indent=2))
        return
    for spec, kinds in found["encoders"].items():
        for kind, own in kinds.items():
            print(f"{spec}, {kind}: " + ", ".join(f"{key} {value}" for key, value in own.items()))


if __name__ == "__main__":
    main()
