"""Recorded evaluations: what their files must hold, what is measured, when another run agrees."""

from __future__ import annotations

import copy
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from melink.cli.main import app
from melink.config import parse
from melink.errors import ConfigError, NotFound
from melink.evaluate.agreement import agrees, apart, lines, ranking
from melink.evaluate.measured import Measured, measured
from melink.evaluate.replay import check_data, plan
from melink.evaluate.reproduction import Reproduction, find, folder, read, read_all

BUILD = "melink kb build kb --entities {data}/entities.jsonl"
RECORD: dict[str, Any] = {
    "name": "names-tiny",
    "method": "names",
    "benchmark": "tiny",
    "commands": [BUILD, "melink evaluate kb {data}/valid.jsonl --json out.json"],
    "protocol": {
        "split": "tiny", "split_hash": "a" * 16, "kb": "3 entities", "kb_size": 3, "kb_hash": "b" * 16,
        "candidates": "full", "ties": "mean", "miss_policy": "miss",
    },
    "unpublished": "nobody did",
    "ours": {
        "overall": {"n": 4, "figures": {"hits@1": 0.5, "mrr": 0.7}, "nil": {"n_nil": 2, "f1": 0.6}},
        "slices": {"ambiguous": {"n": 2, "figures": {"hits@1": 0.25}}},
    },
    "tolerance": {"hits@1": 0.01},
    "date": "2026-01-31",
    "machine": "2 cores",
}  # fmt: skip
SEEDED = [BUILD, "melink evaluate kb {data}/valid.jsonl --seed {seed} --json out-{seed}.json"]
PROTOCOL = {
    **RECORD["protocol"], "split_hash": "a" * 64, "kb_hash": "b" * 64, "generators": [], "approximate": None,
    "method": "names",
}  # fmt: skip


def record(**changes: Any) -> Reproduction:
    return parse(Reproduction, {**copy.deepcopy(RECORD), **changes})


def result(hits: float, mr: float | None = 2.0, **more: Any) -> dict[str, Any]:
    figures = {"n": 4, "hits@1": hits, "mrr": hits / 2, "mr": mr, "ci95": {"hits@1": [0.1, 0.9]}}
    return {"overall": figures, "slices": {"empty": {"n": 0}, "half": {"n": 2, "hits@1": hits}}, **more}


@pytest.mark.parametrize("found", read_all(), ids=lambda each: each.name)
def test_the_commands_that_come_with_melink_exist(found: Reproduction) -> None:
    for command in found.commands:
        words = shlex.split(command)[1:]
        verb: Any = typer.main.get_command(app)
        while hasattr(verb, "commands"):
            verb = verb.commands[words.pop(0)]
        known = {option for each in verb.params for option in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if re.match("--?[a-z]", word)} <= known


def test_what_comes_with_melink_is_found() -> None:
    assert folder().is_dir()
    assert find("names-wikimel").benchmark == "WikiMEL valid"
    with pytest.raises(NotFound, match=r"(?s)unknown reproduction 'names-wikimell'.*'names-wikimel'"):
        find("names-wikimell")


