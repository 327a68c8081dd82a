"""A trained run directory as its users have it: linked with, moved, copied, damaged; and a method without one."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from melink.cli.main import app
from melink.demo.run import Demo
from melink.errors import InputError, NotFound
from melink.linker import Linker
from melink.records import Link

LIGHT = ("--set", "train.negatives.generators=[names]", "--set", "train.epochs=1", "--set", "settings.hidden=8")


def melink(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def trained(demo: Demo, lessons: Path, small_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with tensors and a tuned encoder."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    files = ("--train", lessons / "train.jsonl", "--valid", lessons / "valid.jsonl", "-o", folder)
    settings = ("--text-encoder", small_bert, "--set", "settings.tune=1", *LIGHT)
    status, out, err = melink("train", "biencoder", demo.linker.kb.path, *files, *settings, "--json")
    assert status == 0, err
    made = orjson.loads(out)
    assert made["run"] == str(folder) and made["metrics"]["training mentions"] == 31
    return folder


def answers(folder: Path, demo: Demo) -> list[Link]:
    return Linker.from_pretrained(folder, demo.linker.kb).link([sample.mention for sample in demo.samples])


def test_moved_it_answers_as_before(trained: Path, demo: Demo, tmp_path: Path) -> None:
    before = answers(trained, demo)
    assert any(link.candidates[0].sources.get("dense") for link in before if link.candidates)
    moved = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(trained, moved)
    assert answers(moved, demo) == before
    config = orjson.loads((moved / "config.json").read_bytes())
    assert config["text_encoder"] == "run:encoder?pooling=mean&max_tokens=64" and "folder" not in config


def test_saved_again_it_answers_as_before(trained: Path, demo: Demo, tmp_path: Path) -> None:
    linker = Linker.from_pretrained(trained, demo.linker.kb)
    linker.save_pretrained(tmp_path / "copy")
    linker.save_pretrained(trained)  # onto itself
    assert answers(tmp_path / "copy", demo) == answers(trained, demo)
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [
        "README.md", "config.json", "encoder", "model.safetensors",
    ]  # fmt: skip


def test_the_command_line_links_and_evaluates_with_it(
    trained: Path, demo: Demo, demo_mentions: Path, tmp_path: Path
) -> None:
    kb = demo.linker.kb.path
    status, _, err = melink("link", kb, demo_mentions, "--model", trained, "-o", tmp_path / "links.jsonl")
    assert status == 0, err
    assert len((tmp_path / "links.jsonl").read_bytes().splitlines()) == 74
    status, out, err = melink("evaluate", kb, demo_mentions, "--model", trained, "--json", "-")
    assert status == 0, err
    result = orjson.loads(out)
    assert result["protocol"]["method"] == "biencoder" and result["overall"]["n"] == 66
    assert result["protocol"]["entity_text_source"].startswith("{label}. {description}")


@pytest.mark.parametrize("verb", ["link", "evaluate"])
def test_without_training_there_is_nothing_to_link_with(verb: str, demo: Demo, demo_mentions: Path) -> None:
    status, _, err = melink(verb, demo.linker.kb.path, demo_mentions, "--model", "biencoder")
    assert status == 2 and "biencoder has to be trained first" in err and "melink train biencoder" in err


def test_training_mentions_are_asked_for(demo: Demo, lessons: Path, tmp_path: Path) -> None:
    arguments = ("--valid", lessons / "valid.jsonl", "-o", tmp_path / "run")
    status, _, err = melink("train", "biencoder", demo.linker.kb.path, *arguments)
    assert status == 2 and "learns from training mentions" in err and "--train" in err


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "gone", "encoder"])
def test_damaged(damage: str, trained: Path, demo: Demo, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    file = folder / "model.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "other":
        config = orjson.loads((folder / "config.json").read_bytes())
        config["settings"]["hidden"] = 9
        (folder / "config.json").write_bytes(orjson.dumps(config))
    elif damage == "gone":
        file.unlink()
    else:
        shutil.rmtree(folder / "encoder")
    wrong = NotFound if damage in ("gone", "encoder") else InputError
    with pytest.raises(wrong, match="encoder" if damage == "encoder" else r"model\.safetensors"):
        Linker.from_pretrained(folder, demo.linker.kb)


def test_an_encoder_of_a_run_needs_the_run(trained: Path, demo: Demo, demo_mentions: Path) -> None:
    arguments = (demo.linker.kb.path, demo_mentions, "--model", "zeroshot", "--text-encoder", "run:encoder")
    status, _, err = melink("link", *arguments)
    assert status == 2 and "lies in a run directory" in err


def test_a_folder_with_a_training_is_not_written_over(
    trained: Path, demo: Demo, lessons: Path, small_bert: Path
) -> None:
    before = (trained / "config.json").read_bytes()
    files = ("--train", lessons / "train.jsonl", "--valid", lessons / "valid.jsonl", "-o", trained)
    status, _, err = melink("train", "biencoder", demo.linker.kb.path, *files, "--text-encoder", small_bert, *LIGHT)
    assert status == 2 and "holds a training already" in err and "--resume" in err
    assert (trained / "config.json").read_bytes() == before
