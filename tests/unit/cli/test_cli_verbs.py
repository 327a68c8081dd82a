"""Every verb: help with examples, errors as two lines and exit status 2, data apart from talk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner

from melink import __version__, progress, registry
from melink.cli.common import FAILED, INTERRUPTED, report, verb
from melink.cli.main import GROUPS, VERBS, app
from melink.cli.options import resolve, split
from melink.datasets.mentions import PASSED_OVER
from melink.demo.run import Demo
from melink.errors import ConfigError, InputError, Problems
from melink.runs import Run, write_run


def commands() -> Iterator[list[str]]:
    command = typer.main.get_command(app)
    assert hasattr(command, "commands")
    for name, inside in sorted(command.commands.items()):
        if hasattr(inside, "commands"):
            yield from ([name, verb] for verb in sorted(inside.commands))
        else:
            yield [name]


COMMANDS = list(commands())


def run(*arguments: object, input: str | bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)], input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_every_verb_of_the_contract_is_there() -> None:
    names = {" ".join(command) for command in COMMANDS}
    assert names >= {
        "demo", "link", "evaluate", "candidates", "encode", "train", "methods", "encoders", "doctor",
        "kb build", "kb add", "kb stats", "kb show", "kb search", "datasets check",
    }  # fmt: skip
    assert {name.split()[0] for name in names} == {*VERBS, *GROUPS}


@pytest.mark.parametrize("verb", ["train", "train-reranker", "curve"])
def test_cpu_hides_accelerators_from_everything(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from frozen encoders and mining, which ask for the best device: torch sees none."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    files = ["--train", tmp_path / "no", "--valid", tmp_path / "no", "-o", tmp_path / "out"]
    arguments = {"train-reranker": [tmp_path, "--run", "names"]}.get(verb, ["biencoder", tmp_path])
    assert run(verb, *arguments, *files)[0] == 2 and os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert run(verb, *arguments, *files, "--cpu")[0] == 2 and os.environ["CUDA_VISIBLE_DEVICES"] == "-1"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_examples(command: list[str]) -> None:
    status, out, err = run(*command, "--help")
    assert status == 0 and err == ""
    assert "Example" in out and f"melink {' '.join(command)}" in out


def test_help_and_version_of_the_program() -> None:
    assert run("--version") == (0, f"{__version__}\n", "")
    status, out, _ = run("--help")
    assert status == 0 and all(name in out for name in (*VERBS, *GROUPS))
    status, _, err = run("lnik")
    assert status == 2 and "lnik" in err


def test_methods_as_json() -> None:
    status, out, err = run("methods", "--json")
    rows = orjson.loads(out)
    assert status == 0 and err == ""
    assert [row["name"] for row in rows] == registry.names("method")
    assert all(set(row) == {"name", "paper", "needs", "trains"} for row in rows)
    status, out, _ = run("methods")
    assert status == 0 and "zeroshot" in out


def test_errors_are_two_lines_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    @verb
    def broken() -> None:
        raise InputError("row [/] of [file] is bad", "mend [it]")

    with pytest.raises(typer.Exit) as stop:
        broken()
    out, err = capsys.readouterr()
    assert stop.value.exit_code == FAILED == 2 and out == ""
    assert err == "error: row [/] of [file] is bad\ntry: mend [it]\n"
    progress.enable(False)


def test_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    @verb
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as stop:
        stopped()
    assert stop.value.exit_code == INTERRUPTED == 130
    assert "same command goes on" in capsys.readouterr().err


def test_an_error_that_nobody_foresaw_keeps_its_traceback() -> None:
    @verb
    def wrong() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wrong()


def test_only_rows_that_were_left_out_are_bad_rows(capsys: pytest.CaptureFixture[str]) -> None:
    report(Problems(), fail=True)
    repaired = Problems()
    repaired.add("f", 1, "span moved", kind="span repaired")
    repaired.counts["image missing"] += 1
    report(repaired, fail=True)
    assert "2 problem(s)" in capsys.readouterr().err
    for kind in PASSED_OVER:
        bad = Problems()
        bad.add("f", 1, kind, kind=kind)
        report(bad)
        with pytest.raises(typer.Exit) as stop:
            report(bad, fail=True)
        assert stop.value.exit_code == 1


def test_names_separated_by_commas() -> None:
    assert split("names, lexical,,dense ") == ["names", "lexical", "dense"]
    assert split("") == []


def test_options_become_a_run(tmp_path: Path) -> None:
    assert resolve("zeroshot") == Run(method="zeroshot")
    saved = Run(encoder="some/clip", generators=("names",), k=9, settings={"weights": {"name": 2.0, "text": 3.0}})
    write_run(saved, tmp_path, "x")
    assert resolve(str(tmp_path)) == saved
    assert resolve(str(tmp_path), generators="fuzzy, lexical").generators == ("fuzzy", "lexical")
    file = tmp_path / "run.yaml"
    file.write_text("k: 5\nsettings: {weights: {text: 1}}\n")
    found = resolve(str(tmp_path), "lexical", config=file, overrides=["settings.weights.name=4", "k=6"])
    assert (found.k, found.generators, found.encoder) == (6, ("lexical",), "some/clip")
    assert found.settings == {"weights": {"name": 4, "text": 1}}
    alone = resolve(str(tmp_path), text_encoder="minilm")
    assert alone.encoder is None and alone.text_encoder == "minilm"  # the pair would win
    with pytest.raises(ConfigError, match="both sides"):
        resolve("zeroshot", text_encoder="minilm", encoder="some/clip")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["link", "nowhere", "m.jsonl"], ["no file m.jsonl"]),
        (["link", "{kb}"], ["nothing to link", "--text"]),
        (["link", "{kb}", "absent.jsonl"], ["no file absent.jsonl"]),
        (["link", "nowhere", "{mentions}"], ["no such knowledge base", "melink kb build"]),
        (["link", "{kb}", "{mentions}", "--model", "zeroshoot"], ["unknown model", "'zeroshot'"]),
        (["link", "{kb}", "{mentions}", "--generator", "fuzy"], ["unknown generator 'fuzy'", "'fuzzy'"]),
        (["link", "{kb}", "{mentions}", "--generator", ","], ["no candidate generator"]),
        (["link", "{kb}", "{mentions}", "--model", "names", "--set", "settings.nill=1"], ["nill", "known keys"]),
        (["link", "{kb}", "{mentions}", "--set", "k"], ["expected key=value"]),
        (["link", "{kb}", "{mentions}", "--config", "absent.yaml"], ["absent.yaml"]),
        (["link", "{kb}", "--text", "a", "--mention", "a", "--image", "absent.png"], ["no picture absent.png"]),
        (["link", "{kb}", "{mentions}", "--image", "{mentions}"], ["--image is the picture of --mention"]),
        (["link", "{kb}", "{mentions}", "--text", "a"], ["one mention"]),
        (["link", "{kb}", "-", "--html", "x.html"], ["--html reads the mentions twice"]),
        (["link", "{kb}", "{mentions}", "--generator", "given"], ["--given"]),
        (["link", "{kb}", "{mentions}", "--encoder", "minilm", "--text-encoder", "minilm"], ["both sides"]),
        (["link", "{kb}", "{mentions}", "--text-encoder", "minilmm"], ["unknown encoder 'minilmm'", "'minilm'"]),
        (["link", "{kb}", "{mentions}", "--candidates", "100"], ["--candidates '100'", "'full'", "--set k=100"]),
        (["link", "{kb}", "{mentions}", "--candidates", "full", "--generator", "names"], ["without generators"]),
        (["link", "{kb}", "{mentions}", "--shortlist", "5", "--given", "x.jsonl"], ["without generators"]),
        (["link", "{kb}", "{mentions}", "--shortlist", "5", "--model", "names", "-o", "x"], ["nothing to shortlist"]),
        (["evaluate", "{kb}", "{mentions}", "--shortlist", "5", "--candidates", "9"], ["--candidates 9", "leave one"]),
        (["evaluate", "{kb}", "{mentions}", "--shortlist", "5", "--model", "names"], ["nothing to shortlist by"]),
        (["evaluate", "nowhere", "{mentions}"], ["no such knowledge base"]),
        (["evaluate", "{kb}", "absent.jsonl"], ["no file absent.jsonl"]),
        (["evaluate", "{kb}", "{mentions}", "--candidates", "ful"], ["--candidates 'ful'", "'full' or a number"]),
        (["evaluate", "{kb}", "{mentions}", "--candidates", "0"], ["--candidates '0'"]),
        (["evaluate", "{kb}", "{mentions}", "--ties", "best"], ["--ties 'best'", "mean, optimistic, pessimistic"]),
        (["evaluate", "{kb}", "{mentions}", "--miss", "hit"], ["--miss 'hit'", "inject_gold"]),
        (["evaluate", "{kb}", "{mentions}", "--miss", "inject_gold"], ["without a number of candidates"]),
        (["evaluate", "{kb}", "{mentions}", "--slice", "x.tsv"], ["NAME=FILE.tsv"]),
        (["evaluate", "{kb}", "{mentions}", "--slice", "x=absent.tsv"], ["absent.tsv"]),
        (["candidates", "{kb}", "absent.jsonl"], ["no file absent.jsonl"]),
        (["candidates", "{kb}", "{mentions}", "--entity-text", "statik"], ["statik", "did you mean 'static'"]),
        (["candidates", "{kb}", "{mentions}", "--entity-text", "static"], ["melink enrich descriptions"]),
        (["candidates", "{kb}", "{mentions}", "--generator", "given", "--given", "absent.jsonl"], ["absent.jsonl"]),
        (["train", "zeroshoot", "{kb}", "--valid", "{mentions}", "-o", "run"], ["unknown model"]),
        (["train", "names", "{kb}", "--valid", "absent.jsonl", "-o", "run"], ["no file absent.jsonl"]),
        (["encode", "nowhere"], ["no such knowledge base"]),
        (["encode", "{kb}", "--entity-text", "abstract", "--image-encoder", "none"], ["abstract", "description"]),
    ],
    ids=lambda value: " ".join(value[:6]) if isinstance(value, list) else "",
)
def test_what_cannot_work_is_said(
    demo: Demo,
    demo_mentions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"{kb}": str(demo.linker.kb.path), "{mentions}": str(demo_mentions)}
    status, out, err = run(*(places.get(argument, argument) for argument in arguments))
    assert status == 2, err
    assert out == ""
    lines = err.strip().splitlines()
    assert lines[-2].startswith("error: ") and lines[-1].startswith("try: ")
    assert all(word in err for word in words)
    assert list(tmp_path.iterdir()) == []  # and nothing is left behind


def test_a_reader_that_goes_away_is_no_error(demo: Demo, demo_mentions: Path) -> None:
    command = [str(Path(sys.executable).with_name("melink"))]
    arguments = ["link", str(demo.linker.kb.path), str(demo_mentions), "--model", "names"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
