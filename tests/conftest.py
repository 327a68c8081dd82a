"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real benchmark data; the test is skipped where it is absent."""
    folder = Path(os.environ.get("MELINK_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "kb" / "entities.jsonl.gz").is_file():
        pytest.skip(f"no benchmark data at {folder}; set MELINK_DATA to a folder that has kb/entities.jsonl.gz")
    return folder
