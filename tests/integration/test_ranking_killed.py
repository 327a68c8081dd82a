"""SIGKILL at every step of preparing entities for ranking: the next process goes on, and the arrays are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL of POSIX systems")

SCRIPT = """
import hashlib, json, os, random, signal, sys, time
from pathlib import Path
from typing import NamedTuple

import torch

from melink.errors import Locked
from melink.kb.store import KnowledgeBase
from melink.ranking import kept as module
from melink.ranking.kept import Kept
from melink.records import Entity

module.CHUNK = 6


class Terms(NamedTuple):
    numbers: torch.Tensor
    known: torch.Tensor


class Method:
    heavy, remainder = frozenset({"numbers"}), frozenset({"numbers", "known"})
    computed = 0

    def fingerprint(self):
        return "numbers"

    def terms(self, view):
        self.computed += len(view)
        seeds = [int(id[1:]) for id in view.ids]
        numbers = [torch.randn(9, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return Terms(torch.stack(numbers).half(), torch.tensor([seed % 3 > 0 for seed in seeds]))


def arrays(folder):
    (build,) = folder.iterdir()
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(build.glob("*.bin")))).hexdigest()


def forked(work):
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return child


def killed(child):
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


root, kind = Path(sys.argv[1]), sys.argv[2]
kb = KnowledgeBase.create(root / "kb")
kb.upsert(Entity(f"E{n:03}", f"name {n}") for n in range(20))
view = kb.view()
assert view.ids
sync = os.fsync
steps = 0


def counted(handle):
    global steps
    sync(handle)
    steps += 1


os.fsync = counted
began = time.monotonic()
Kept(Method(), view, root / "whole")
lasts = time.monotonic() - began
os.fsync = sync
found = {"whole": arrays(root / "whole"), "steps": steps, "ends": [], "recomputed": []}


def resumed(folder):
    method = Method()
    Kept(method, view, folder)
    found["ends"].append(arrays(folder))
    found["recomputed"].append(method.computed - 1)


if kind == "steps":
    for step in range(steps):
        def work(left=step):
            def count(handle):
                nonlocal left
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                sync(handle)
            os.fsync = count
            Kept(Method(), view, root / f"step{step}")
        assert killed(forked(work))
        resumed(root / f"step{step}")
elif kind == "moments":
    found["killed"] = 0
    for turn in range(12):
        folder = root / f"turn{turn}"
        for _ in range(2):  # the one that goes on is killed as well
            child = forked(lambda: Kept(Method(), view, folder))
            time.sleep(lasts * random.uniform(0, 1))
            os.kill(child, signal.SIGKILL)
            found["killed"] += killed(child)
        resumed(folder)
elif kind == "locked":
    reading, writing = os.pipe()

    class Waiting(Method):
        def terms(self, view):
            if self.computed > 6:
                os.write(writing, b"x")
                time.sleep(600)
            return super().terms(view)

    child = forked(lambda: Kept(Waiting(), view, root / "both"))
    os.read(reading, 1)
    try:
        Kept(Method(), view, root / "both")
    except Locked as error:
        found["locked"] = str(error)
    os.kill(child, signal.SIGKILL)
    assert killed(child)
    resumed(root / "both")
print(json.dumps(found))
"""


def run(folder: Path, kind: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), kind],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_killed_at_every_step(tmp_path: Path) -> None:
    found = run(tmp_path, "steps")
    assert found["steps"] >= 4 * (2 + 1), "four chunks of two arrays and an account"
    assert len(found["ends"]) == found["steps"] and set(found["ends"]) == {found["whole"]}
    assert set(found["recomputed"]) <= {0, 2, 8, 14, 20} and len(set(found["recomputed"])) >= 4
    assert found["recomputed"] == sorted(found["recomputed"], reverse=True), "what was finished is not computed again"


def test_killed_at_random_moments(tmp_path: Path) -> None:
    found = run(tmp_path, "moments")
    assert len(found["ends"]) == 12 and set(found["ends"]) == {found["whole"]}
    assert found["killed"] > 3, "every kill came too late: the test shows nothing"


def test_who_comes_second_is_told_and_can_go_on_when_the_first_is_killed(tmp_path: Path) -> None:
    found = run(tmp_path, "locked")
    assert "another process is preparing the same entities" in found["locked"] and "wait" in found["locked"]
    assert found["ends"] == [found["whole"]] and found["recomputed"] == [14]
