"""``melink reproduce`` on the demo: real commands, killed between and inside steps, with other data and figures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

ROOT = Path(__file__).parents[2]
NAME = "names-demo"
COMMANDS = [
    "melink kb build kb --entities {data}/entities.jsonl --relations {data}/relations.tsv",
    "melink evaluate kb {data}/mentions.jsonl --model names --seed {seed} --json names-{seed}.json",
]
SKETCH: dict[str, Any] = {
    "name": NAME,
    "method": "names",
    "benchmark": "demo",
    "commands": COMMANDS,
    "protocol": {
        "split": "demo", "split_hash": "0" * 16, "kb": "demo", "kb_size": 1, "kb_hash": "0" * 16,
        "candidates": "full", "ties": "mean", "miss_policy": "miss",
    },
    "unpublished": "made for a test",
    "ours": {"seeds": [5, 6], "overall": {"n": 1, "figures": {"hits@1": 0.0}}},
    "tolerance": {"hits@1": 0.001},
    "date": "2026-01-31",
    "machine": "none",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A record, its data and the folder of its run."""

    root: Path

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def record(self) -> Path:
        return self.root / f"{NAME}.yaml"

    def command(self, *more: str) -> list[str]:
        fixed = ["--data", str(self.root / "data"), "--work", str(self.work)]
        return [sys.executable, "-m", "melink", "reproduce", str(self.record), *fixed, *more]

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*more), capture_output=True, text=True, timeout=240, check=False)

    def change(self, **changes: Any) -> None:
        data = yaml.safe_load(self.record.read_text())
        self.record.write_text(yaml.safe_dump({**data, **changes}))