def test_a_file_is_named_by_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "names-tiny.yaml"
    path.write_text(yaml.safe_dump(RECORD))
    assert find(str(path)) == read(path) == record()
    path.rename(tmp_path / "other.yaml")
    with pytest.raises(ConfigError, match=r"call the file names-tiny\.yaml"):
        read(tmp_path / "other.yaml")
    path.write_text("- a list")
    with pytest.raises(ConfigError, match="expected keys and values"):
        read(path)
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        find(str(tmp_path / "gone.yaml"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"commands": []}, "commands"),
        ({"commands": ["rm -r x"]}, "not a melink command"),
        ({"commands": [BUILD]}, "the last command must be"),
        ({"commands": [BUILD, "melink evaluate kb {data}/v.jsonl"]}, "the last command must be"),
        ({"commands": [BUILD, "melink evaluate kb {home}/v.jsonl --json out.json"]}, r"placeholder \{home\}"),
        ({"commands": ["melink evaluate kb v.jsonl --json /elsewhere/out.json"]}, "must lie in the folder"),
        ({"commands": ["melink evaluate kb v.jsonl --json ../out.json"]}, "must lie in the folder"),
        ({"commands": ["melink evaluate kb v.jsonl --json {data}/out.json"]}, "must lie in the folder"),
        ({"commands": SEEDED}, "belong together"),
        ({"ours": {**RECORD["ours"], "seeds": [1]}}, "belong together"),
        ({"unpublished": None}, "unpublished"),
        ({"published": [{"figures": {"hits@1": 0.5}, "source": "Paper"}]}, "unpublished"),
        ({"published": [{"figures": {}, "source": "Paper"}], "unpublished": None}, "figures"),
        ({"tolerance": {"hits@2": 0.1}}, "hits@2"),
        ({"tolerance": {"ambiguous/mrr": 0.1}}, "ambiguous/mrr"),
        ({"tolerance": {}}, "tolerance"),
        ({"name": "a b"}, "name"),
        ({"protocol": {**RECORD["protocol"], "miss_policy": "hit"}}, "miss_policy"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_record_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        record(**changes)


def test_one_result_for_several_seeds_is_refused() -> None:
    commands = [BUILD, "melink evaluate kb {data}/v.jsonl --seed {seed} --json out.json"]
    with pytest.raises(ConfigError, match="several seeds would write one result"):
        record(commands=commands, ours={**RECORD["ours"], "seeds": [1, 2]})
    assert record(commands=commands, ours={**RECORD["ours"], "seeds": [1]}).result() == "out.json"


def test_figures_have_names() -> None:
    ours = record().ours
    found = [ours.get(name) for name in ("hits@1", "nil/f1", "ambiguous/hits@1", "hits@9", "nil/x", "ambiguous/nil/f1")]
    assert found == [0.5, 0.6, 0.25, None, None, None]


def test_what_one_run_measured() -> None:
    found = measured([result(0.123456789)])
    assert found.overall.figures == {"hits@1": 0.12346, "mrr": 0.06173, "mr": 2.0}
    assert found.overall.ci95 == {"hits@1": (0.1, 0.9)} and found.overall.sd == {} and found.seeds == ()
    assert list(found.slices) == ["half"]


def test_what_several_seeds_measured() -> None:
    """Mean (0.4 + 0.6) / 2; sample deviation sqrt((0.1² + 0.1²) / 1)."""
    found = measured([result(0.4), result(0.6, mr=None)], [3, 4])
    assert found.seeds == (3, 4)
    assert found.overall.figures == {"hits@1": 0.5, "mrr": 0.25}
    assert found.overall.sd == {"hits@1": 0.14142, "mrr": 0.07071}
    assert found.overall.ci95 == {}
    assert found.slices["half"].figures == {"hits@1": 0.5}


def test_nil_is_recorded_where_there_is_some() -> None:
    some, none = ({"nil": {"n_nil": n, "n_predicted": n, "f1": f1}} for n, f1 in ((3, 0.5), (0, None)))
    with_nil = result(0.5)
    with_nil["overall"] |= some
    assert measured([with_nil]).overall.nil == {"n_nil": 3, "n_predicted": 3, "f1": 0.5}
    without = result(0.5)
    without["overall"] |= none
    assert measured([without]).overall.nil == {}


@pytest.mark.parametrize(
    ("hits", "within"), [(0.5, True), (0.51, True), (0.49, True), (0.5101, False), (0.4899, False), (None, False)]
)
def test_only_what_is_tolerated_agrees(hits: float | None, within: bool) -> None:
    figures = {"mrr": 0.1} if hits is None else {"hits@1": hits, "mrr": 0.1}
    now = parse(Measured, {"overall": {"n": 4, "figures": figures}})
    found = {line.figure: line for line in lines(record(), now)}
    assert found["hits@1"].within is within
    assert found["mrr"].within is None and found["mrr"].difference == -0.6
    assert agrees(list(found.values()), []) is within


def test_published_figures_stand_beside_ours() -> None:
    papers = [
        {"figures": {"hits@1": 0.9}, "source": "A", "differs": "test split"},
        {"figures": {"hits@1": 0.8, "ambiguous/hits@1": 0.3}, "source": "B"},
    ]
    found = record(published=papers, unpublished=None)
    shown = {line.figure: line.published for line in lines(found, found.ours)}
    assert shown == {"hits@1": 0.9, "mrr": None, "nil/f1": None, "ambiguous/hits@1": 0.3}


@pytest.mark.parametrize(
    ("changes", "fatal"),
    [
        ({}, {}),
        ({"split_hash": "c" * 64}, {"split_hash": True}),
        ({"kb_hash": "c" * 64}, {"kb_hash": False}),
        ({"kb_size": 4, "ties": "optimistic"}, {"kb_size": True, "ties": True}),
        ({"candidates": 100, "generators": ["names"]}, {"candidates": True, "generators": True}),
        ({"approximate": 0.9}, {"approximate": True}),
        ({"shortlist": 16, "approximate": 0.9}, {"shortlist": True, "approximate": True}),
        ({"method": "zeroshot"}, {}),
    ],
)
def test_another_protocol_is_told(changes: dict[str, Any], fatal: dict[str, bool]) -> None:
    found = apart(record().protocol, [PROTOCOL, {**PROTOCOL, **changes}])
    assert {each.term: each.fatal for each in found} == fatal
    assert agrees([], found) is not any(fatal.values())


def test_the_recall_of_a_shortlist_may_differ_from_run_to_run() -> None:
    told = {"shortlist": 16, "approximate": 0.9}
    terms = record(protocol={**RECORD["protocol"], **told}).protocol
    assert apart(terms, [{**PROTOCOL, **told, "approximate": 0.91}]) == []
    assert [each.term for each in apart(terms, [{**PROTOCOL, **told, "shortlist": 17}, PROTOCOL])] == ["shortlist"]
    assert ranking(terms) == "all ranked, approximately by a shortlist of 16, recall 0.9000"


def test_the_plan_of_several_seeds(tmp_path: Path) -> None:
    found = record(commands=SEEDED, ours={**RECORD["ours"], "seeds": [1, 2]})
    steps = plan(found, tmp_path, [7, 8])
    assert [step.output for step in steps] == ["kb", "out-7.json", "out-8.json"]
    assert [step.after for step in steps] == [None, steps[0], steps[0]]
    assert steps[1].words == (
        "melink",
        "evaluate",
        "kb",
        f"{tmp_path}/valid.jsonl",
        "--seed",
        "7",
        "--json",
        "out-7.json",
    )


def test_a_step_is_told_from_another_by_command_data_and_steps_before(tmp_path: Path) -> None:
    def keys(data: Path, **changes: Any) -> list[str]:
        return [step.key() for step in plan(record(**changes), data)]

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file in ("entities.jsonl", "valid.jsonl"):
            (tmp_path / name / file).write_text("{}\n")
    for path in tmp_path.rglob("*.jsonl"):
        os.utime(path, (1, 1))
    first = keys(tmp_path / "one")
    assert keys(tmp_path / "two") == first  # wherever the data lie
    build, evaluate = RECORD["commands"]
    longer = keys(tmp_path / "one", commands=[build, evaluate.replace("valid.jsonl", "valid.jsonl --ties mean")])
    assert longer[0] == first[0] and longer[1] != first[1]
    where = keys(tmp_path / "one", commands=[f"{build} --where text", evaluate])
    assert where[0] != first[0] and where[1] != first[1]
    (tmp_path / "two" / "valid.jsonl").write_text("[]\n")
    assert keys(tmp_path / "two")[0] == first[0] and keys(tmp_path / "two")[1] != first[1]


def test_missing_data_are_named(tmp_path: Path) -> None:
    (tmp_path / "entities.jsonl").touch()
    with pytest.raises(NotFound) as wrong:
        check_data(plan(record(), tmp_path), tmp_path)
    assert wrong.value.message == f"{tmp_path} lacks: {tmp_path / 'valid.jsonl'}"
    assert "docs/reproductions.md" in wrong.value.remedy and "--data" in wrong.value.remedy
    (tmp_path / "valid.jsonl").touch()
    check_data(plan(record(), tmp_path), tmp_path)


def test_data_in_a_folder_with_a_space(tmp_path: Path) -> None:
    step = plan(record(), tmp_path / "my data")[1]
    assert step.reads == (tmp_path / "my data" / "valid.jsonl",)
    assert shlex.split(step.line()) == list(step.words)
