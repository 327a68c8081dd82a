"""Ranking the whole knowledge base from the command line: exactly or by a shortlist, evaluated and linked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from melink.cli import link as link_module
from melink.cli.main import app
from melink.demo.run import Demo
from melink.linker import Linker
from melink.methods.base import total

SETTINGS = ("settings.width=12", "settings.names=true", "train.epochs=2", "train.negatives.whole=true")


def run(*arguments: object, input: bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)], input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit | KeyboardInterrupt):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def rows(text: str | bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def model(demo: Demo, lessons: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small MIMIC, trained for a moment on what it mined from the whole knowledge base."""
    folder = tmp_path_factory.mktemp("whole") / "mimic"
    files = ("--train", lessons / "train.jsonl", "--valid", lessons / "valid.jsonl", "-o", folder)
    settings = [word for each in SETTINGS for word in ("--set", each)]
    status, _, err = run("train", "mimic", demo.linker.kb.path, *files, *settings)
    assert status == 0, err
    return folder


def evaluated(demo: Demo, mentions: Path, *arguments: object) -> tuple[dict[str, Any], str]:
    status, out, err = run("evaluate", demo.linker.kb.path, mentions, "--json", "-", *arguments)
    assert status == 0, err
    return dict(orjson.loads(out)), err


def by_hand(demo: Demo, model: Path) -> tuple[np.ndarray, list[list[str]]]:
    """Return all scores, and the ids of the best ten of each mention, without the engine."""
    linker = Linker.from_pretrained(model, demo.linker.kb)
    view, method = demo.linker.kb.view(), linker.method
    scores = total(method.score(method.mentions([s.mention for s in demo.samples]), method.entities(view)))
    order = [sorted(range(len(view)), key=lambda c: (-own[c], c))[:10] for own in scores]
    return scores, [[view.ids[c] for c in best] for best in order]


@pytest.mark.slow
def test_the_plan_that_is_written_is_the_methods_own(model: Path) -> None:
    plan = orjson.loads((model / "config.json").read_bytes())["train"]
    assert (plan["batch"], plan["head_lr"], plan["weight_decay"]) == (128, 1e-3, 1e-4)
    assert plan["epochs"] == 2 and plan["negatives"]["whole"] is True and plan["negatives"]["pool"] == 24


@pytest.mark.slow
def test_evaluated_by_a_shortlist(demo: Demo, demo_mentions: Path, model: Path, tmp_path: Path) -> None:
    exact, err = evaluated(demo, demo_mentions, "--model", model)
    assert exact["protocol"]["shortlist"] is exact["protocol"]["approximate"] is None and "approximate" not in err
    everybody, err = evaluated(demo, demo_mentions, "--model", model, "--shortlist", 9999)
    assert everybody["overall"] == exact["overall"] and everybody["mentions"] == exact["mentions"]
    assert everybody["protocol"]["candidates"] == "full" and everybody["protocol"]["approximate"] == 1.0
    assert "ranked: the whole knowledge base, approximate by a shortlist of 9,999\n" in err  # known before
    assert "the ranking is approximate by a shortlist of 9,999, recall 1.0000 of the exact answer" in err
    page = tmp_path / "r.html"
    few, _ = evaluated(demo, demo_mentions, "--model", model, "--shortlist", 2, "--html", page)
    recall, found = few["protocol"]["approximate"], few["overall"]["candidate_recall"]
    assert few["protocol"]["shortlist"] == 2 and 0 < recall < 1 and 0 < found < 1
    assert few["overall"]["hits@20"] == pytest.approx(found) and few["overall"]["hits@3"] == pytest.approx(found)
    ranks = few["mentions"]["rank"]
    assert sum(rank is None for rank in ranks) == round((1 - found) * len(ranks))  # outside: a miss
    assert set(ranks) <= {None, 1.0, 1.5, 2.0}
    text = page.read_text(encoding="utf-8")
    assert f"The ranking is approximate by a shortlist of 2, recall {recall:.4f} of the exact answer." in text
    assert f"the whole knowledge base, approximate by a shortlist of 2, recall {recall:.4f}" in text


@pytest.mark.slow
def test_compared_with_the_same_shortlist_only(demo: Demo, demo_mentions: Path, model: Path, tmp_path: Path) -> None:
    for name, short in (("exact", ()), ("two", ("--shortlist", 2)), ("three", ("--shortlist", 3))):
        run("evaluate", demo.linker.kb.path, demo_mentions, "--model", model, *short, "--json", tmp_path / name)
    other = orjson.loads((tmp_path / "two").read_bytes())
    other["protocol"] |= {"method": "other", "approximate": 0.123}
    (tmp_path / "other").write_bytes(orjson.dumps(other))
    status, out, err = run("compare", tmp_path / "two", tmp_path / "other", "--json")
    assert status == 0, err
    assert orjson.loads(out)["protocol"]["shortlist"] == 2
    for one, two in (("exact", "two"), ("two", "three")):
        status, _, err = run("compare", tmp_path / one, tmp_path / two)
        assert status == 2 and "different protocols: shortlist: " in err


