"""SIGKILL at random moments of a build and of upserts. MELINK_KILLS sets how many of each (20)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from melink.kb.build import build
from melink.kb.store import KnowledgeBase
from melink.records import Entity

KILLS = int(os.environ.get("MELINK_KILLS", "20"))
ENTITIES = 2000
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is a signal of POSIX systems"),
]

BUILDER = """
import sys
import lancedb, tantivy
from melink.kb.build import build
print("ready", flush=True)
sys.stdin.readline()
built = build(sys.argv[1], sys.argv[2], sys.argv[3], batch=100)
print(built.content_hash, flush=True)
"""

WRITER = """
import sys
import lancedb, tantivy
from melink.kb.store import KnowledgeBase
from melink.records import Entity
print("ready", flush=True)
first = int(sys.stdin.readline())
kb = KnowledgeBase.open(sys.argv[1])
for turn in range(first, 100_000):
    if turn % 5 == 4:
        kb.delete([f"E{turn - 4}"])
    else:
        kb.upsert([Entity(f"E{turn}", f"Name {turn}"), Entity("E-same", f"Turn {turn}", description="d" * 2000)])
    print(turn, flush=True)
"""


def spawn(script: str, *args: object) -> subprocess.Popen[str]:
    """Start a process that makes its imports and then waits for a line."""
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def processes(script: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """Yield processes that are ready to begin; the next one makes its imports meanwhile."""
    waiting = spawn(script, *args)
    for _ in range(KILLS):
        ready, waiting = waiting, spawn(script, *args)
        assert ready.stdout is not None
        assert ready.stdout.readline() == "ready\n"
        yield ready
    kill(waiting)


def kill_after(process: subprocess.Popen[str], seconds: float, line: object = "") -> list[str]:
    """Let a process begin, kill it, and return the lines it printed before."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    time.sleep(seconds)
    return kill(process)


def kill(process: subprocess.Popen[str]) -> list[str]:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    assert process.stdin is not None
    lines = [line for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    process.stdin.close()
    return [line.strip() for line in lines]


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    rng = random.Random(1)
    rows = [
        {"id": f"Q{i}", "label": f"Name {i}", "aliases": [f"alias {rng.random()}"],
         "description": f"number {i} " * rng.randrange(20),
         "attributes": f"Sex: male. Birth: {i}. Occupation: actor, singer."}
        for i in range(ENTITIES)
    ]  # fmt: skip
    entities, triples = tmp_path / "e.jsonl", tmp_path / "t.tsv"
    entities.write_text("".join(json.dumps(row) + "\n" for row in rows))
    triples.write_text("".join(f"Q{rng.randrange(ENTITIES)}\tP1\tQ{rng.randrange(ENTITIES)}\n" for _ in range(6000)))
    return entities, triples


def test_builds(tmp_path: Path, inputs: tuple[Path, Path]):
    entities, triples = inputs
    out = tmp_path / "kb"
    began = time.monotonic()
    undisturbed = build(tmp_path / "calm", entities, triples)
    took = time.monotonic() - began
    first = tmp_path / "first.jsonl"
    first.write_text('{"id": "old", "label": "Old"}\n')
    build(out, first)

    rng, finished = random.Random(2), 0
    for turn, process in enumerate(processes(BUILDER, out, entities, triples)):
        printed = kill_after(process, rng.random() * took)
        kb = KnowledgeBase.open(out)
        if printed or len(kb) == ENTITIES:  # done: what is acknowledged stays; begin again from the old one
            assert kb.content_hash() == undisturbed.content_hash, f"kill {turn}"
            finished += 1
            build(out, first)
        else:
            assert kb.view().ids == ["old"], f"kill {turn}"
            assert kb.search("old")
    assert finished < KILLS
    last = build(out, entities, triples, batch=100)
    assert last.content_hash == last.kb.content_hash() == undisturbed.content_hash
    assert last.kb.names.num_docs == ENTITIES
    assert last.kb.names.exact("Name 77", 3) == undisturbed.kb.names.exact("Name 77", 3)


def expected(turns: int) -> dict[str, str]:
    """What a knowledge base holds after so many turns of the writer."""
    state: dict[str, str] = {}
    for turn in range(turns):
        if turn % 5 == 4:
            del state[f"E{turn - 4}"]
        else:
            state |= {f"E{turn}": f"Name {turn}", "E-same": f"Turn {turn}"}
    return state


def test_upserts_and_deletions(tmp_path: Path):
    out = tmp_path / "kb"
    KnowledgeBase.create(out)
    rng, done = random.Random(3), 0
    for turn, process in enumerate(processes(WRITER, out)):
        acknowledged = [int(line) for line in kill_after(process, 0.1 + rng.random() * 0.4, done)]
        done = acknowledged[-1] + 1 if acknowledged else done
        kb = KnowledgeBase.open(out)
        view = kb.view()
        state = dict(zip(view.ids, view.labels, strict=True))
        # the last turn may have been committed and not acknowledged
        assert state in (expected(done), expected(done + 1)), f"kill {turn}"
        done += state != expected(done)
        assert kb.names.num_docs == len(state)
        assert all(kb.names.exact(label) == [(id, 1.0)] for id, label in state.items())
    calm = KnowledgeBase.create(tmp_path / "calm")
    same = {"E-same": "d" * 2000}
    calm.upsert(Entity(id, label, description=same.get(id, "")) for id, label in expected(done).items())
    assert calm.content_hash() == kb.content_hash()
    assert done > KILLS // 4, "too slow for the kills to mean anything"
