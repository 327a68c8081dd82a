"""Batches of the language-model client: storms of faults, budgets, kills, Ctrl-C, shared caches. Paid once is paid."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scripted_server import Act, Call, Server, echo, serving

from melink.errors import ConfigError, StoreError
from melink.rerank import llm
from melink.rerank.llm import LanguageModel, LLMSettings, Prices, Request

pytest.importorskip("openai", reason="the extra llm is not installed")
posix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is a signal of POSIX systems")

ROWS = 40
CLIENT = """
import sys
from melink.rerank import llm
from melink.rerank.llm import LanguageModel, LLMSettings, Request
url, cache, workers, rows = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
settings = LLMSettings(url=url, model="m", identity="test", concurrency=workers, first_wait=0.01, timeout=100, grace=60)
with LanguageModel(settings, cache) as model:
    answers = model.ask_all(Request((f"question {n}",)) for n in range(rows))
print(sum(answer.ok for answer in answers), model.tally.cached, model.tally.requests, flush=True)
"""


def settings(url: str, **changes: object) -> LLMSettings:
    values = {"url": url, "model": "m", "identity": "test", "first_wait": 0.01, "timeout": 10, **changes}
    return LLMSettings.model_validate(values)


def asked(count: int) -> list[Request]:
    return [Request((f"question {n}",)) for n in range(count)]


@contextmanager
def client(server: Server, cache: Path, workers: int, rows: int = ROWS) -> Iterator[subprocess.Popen[str]]:
    """A process that asks the rows; killed at the end of the block when it still runs."""
    command = [sys.executable, "-c", CLIENT, server.url, str(cache), str(workers), str(rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(process: subprocess.Popen[str]) -> list[int]:
    """What a client says in the end: how many rows have an answer, how many of them were cached, requests sent."""
    return [int(word) for word in process.communicate(timeout=90)[0].split()]


def kept(cache: Path) -> int:
    with sqlite3.connect(cache) as db:
        return int(db.execute("SELECT count(*) FROM answers").fetchone()[0])


def paid(server: Server) -> Counter[str]:
    """How often each question was answered in full, by the server's own log."""
    return Counter(call.text for call in server.replied)


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("workers", "share"), [(1, 0.1), (1, 0.5), (1, 0.9), (8, 0.5)])
def test_killed_no_completed_request_is_paid_twice(workers: int, share: float, tmp_path: Path) -> None:
    """The server falls silent at a share of the rows; what it had answered is on disk by then, and the client dies."""
    last, silent, reply = int(ROWS * share), threading.Event(), threading.Lock()

    def mute(call: Call) -> None:
        with reply:
            if len(server.replied) < last:
                echo(call)
                return
            silent.set()
        call.hang(60)

    cache = tmp_path / "answers.sqlite"
    with serving(mute) as server:
        with client(server, cache, workers) as process:
            assert silent.wait(60)
            until(lambda: kept(cache) == last)
            process.kill()
        assert len(server.replied) == last

        server.act = echo
        with client(server, cache, workers) as process:
            assert finished(process) == [ROWS, last, ROWS - last]
        assert paid(server) == Counter({f"question {n}": 1 for n in range(ROWS)})


@posix
@pytest.mark.slow
def test_killed_at_any_moment_only_what_was_under_way_is_paid_twice(tmp_path: Path) -> None:
    """Five kills in one batch: no more than one answer per worker is lost by each, and all others are kept."""
    workers, kills, rows, draw = 4, 5, 300, random.Random(3)

    def slow(call: Call) -> None:
        time.sleep(0.02)
        echo(call)

    cache = tmp_path / "answers.sqlite"
    with serving(slow) as server:
        for _ in range(kills):
            target = len(server.calls) + draw.randrange(1, 30)
            with client(server, cache, workers, rows) as process:
                until(lambda target=target: len(server.calls) >= target, 60)  # type: ignore[misc]
                time.sleep(draw.uniform(0, 0.03))
                process.kill()
        held = kept(cache)
        assert 0 < held <= len(server.replied) <= held + kills * workers
        with client(server, cache, workers, rows) as process:
            assert finished(process) == [rows, held, rows - held]
        assert sum(paid(server).values()) - rows <= kills * workers
        assert set(paid(server)) == {f"question {n}" for n in range(rows)}


@posix
@pytest.mark.slow
def test_ctrl_c_keeps_what_is_under_way_and_leaves(tmp_path: Path) -> None:
    waiting = threading.Semaphore(0)

    def slow(call: Call) -> None:
        waiting.release()
        time.sleep(0.5)
        echo(call)

    cache = tmp_path / "answers.sqlite"
    with serving(slow) as server, client(server, cache, 4) as process:
        for _ in range(6):
            assert waiting.acquire(timeout=60)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) != 0
        until(lambda: len(server.replied) == len(server.calls))
        assert kept(cache) == len(server.calls) < ROWS


