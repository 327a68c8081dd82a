"""``melink link -o``: killed at random moments and started again, it writes what an undisturbed run writes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from melink.cli.main import app
from melink.demo.run import Demo
from melink.linker import BATCH

MELINK = str(Path(sys.executable).with_name("melink"))
KILLS = 2


def enlarge(mentions: Path, path: Path, times: int) -> int:
    """Repeat the mentions under new ids and with other words, so that each has its own vector; return how many."""
    rows = [orjson.loads(line) for line in mentions.read_bytes().splitlines()]
    with path.open("wb") as out:
        for turn in range(times):
            for row in rows:
                again = {**row, "id": f"{row['id']}-{turn}", "sentence": f"{row['sentence']} Number {turn}."}
                out.write(orjson.dumps(again, option=orjson.OPT_APPEND_NEWLINE))
    return times * len(rows)


def arguments(kb: Path, mentions: Path, out: Path) -> list[str]:
    light = ["--generator", "names,fuzzy,persons,lexical"]
    return ["link", str(kb), str(mentions), "-o", str(out), *light]


def whole_rows(partial: Path) -> int:
    return partial.read_bytes().count(b"\n") if partial.exists() else 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is a signal of POSIX systems")
def test_killed_and_started_again(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    file = tmp_path / "many.jsonl"
    n = enlarge(demo_mentions, file, 9)
    calm, rough = (shutil.copytree(demo.linker.kb.path, tmp_path / name) for name in ("calm", "rough"))
    undisturbed, out = tmp_path / "undisturbed.jsonl", tmp_path / "out.jsonl"
    assert CliRunner().invoke(app, arguments(calm, file, undisturbed)).exit_code == 0
    partial, rng, reached = tmp_path / "out.jsonl.partial", random.Random(5), []
    for kill in range(KILLS):
        # a third of the way further each time, somewhere inside a batch or between two
        goal = whole_rows(partial) + rng.randrange(1, n // (KILLS + 1))
        with subprocess.Popen([MELINK, *arguments(rough, file, out)], stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and whole_rows(partial) < goal:
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
        reached.append(whole_rows(partial))
        assert not out.exists(), f"kill {kill} came too late"
    assert reached == sorted(reached) and reached[-1] >= BATCH
    with partial.open("ab") as torn:
        torn.write(b'{"id": "torn off')
    last = CliRunner().invoke(app, arguments(rough, file, out))
    assert last.exit_code == 0 and f"wrote {n:,} links" in last.stderr
    assert f"going on after {reached[-1] // BATCH * BATCH:,} rows" in last.stderr  # whole batches
    assert out.read_bytes() == undisturbed.read_bytes()
    assert not list(tmp_path.glob("out.jsonl.*"))


def test_another_model_does_not_go_on_with_the_rows_of_this_one(
    demo: Demo, demo_mentions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    command = ["link", str(demo.linker.kb.path), str(demo_mentions), "-o", str(out), "--model", "names"]
    assert CliRunner().invoke(app, command).exit_code == 0
    expected = out.read_bytes()
    (tmp_path / "out.jsonl.partial").write_bytes(b'{"id": "of another model"}\n' * 200)
    (tmp_path / "out.jsonl.partial.json").write_text('{"run": "another"}')
    assert CliRunner().invoke(app, command).exit_code == 0
    assert out.read_bytes() == expected
