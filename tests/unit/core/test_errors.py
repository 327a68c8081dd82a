"""Every error ends with what to do next; problems are all counted."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from melink import errors, registry
from melink.errors import BadImage, BadRow, MelinkError, NotFound, NotInstalled, Problem, Problems


def test_one_tree() -> None:
    every = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    assert len(every) >= 10
    assert all(issubclass(kind, MelinkError) for kind in every)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in every)


def test_message_and_remedy() -> None:
    error = MelinkError("it broke", "mend it")
    assert (error.message, error.remedy, str(error)) == ("it broke", "mend it", "it broke\n  Try: mend it")
    assert "pip install 'melink[minilm]'" in str(NotInstalled("torch", "minilm"))
    assert "x.png: corrupt: bad data" in str(BadImage("corrupt", "x.png", "bad data"))


def test_unknown_names_come_with_the_closest() -> None:
    assert "did you mean 'zeroshot'?" in str(NotFound.among("method", "zeroshott", ["names", "zeroshot"]))
    assert "choose one of: a, b" in str(NotFound.among("method", "qqq", ["b", "a"]))
    with pytest.raises(NotFound, match="unknown encoder 'minlm'") as wrong:
        registry.load("encoder", "minlm")
    assert "'minilm'" in wrong.value.remedy


def test_problems_are_counted_and_written(tmp_path: Path) -> None:
    problems = Problems(path=tmp_path / "problems.jsonl", keep=2)
    assert problems.summary() == "no problems"
    problems.add("a.jsonl", 3, "not JSON: end")
    problems.add("a.jsonl", 4, "no label", "Q1", kind="no label")
    problems.add("b", None, "no label", kind="no label")
    assert problems.total == 3 and problems.counts == {"not JSON: end": 1, "no label": 2}
    assert [str(each) for each in problems.first] == ["a.jsonl:3: not JSON: end", "a.jsonl:4: no label (id 'Q1')"]
    rows = [json.loads(line) for line in (tmp_path / "problems.jsonl").read_text().splitlines()]
    assert rows[1] == {"file": "a.jsonl", "line": 4, "reason": "no label", "id": "Q1"}
    assert len(rows) == 3
    summary = problems.summary(show=1)
    assert summary.startswith("3 problem(s): 2 no label, 1 not JSON: end")
    assert summary.endswith("… and 2 more")
    counted = Problems()
    counted.counts["image missing"] += 5  # counted without a line for each
    assert counted.summary() == "5 problem(s): 5 image missing"


def test_strict_stops_at_the_first() -> None:
    problems = Problems(strict=True)
    with pytest.raises(BadRow, match=r"f:1: bad \(id 'x'\)") as wrong:
        problems.add("f", 1, "bad", "x")
    assert wrong.value.problem == Problem("f", 1, "bad", "x")
    assert problems.total == 1
