"""2,000 mutated picture files: no crash, bounded memory, and each is either decoded or reported."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COUNT = 2000
REASONS = {"missing", "empty", "too_large", "too_many_pixels", "format", "corrupt", "timeout"}

SCRIPT = """
import json, resource, sys, warnings
from pathlib import Path
from melink.errors import Problems
from melink.features.classical import Classical
from melink.features.store import FeatureStore

warnings.simplefilter("ignore")
paths = sorted(map(str, Path(sys.argv[1]).iterdir()))
Classical().encode(paths[:0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
problems = Problems()
table = FeatureStore(sys.argv[2]).encode(Classical(), paths, problems=problems)
again = FeatureStore(sys.argv[2]).encode(Classical(), paths)
print(json.dumps({
    "files": len(paths), "present": int(table.present.sum()), "missing": table.missing, "reported": problems.counts,
    "rows": [int(row) for row in table.present], "again": again.encoded, "same": again.missing == table.missing,
    "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
    "finite": bool((abs(table.vectors()) < 2).all()),
}))
"""


def seeds(rng: np.random.Generator) -> list[bytes]:
    """Small files of every allowed format and many modes, and of three formats that are refused."""
    noise = Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).resize((96, 72))
    deep = Image.fromarray(rng.integers(0, 65535, (40, 40), dtype=np.uint16))
    other = noise.rotate(90)
    exif = Image.Exif()
    exif[0x0112] = 6
    wanted: list[tuple[Image.Image, str, dict[str, object]]] = [
        (noise, "JPEG", {"quality": 60, "exif": exif}), (noise, "JPEG", {"progressive": True}),
        (noise.convert("CMYK"), "JPEG", {}), (noise.convert("L"), "JPEG", {}),
        (noise, "PNG", {}), (noise.convert("RGBA"), "PNG", {}), (noise.convert("P"), "PNG", {"transparency": 3}),
        (noise.convert("1"), "PNG", {}), (deep, "PNG", {}), (noise.convert("LA"), "PNG", {}),
        (noise, "GIF", {}), (noise, "GIF", {"save_all": True, "append_images": [other]}),
        (noise, "WEBP", {}), (noise.convert("RGBA"), "WEBP", {"lossless": True}),
        (noise, "WEBP", {"save_all": True, "append_images": [other]}),
        (noise, "TIFF", {}), (noise, "BMP", {}), (noise, "PPM", {}),
    ]  # fmt: skip
    files = []
    for image, form, options in wanted:
        out = io.BytesIO()
        image.save(out, form, **options)
        files.append(out.getvalue())
    return files


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Flip, set, cut, repeat or insert bytes, more often near the start, where the headers are."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if not out:
            break
        place = rng.randrange(min(len(out), 64)) if rng.random() < 0.4 else rng.randrange(len(out))
        match rng.randrange(6):
            case 0:
                out[place] ^= 1 << rng.randrange(8)
            case 1:
                out[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                out[place : place + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            case 3:
                out[place:place] = rng.randbytes(rng.randrange(1, 20))
            case 4:
                out[place:place] = out[place : place + rng.randrange(1, 200)]
            case _:
                del out[place : place + rng.choice((1, 4, 100, len(out)))]
    return bytes(out)


@pytest.mark.slow
def test_mutated_pictures(tmp_path: Path) -> None:
    folder, rng = tmp_path / "files", random.Random(20)
    folder.mkdir()
    originals = seeds(np.random.default_rng(20))
    for n in range(COUNT):
        data = originals[n % len(originals)]
        (folder / f"{n:04}.jpg").write_bytes(data if n < len(originals) else mutated(data, rng))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / "store")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["files"] == COUNT
    assert result["present"] + sum(result["missing"].values()) == COUNT
    assert set(result["missing"]) <= REASONS
    assert result["rows"][: len(originals)] == [1] * 15 + [0] * 3, "the seeds themselves are read, or refused by format"
    assert 200 < result["present"] < 1800, "the mutations are too weak or too strong to show anything"
    assert {name.removeprefix("image ") for name in result["reported"]} == set(result["missing"])
    assert result["again"] == 0 and result["same"] and result["finite"]
    assert result["rss"] < 200_000, "kilobytes above what it took before"