@pytest.mark.slow
def test_linked_to_the_best_of_everything(demo: Demo, demo_mentions: Path, model: Path, tmp_path: Path) -> None:
    kb, whole = demo.linker.kb.path, ("--model", model, "--candidates", "full")
    scores, best = by_hand(demo, model)
    status, out, err = run("link", kb, demo_mentions, *whole)
    assert status == 0 and err == ""
    found = rows(out)
    assert [[c["id"] for c in row["candidates"]] for row in found] == best
    for row, own in zip(found, scores, strict=True):
        assert [c["score"] for c in row["candidates"]] == pytest.approx(np.sort(own)[::-1][:10].tolist(), abs=1e-2)
        assert all(c["sources"] == {} and c["features"] for c in row["candidates"]) and "shortlist" not in row
    status, _, err = run(
        "link", kb, demo_mentions, *whole, "-o", tmp_path / "links.jsonl", "--html", tmp_path / "l.html"
    )
    assert status == 0 and (tmp_path / "links.jsonl").read_text() == out and (tmp_path / "l.html").is_file()
    assert run("link", kb, "-", *whole, input=demo_mentions.read_bytes())[1] == out
    sample = demo.samples[0].mention
    arguments = ("--text", sample.text, "--mention", sample.surface, "--image", sample.image, "--json")
    status, one, _ = run("link", kb, *arguments, *whole)
    assert status == 0 and orjson.loads(one)["candidates"] == found[0]["candidates"]


@pytest.mark.slow
def test_linked_by_a_shortlist(demo: Demo, demo_mentions: Path, model: Path) -> None:
    kb = demo.linker.kb.path
    _, best = by_hand(demo, model)
    status, out, err = run("link", kb, demo_mentions, "--model", model, "--shortlist", 3)
    found = rows(out)
    right = sum(row["candidates"][0]["id"] == own[0] for row, own in zip(found, best, strict=True))
    assert status == 0 and f"the shortlist of 3 finds the exact best entity of {right} of 74 mentions" in err
    assert {len(row["candidates"]) for row in found} == {3} and {row["shortlist"] for row in found} == {3}
    full = run("link", kb, demo_mentions, "--model", model, "--candidates", "full")[1]
    everybody = run("link", kb, demo_mentions, "--model", model, "--candidates", "full", "--shortlist", 999)
    assert everybody[1].replace(',"shortlist":999', "") == full
    assert "exact best entity of 74 of 74 mentions" in everybody[2]
    status, out, err = run("link", kb, "--mention", "Georgia", "--model", model, "--shortlist", 50)
    assert status == 0 and "of 1 mentions" in err and "Georgia" in out


def test_any_method_links_to_everything(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    status, out, _ = run("link", demo.linker.kb.path, demo_mentions, "--candidates", "full", "--top", 4)
    view, method = demo.linker.kb.view(), demo.linker.method
    scores = total(method.score(method.mentions([s.mention for s in demo.samples]), method.entities(view)))
    best = [[view.ids[c] for c in sorted(range(len(view)), key=lambda c: (-own[c], c))[:4]] for own in scores]
    assert status == 0 and [[c["id"] for c in row["candidates"]] for row in rows(out)] == best


@pytest.mark.parametrize("then", [("--candidates", "full"), ()])
def test_stopped_it_goes_on_as_it_was_begun(
    demo: Demo, demo_mentions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: tuple[str, ...]
) -> None:
    kb, out = demo.linker.kb.path, tmp_path / "links.jsonl"
    monkeypatch.setattr(link_module, "WHOLE", 16)
    undisturbed = run("link", kb, demo_mentions, "--model", "names", *then)[1]
    rank, calls = Linker.rank, []

    def stopped(self: Linker, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return rank(self, *arguments)

    monkeypatch.setattr(Linker, "rank", stopped)
    arguments = ("link", kb, demo_mentions, "--model", "names", "-o", out)
    assert run(*arguments, "--candidates", "full")[0] == 130 and not out.exists()
    monkeypatch.setattr(Linker, "rank", rank)
    status, _, err = run(*arguments, *then)
    assert status == 0 and ("going on after 32 rows" in err) is bool(then)  # what was begun otherwise is begun anew
    assert out.read_text() == undisturbed