@posix
@pytest.mark.slow
def test_ctrl_c_twice_leaves_a_server_that_hangs(tmp_path: Path) -> None:
    """The first leaves 60 s to what is under way; the second does not wait for it."""
    with serving(lambda call: call.hang(60)) as server, client(server, tmp_path / "answers.sqlite", 4) as process:
        until(lambda: len(server.calls) == 4, 60)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) != 0


def stormy(share: float, seed: int = 0) -> Act:
    """Fail at random in seven ways."""
    draw = random.Random(seed)
    ways: list[Act] = [
        lambda call: call.refuse(429, "slow down", {"Retry-After": "0"}),
        lambda call: call.refuse(500),
        lambda call: call.refuse(503),
        Call.reset,
        lambda call: call.send(b'{"choices": [{"mess'),
        lambda call: call.send(b'{"choices"', length=900),
        lambda call: call.hang(20),
    ]
    return lambda call: (draw.choice(ways) if draw.random() < share else echo)(call)


@pytest.mark.slow
def test_a_storm_of_faults_ends_with_every_row_answered_or_marked(tmp_path: Path) -> None:
    with serving(stormy(0.3)) as server:
        limits = settings(server.url, timeout=1.5, concurrency=8, retries=4)
        with LanguageModel(limits, tmp_path / "a.sqlite") as model:
            answers = model.ask_all(asked(200))
        assert all((answer.text == f"you said question {n}") is answer.ok for n, answer in enumerate(answers))
        assert all(answer.failure and answer.detail for answer in answers if not answer.ok)
        tally = model.tally
        assert tally.answered + sum(tally.failures.values()) == 200 and tally.cached == 0
        assert tally.answered >= 170 and tally.failures["timeout"] > 0
        assert tally.requests == len(server.calls) == 200 + tally.retries
        assert tally.retries > 40
        assert set(paid(server).values()) == {1}
        assert kept(tmp_path / "a.sqlite") == tally.answered

        server.act, missing = echo, 200 - tally.answered
        with LanguageModel(limits, tmp_path / "a.sqlite") as model:
            assert all(answer.ok for answer in model.ask_all(asked(200)))
        assert (model.tally.cached, model.tally.requests) == (200 - missing, missing)


def test_a_second_run_costs_nothing_and_works_offline(tmp_path: Path) -> None:
    prices = Prices(input=3, output=15)
    with serving(echo) as server:
        first = settings(server.url, prices=prices)
        with LanguageModel(first, tmp_path / "a.sqlite") as model:
            paid_for = model.ask_all(asked(5))
        assert model.tally.cost == pytest.approx(5 * (100 * 3 + 10 * 15) / 1e6)
    for again in (first, settings(server.url, prices=prices, offline=True, key_env="NOT_SET")):
        with LanguageModel(again, tmp_path / "a.sqlite") as model:
            answers = model.ask_all(asked(5))
        assert [answer.text for answer in answers] == [answer.text for answer in paid_for]
        assert all(answer.cached and answer.cost == 0 for answer in answers)
        assert (model.tally.requests, model.tally.cost, model.tally.tokens) == (0, 0, 0)
    with LanguageModel(again, tmp_path / "a.sqlite") as model:
        assert [answer.failure for answer in model.ask_all(asked(6))] == [None] * 5 + ["offline"]


def test_equal_requests_of_a_batch_are_asked_once() -> None:
    with serving(echo) as server, LanguageModel(settings(server.url)) as model:
        answers = model.ask_all([Request(("same",))] * 30 + [Request(("same",), sample=1)])
        assert len({answer.text for answer in answers}) == 1
        assert (len(server.calls), model.tally.answered, model.tally.cached) == (2, 2, 29)


def test_answers_come_in_order_and_so_many_at_a_time() -> None:
    under_way, most, lock = [0], [0], threading.Lock()

    def count(call: Call) -> None:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(random.uniform(0.005, 0.03))
        with lock:
            under_way[0] -= 1
        echo(call)

    with serving(count) as server, LanguageModel(settings(server.url, concurrency=5)) as model:
        answers = model.ask_all(asked(60))
    assert [answer.text for answer in answers] == [f"you said question {n}" for n in range(60)]
    assert most[0] == 5


def test_inside_a_running_event_loop() -> None:
    async def notebook(url: str) -> str:
        with LanguageModel(settings(url)) as model:
            return model.ask(asked(1)[0]).text + model.ask(asked(2)[1]).text

    with serving(echo) as server:
        assert asyncio.run(notebook(server.url)) == "you said question 0you said question 1"