def sketched(root: Path) -> Place:
    with as_file(files("melink.demo") / "data") as demo:
        (root / "data").mkdir(parents=True)
        for name in ("entities.jsonl", "relations.tsv", "mentions.jsonl"):
            shutil.copy2(demo / name, root / "data" / name)
    place = Place(root)
    place.record.write_text(yaml.safe_dump(SKETCH))
    return place


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Run once against made-up figures, then recorded with the tool."""
    place = sketched(tmp_path_factory.mktemp("reproduce"))
    first = place.run()
    assert first.returncode == 1, first.stderr
    assert "DIFFERS" in first.stdout and "another protocol: kb_size" in first.stderr
    assert "step 1 of 3: melink kb build" in first.stderr and "not done again" not in first.stderr
    results = [str(place.work / f"names-{seed}.json") for seed in (5, 6)]
    script = [sys.executable, str(ROOT / "tools" / "record.py"), NAME, *results, "--seeds", "5,6", "--minutes", "0.1"]
    subprocess.run([*script, "--out", str(place.record), "--machine", "a test"], check=True)
    return place


@pytest.fixture
def copied(done: Place, tmp_path: Path) -> Place:
    return Place(shutil.copytree(done.root, tmp_path / "copy"))


@pytest.mark.slow
def test_what_was_recorded_comes_out_and_nothing_is_done_twice(copied: Place) -> None:
    recorded = yaml.safe_load(copied.record.read_text())
    assert recorded["commands"] == COMMANDS and recorded["unpublished"] == SKETCH["unpublished"]
    assert recorded["ours"]["seeds"] == [5, 6] and recorded["ours"]["overall"]["sd"]["hits@1"] == 0
    again = copied.run("--json")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("not done again") == 3
    found = orjson.loads(again.stdout)
    assert found["agrees"] and found["protocol_differs"] == []
    assert all(step["reused"] for step in found["steps"])
    figures = {line["figure"]: line for line in found["figures"]}
    assert (
        figures["hits@1"]["within"] is True
        and figures["hits@1"]["now"] == recorded["ours"]["overall"]["figures"]["hits@1"]
    )
    one = orjson.loads(copied.run("--json", "--seed", "6").stdout)
    assert one["agrees"] and one["seeds"] == {"recorded": [5, 6], "now": [6]}


@pytest.mark.slow
def test_a_figure_outside_its_tolerance_fails(copied: Place) -> None:
    ours = yaml.safe_load(copied.record.read_text())["ours"]
    ours["overall"]["figures"]["hits@1"] += 0.002
    copied.change(ours=ours)
    run = copied.run()
    assert run.returncode == 1
    assert "-0.0020" in run.stdout and "DIFFERS" in run.stdout and "another protocol" not in run.stderr
    copied.change(tolerance={"hits@1": 0.003})
    assert copied.run().returncode == 0


@pytest.mark.slow
def test_other_data_are_another_protocol(copied: Place) -> None:
    mentions = copied.root / "data" / "mentions.jsonl"
    mentions.write_text("".join(mentions.read_text().splitlines(keepends=True)[1:]))
    copied.change(tolerance={"hits@1": 1.0})
    run = copied.run()
    assert run.returncode == 1
    assert "another protocol: split_hash" in run.stderr and "DIFFERS" not in run.stdout
    assert run.stderr.count("not done again") == 1  # the knowledge base is the same


@pytest.mark.slow
def test_a_changed_result_is_made_again(copied: Place) -> None:
    forged = copied.work / "names-5.json"
    forged.write_text(forged.read_text().replace('"hits@1": 0.', '"hits@1": 1.', 1))
    run = copied.run()
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("not done again") == 2


def killed(place: Place, when: str) -> None:
    """Start, and kill the run with all its children as soon as standard error says ``when``."""
    with subprocess.Popen(
        place.command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as run:
        assert run.stderr is not None
        said = b""
        while when.encode() not in said:
            line = run.stderr.readline()
            assert line, said.decode()
            said += line
        os.killpg(run.pid, signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group")
@pytest.mark.parametrize(("when", "kept"), [("step 1 of 3: ", 0), ("step 2 of 3: ", 1), ("step 3 of 3: ", 2)])
def test_a_killed_run_goes_on(done: Place, tmp_path: Path, when: str, kept: int) -> None:
    place = Place(tmp_path / "killed")
    shutil.copytree(done.root, place.root, ignore=shutil.ignore_patterns("work"))
    killed(place, when)
    assert len(list(place.work.rglob(".steps/*.json"))) == kept
    assert not (place.work / "names-6.json").exists()
    run = place.run("--json")
    assert run.returncode == 0, run.stderr
    found = orjson.loads(run.stdout)
    assert [step["reused"] for step in found["steps"]] == [True] * kept + [False] * (3 - kept)
    assert found["agrees"]


@pytest.mark.slow
def test_a_step_that_fails_is_named_and_leaves_no_stamp(copied: Place) -> None:
    copied.change(commands=[COMMANDS[0], COMMANDS[1].replace("names", "nemes", 1)])
    run = copied.run()
    assert run.returncode == 2
    assert "unknown model" in run.stderr  # what the step said
    assert "this step failed with exit status 2: melink evaluate" in run.stderr
    assert len(list(copied.work.rglob(".steps/*.json"))) == 2  # the build, and seed 6 of before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interrupt_lets_the_step_end(done: Place, tmp_path: Path) -> None:
    place = Place(tmp_path / "stopped")
    shutil.copytree(done.root, place.root, ignore=shutil.ignore_patterns("work"))
    with subprocess.Popen(
        place.command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as run:
        assert run.stderr is not None
        while b"step 1 of 3: " not in (line := run.stderr.readline()):
            assert line
        os.killpg(run.pid, signal.SIGINT)
        rest = run.stderr.read().decode()
        assert run.wait() == 130, rest
    assert "the same command goes on from there" in rest
    assert place.run().returncode == 0


def test_a_dry_run_prints_and_does_nothing(tmp_path: Path) -> None:
    place = sketched(tmp_path / "dry run")
    shutil.rmtree(place.root / "data")
    run = place.run("--dry-run", "--seed", "9")
    assert run.returncode == 0 and run.stderr == ""
    data = f"{place.root}/data"
    assert run.stdout.splitlines() == [
        f"cd '{place.work}'",
        f"melink kb build kb --entities '{data}/entities.jsonl' --relations '{data}/relations.tsv'",
        f"melink evaluate kb '{data}/mentions.jsonl' --model names --seed 9 --json names-9.json",
    ]
    assert not place.work.exists()


def test_missing_data_are_named_before_anything_is_done(tmp_path: Path) -> None:
    place = sketched(tmp_path)
    (place.root / "data" / "mentions.jsonl").unlink()
    run = place.run()
    assert run.returncode == 2 and run.stdout == ""
    assert f"lacks: {place.root / 'data' / 'mentions.jsonl'}" in run.stderr
    assert "docs/reproductions.md" in run.stderr
    assert not place.work.exists()


def test_the_list_has_everything() -> None:
    command = [sys.executable, "-m", "melink", "reproduce"]
    rows = orjson.loads(subprocess.run([*command, "--json"], capture_output=True, check=True).stdout)
    assert [row["name"] for row in rows] == sorted(path.stem for path in (ROOT / "reproductions").glob("*.yaml"))
    assert all({"name", "method", "benchmark", "published", "ours"} <= set(row) for row in rows)
    shown = subprocess.run([*command, "--list"], capture_output=True, text=True, check=True).stdout
    assert all(row["name"] in shown for row in rows)


def test_a_seed_for_what_has_none_is_refused(tmp_path: Path) -> None:
    place = sketched(tmp_path)
    place.change(
        commands=[COMMANDS[0], COMMANDS[1].replace("{seed}", "1")], ours={"overall": SKETCH["ours"]["overall"]}
    )
    run = place.run("--seed", "3")
    assert run.returncode == 2 and "draws nothing by chance" in run.stderr
