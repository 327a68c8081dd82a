"""``melink curve`` over the demo, as its users run it: files, going on, refusals."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest
from typer.testing import CliRunner

from melink.cli.main import app
from melink.demo.run import Demo
from melink.evaluate.systems import read_result
from melink.runs import read_run

SETTINGS = ("--set", "settings.tune=0", "--set", "train.batch=8", "--set", "image_encoder=null")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def command(demo: Demo, demo_mentions: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The command of the curve, over mentions of which every second is for training."""
    folder = tmp_path_factory.mktemp("curve")
    rows = demo_mentions.read_bytes().splitlines(keepends=True)
    (folder / "train.jsonl").write_bytes(b"".join(rows[::2]))
    (folder / "valid.jsonl").write_bytes(b"".join(rows[1::2]))
    ids = [orjson.loads(row)["id"] for row in rows[1:20:2]]
    (folder / "some.tsv").write_text("id\n" + "\n".join(ids) + "\n")
    return [
        "curve", "biencoder", demo.linker.kb.path, "--train", folder / "train.jsonl", "--valid", folder / "valid.jsonl",
        "-o", folder / "out", "--shares", "100,40", "--seeds", "0", "--slice", f"some={folder / 'some.tsv'}", *SETTINGS,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def out(command: list[object]) -> Path:
    """The folder of a finished curve."""
    status, printed, err = run(*command)
    assert status == 0, err
    assert "point 1 of 2: 40%" in err and "point 2 of 2: 100%" in err and "wrote" in err
    assert "Hits@1 by share" in printed and "zeroshot, at 100%" in printed
    return Path(str(command[command.index("-o") + 1]))


@pytest.mark.slow
def test_what_is_written(out: Path) -> None:
    files = {path.name for path in out.iterdir() if path.is_file()}
    assert files == {"index.html", "curve.svg", "seen.svg", "times.svg", "curve.csv", "points.json"}
    for name in ("curve.svg", "seen.svg", "times.svg"):
        assert ElementTree.fromstring((out / name).read_bytes()).tag.endswith("svg")
    points = orjson.loads((out / "points.json").read_bytes())
    assert points["complete"] and [(p["share"], p["seed"]) for p in points["points"]] == [(40, 0), (100, 0)]
    small, large = (p["training_mentions"] for p in points["points"])
    assert 0 < small < large and set(points["references"]) == {"zeroshot", "names"}
    for point in points["points"]:
        result = orjson.loads((out / point["file"]).read_bytes())
        groups = point["groups"]
        assert groups["all"]["hits@1"] == result["overall"]["hits@1"] and groups["some"]["n"] > 0
        assert result["protocol"]["candidates"] == "full" and result["protocol"]["leaks"]["fitted on this split"]
        assert groups["seen_entities"]["n"] + groups["unseen_entities"]["n"] == groups["all"]["n"]
        assert groups["seen_times_0"]["n"] == groups["unseen_entities"]["n"]
        trained = read_run((out / point["file"]).parent)
        assert trained.train is not None and trained.train["seed"] == 0
        assert trained.metrics is not None and trained.metrics["training mentions"] == point["training_mentions"]


@pytest.mark.slow
def test_results_can_be_compared(out: Path) -> None:
    names = read_result(out / "reference-names" / "result.json")
    own = read_result(out / "share-100-seed0" / "result.json")
    own.protocol.comparable_with(names.protocol)
    assert own.mentions.id == names.mentions.id and own.slice("some")
    assert "{surface}" not in own.protocol.entity_text_source and "{label}" in own.protocol.entity_text_source


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(out: Path, command: list[object]) -> None:
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.parent != out}
    kept = (out / "points.json").read_bytes()
    status, printed, err = run(*command, "--json")
    assert status == 0, err
    assert err.count("done before") == 4 and "training" not in err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert orjson.loads(printed) == orjson.loads(kept)


@pytest.mark.slow
def test_an_interrupted_training_goes_on_and_a_lost_result_is_made_again(out: Path, command: list[object]) -> None:
    folder = out / "share-040-seed0"
    stamp = orjson.loads((folder / "point.json").read_bytes())
    kept = {name: (folder / name).read_bytes() for name in ("steps.csv", "model.safetensors")}
    points = (out / "points.json").read_bytes()
    (folder / "point.json").write_bytes(orjson.dumps({**stamp, "trained": False, "evaluated": None}))
    for name in ("result.json", "config.json", "model.safetensors"):
        (folder / name).unlink()
    (out / "share-100-seed0" / "result.json").write_bytes(b'{"overall": {"hi')
    status, _, err = run(*command)
    assert status == 0, err
    assert "40%" in err.split("training")[0] and err.count(": training") == 1 and err.count(": evaluating") == 2
    assert {name: (folder / name).read_bytes() for name in kept} == kept  # from the checkpoint: no step was made again
    assert orjson.loads((out / "points.json").read_bytes()) == orjson.loads(points)


@pytest.mark.slow
def test_another_way_of_judging_trains_nothing(out: Path, command: list[object]) -> None:
    status, printed, err = run(*command, "--candidates", 5, "--generator", "names,fuzzy,persons,lexical", "--json")
    assert status == 0, err
    assert "training" not in err and orjson.loads(printed)["protocol"]["candidates"] == 5


@pytest.mark.slow
def test_points_of_another_curve_are_refused(out: Path, command: list[object]) -> None:
    status, _, err = run(*command, "--set", "train.epochs=1")
    assert status == 2 and "another curve" in err
    status, _, err = run(*command, "--equal-steps")
    assert status == 2 and "another curve" in err


@pytest.mark.slow
def test_equal_steps_are_counted_from_the_methods_own_plan(command: list[object], tmp_path: Path) -> None:
    more = ("--shares", "50", "--seeds", "0", "--no-references", "--equal-steps", "--set", "settings.width=8")
    status, _, err = run("curve", "mimic", *command[2:7], "-o", tmp_path / "out", *more)
    assert status == 0, err
    plan = read_run(tmp_path / "out" / "share-050-seed0").train
    assert plan is not None and (plan["epochs"], plan["patience"]) == (8, 8)  # 4 of its own, at half the mentions
    assert (plan["batch"], plan["head_lr"]) == (128, 1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("names",), "names needs no training mentions"),
        (("zeroshot",), "validation mentions alone"),
        (("nothing",), "unknown method"),
        (("biencoder", "--shares", "0,5"), "above 0"),
        (("biencoder", "--shares", "a"), "--shares"),
        (("biencoder", "--seeds", "1.5"), "--seeds"),
        (("biencoder", "--by", "word"), "sentence, mention, entity"),
        (("biencoder", "--candidates", "some"), "--candidates"),
        (("biencoder", "--slice", "all=x.tsv"), "another name"),
        (("biencoder", "--set", "train.seed=3"), "--seeds"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    command: list[object], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    method, *more = arguments
    status, _, err = run("curve", method, *command[2:7], "-o", tmp_path / "out", *SETTINGS, *more)
    assert status == 2 and words in err, err
    assert not (tmp_path / "out").exists()