@pytest.mark.parametrize("workers", [1, 7])
def test_max_requests_is_exact_and_a_later_run_goes_on(workers: int, tmp_path: Path) -> None:
    with serving(echo) as server:
        limits = settings(server.url, max_requests=12, concurrency=workers)
        for run, answered in enumerate((12, 24, 30)):
            with LanguageModel(limits, tmp_path / "a.sqlite") as model:
                answers = model.ask_all(asked(30))
            assert sum(answer.ok for answer in answers) == answered
            assert all(answer.failure == "budget" and not answer.asked for answer in answers if not answer.ok)
            assert len(server.calls) == min(12 * (run + 1), 30)
        assert set(paid(server).values()) == {1}


def test_further_attempts_count_as_requests() -> None:
    with serving(lambda call: call.refuse(500, "down")) as server:
        with LanguageModel(settings(server.url, max_requests=3, concurrency=1)) as model:
            answers = model.ask_all(asked(3))
        assert len(server.calls) == 3
        assert [answer.failure for answer in answers] == ["server_error", "budget", "budget"]


@pytest.mark.parametrize(
    ("limit", "spent"),
    [
        ({"max_tokens": 2000}, lambda tally: tally.tokens / 2000),
        ({"max_cost": 0.006}, lambda tally: tally.cost / 0.006),
    ],
)
def test_budgets_of_tokens_and_money_hold_with_many_workers(
    limit: dict[str, float], spent: Callable[[object], float]
) -> None:
    """Every answer uses 110 tokens, that is 0.00045; at most 64 tokens of answer are set aside for each."""
    with serving(echo) as server:
        limits = settings(server.url, concurrency=8, answer_tokens=64, prices={"input": 3, "output": 15}, **limit)
        with LanguageModel(limits) as model:
            answers = model.ask_all([Request((f"question {n} " + "words " * 50,)) for n in range(40)])
            assert 0.8 < spent(model.tally) <= 1
            assert [answer.failure for answer in model.ask_all(asked(2))] == ["budget"] * 2
        assert len(server.calls) == sum(answer.ok for answer in answers) < 40
        assert next(iter(limit)) in answers[-1].detail


def test_a_request_that_timed_out_counts_as_paid() -> None:
    with serving(lambda call: call.hang(5)) as server:
        with LanguageModel(settings(server.url, timeout=0.3)) as model:
            model.ask(asked(1)[0])
        assert model.tally.estimated == model.tally.tokens > 256


def test_a_key_that_is_not_there_is_told_before_anything_is_sent() -> None:
    with serving(echo) as server, LanguageModel(settings(server.url, key_env="NOT_THERE_AT_ALL")) as model:
        with pytest.raises(ConfigError, match="NOT_THERE_AT_ALL is not set"):
            model.ask_all(asked(3))
        assert server.calls == []


@pytest.mark.slow
def test_several_processes_share_a_cache(tmp_path: Path) -> None:
    cache = tmp_path / "answers.sqlite"
    with serving(echo) as server:
        with client(server, cache, 4, 150) as first, client(server, cache, 4, 150) as second:
            said = [finished(first), finished(second)]
        assert [answered for answered, _, _ in said] == [150] * 2
        assert kept(cache) == 150
        assert len(server.calls) == sum(sent for _, _, sent in said) <= 300
    with sqlite3.connect(cache) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_cache_that_cannot_keep_an_answer_stops_the_batch(tmp_path: Path) -> None:
    cache = tmp_path / "a.sqlite"
    with serving(echo) as server, LanguageModel(settings(server.url, concurrency=2), cache) as model:
        model.ask_all(asked(3))
        with sqlite3.connect(cache) as db:
            db.execute("DROP TABLE answers")
        with pytest.raises(StoreError, match=r"a\.sqlite"):
            model.ask_all(asked(50))
        assert len(server.calls) <= 5


def test_ctrl_c_while_the_batch_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    real, pressed = threading.Event.wait, []

    def interrupted(self: threading.Event, timeout: float | None = None) -> bool:
        if timeout == llm._POLL and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        return real(self, timeout)

    monkeypatch.setattr(threading.Event, "wait", interrupted)

    def slow(call: Call) -> None:
        time.sleep(0.1)
        echo(call)

    with serving(slow) as server, LanguageModel(settings(server.url, concurrency=2)) as model:
        with pytest.raises(KeyboardInterrupt):
            model.ask_all(asked(100))
        assert len(server.calls) <= 4
        assert model.tally.answered == len(server.calls)
