"""SIGKILL at random moments of feature extraction: the store opens, keeps what it acknowledged, ends the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from melink.features import index, work
from melink.features.classical import Classical
from melink.features.store import FeatureStore

KILLS = int(os.environ.get("MELINK_KILLS", "20"))
FIRST = 24

SCRIPT = f"""
import sys
from pathlib import Path
from melink.features import index, work
from melink.features.classical import Classical
from melink.features.store import FeatureStore

work.BLOCK, index.MANY = 16 * 8, 3  # eight pictures to a shard, and merging after every call
root, pictures = sys.argv[1:]
paths = sorted(map(str, Path(pictures).iterdir()))
print("go", flush=True)
FeatureStore(root).encode(Classical(), paths[:{FIRST}], tokens=True)
print("acknowledged", flush=True)
FeatureStore(root).encode(Classical(), paths, tokens=True)
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 small pictures, every tenth of them broken."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for n in range(160):
        path = folder / f"{n:03}.png"
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).resize((48, 48)).save(path)
        if n % 10 == 9:
            path.write_bytes(path.read_bytes()[: 100 + n])
        os.utime(path, (1_000_000, 1_000_000))
    return folder


def start(root: Path, pictures: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", SCRIPT, str(root), str(pictures)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BLOCK", 16 * 8)
    monkeypatch.setattr(index, "MANY", 3)
    with start(tmp_path / "whole", pictures) as process:
        assert read(process) == "go"
        began = time.monotonic()
        process.wait()
        lasts = time.monotonic() - began
    whole = FeatureStore(tmp_path / "whole").content_hash()
    paths = sorted(map(str, pictures.iterdir()))
    table = FeatureStore(tmp_path / "whole").encode(Classical(), paths, tokens=True)
    assert table.encoded == 0 and table.missing == {"corrupt": 16} and table.present.sum() == 144

    rng, states = random.Random(), set()
    for n in range(KILLS):
        root = tmp_path / str(n)
        for _ in range(rng.choice((1, 1, 2))):  # sometimes the restart is killed as well
            with start(root, pictures) as process:
                assert read(process) == "go"
                time.sleep(lasts * rng.uniform(0, 1.05))
                process.send_signal(signal.SIGKILL)
                rest = process.stdout.read() if process.stdout else ""
            opened = FeatureStore(root)
            left = opened.lacking(Classical(), paths, tokens=True)
            assert opened.content_hash() and 0 <= left <= 160
            if "acknowledged" in rest:
                assert opened.lacking(Classical(), paths[:FIRST], tokens=True) == 0
            states.add(left)
        FeatureStore(root).encode(Classical(), paths, tokens=True)
        assert FeatureStore(root).content_hash() == whole, f"after a kill with {left} pictures left"
    assert len(states) > 1 or KILLS < 5, "every kill came at the same moment: the test shows nothing"
