"""``melink link`` over files, pipes and single mentions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from melink.cli import link as link_module
from melink.cli.main import app
from melink.demo.run import Demo
from melink.kb.store import KnowledgeBase
from melink.records import Entity

MELINK = str(Path(sys.executable).with_name("melink"))
LIGHT = ("--generator", "names,fuzzy,persons,lexical")


def run(*arguments: object, input: bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["link", *map(str, arguments)], input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def rows(text: str | bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in text.splitlines()]


def test_a_file_to_a_file_is_what_the_library_gives(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    status, out, err = run(demo.linker.kb.path, demo_mentions, "-o", tmp_path / "links.jsonl")
    assert (status, out) == (0, "") and "wrote 74 links" in err
    found = rows((tmp_path / "links.jsonl").read_bytes())
    assert len(found) == len(demo.samples)
    for row, sample, outcome in zip(found, demo.samples, demo.outcomes, strict=True):
        assert row["id"] == sample.mention.id and row["gold"] == sample.gold
        assert row["mention"] == {
            "text": sample.mention.surface, "start": sample.mention.start, "end": sample.mention.end,
        }  # fmt: skip
        assert row["note"] == sample.extra["note"]  # unknown fields pass through
        assert row["prediction"]["id"] == outcome.link.id and row["prediction"]["nil"] == outcome.link.nil
        assert [c["id"] for c in row["candidates"]] == [c.id for c in outcome.link.candidates]
        assert [c["score"] for c in row["candidates"]] == [c.score for c in outcome.link.candidates]
        assert all(sum(c["features"].values()) == pytest.approx(c["score"], abs=5e-5) for c in row["candidates"])
        assert row["model"] == "zeroshot" and row["kb_version"] == demo.linker.kb.version
    assert {path.name for path in tmp_path.iterdir()} == {"links.jsonl"}


def test_standard_input_to_standard_output(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    """Through real pipes; stdout holds rows and nothing else."""
    kb = demo.linker.kb.path
    command = [MELINK, "link", str(kb), "-", "--top", "3", "--model", "names"]
    done = subprocess.run(command, input=demo_mentions.read_bytes(), capture_output=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    status, _, _ = run(kb, demo_mentions, "--top", 3, "--model", "names", "-o", tmp_path / "links.jsonl")
    assert status == 0
    assert done.stdout == (tmp_path / "links.jsonl").read_bytes()
    assert max(len(row["candidates"]) for row in rows(done.stdout)) == 3


BAD = (
    b"{broken",
    b"[1]",
    b'{"id": "x"}',
    b'{"id": "y", "text": "no mention here"}',
    b'{"id": "demo-001", "text": "a b", "mention": "a"}',
)


def test_bad_rows_are_passed_over_and_reported(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    good = demo_mentions.read_bytes().splitlines()[:3]
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(b"\n".join([good[0], *BAD, b"", good[1], b"\xff\xfe", good[2]]))
    arguments = (demo.linker.kb.path, file, *LIGHT)
    status, out, err = run(*arguments)
    assert status == 0
    assert [row["id"] for row in rows(out)] == ["demo-001", "demo-002", "demo-003"]
    assert "6 problem(s)" in err and "mixed.jsonl:2: not JSON" in err and "a row before has this id" in err
    assert run(*arguments, "--fail-on-bad-rows")[0] == 1
    status, out, err = run(*arguments, "--strict")
    assert status == 2 and "mixed.jsonl:2" in err and err.count("try: ") == 1


def test_missing_pictures_are_no_bad_rows(demo: Demo, tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_bytes(b'{"text": "In Georgia", "mention": "Georgia", "image": "gone.png"}\n')
    status, out, err = run(demo.linker.kb.path, file, *LIGHT, "--fail-on-bad-rows")
    assert status == 0 and "1 problem(s)" in err and "gone.png" in err
    assert "image" not in rows(out)[0]["candidates"][0]["features"]


def test_broken_pictures_are_counted(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    file = tmp_path / "m.jsonl"
    row = b'{"id": "%d", "text": "In Georgia", "mention": "Georgia", "image": "broken.png"}\n'
    file.write_bytes(row % 1 + row % 2)
    status, out, err = run(demo.linker.kb.path, file, *LIGHT)
    assert status == 0 and len(rows(out)) == 2
    assert "1 problem(s): 1 image" in err and "broken.png" in err
    status, out, err = run(demo.linker.kb.path, file, *LIGHT, "--html", tmp_path / "page.html")
    assert "1 problem(s)" in err and (tmp_path / "page.html").read_text().startswith("<!")


def test_one_mention_for_a_person(demo: Demo) -> None:
    image = str(demo.linker.kb.view().column("images")[0][0])
    arguments = (demo.linker.kb.path, "--text", "The moons of Mars", "--mention", "Mars")
    status, out, _ = run(*arguments)
    assert status == 0 and "Q111" in out and "with confidence" in out and "(not calibrated)" in out
    status, out, _ = run(*arguments, "--json", "--top", 2)
    found = orjson.loads(out)
    assert found["prediction"]["id"] == "Q111" and len(found["candidates"]) == 2
    assert found["mention"] == {"text": "Mars", "start": 13, "end": 17} and "image" not in found
    status, out, _ = run(*arguments, "--json", "--image", image)
    assert orjson.loads(out)["image"] == image
    assert any("image" in candidate["features"] for candidate in orjson.loads(out)["candidates"])
    status, out, _ = run(demo.linker.kb.path, "--mention", "Quillmere", "--json")
    assert status == 0 and orjson.loads(out)["prediction"]["nil"]
    status, out, _ = run(demo.linker.kb.path, "--mention", "Quillmere")
    assert "not in the knowledge base" in out


def test_a_broken_picture_of_one_mention_is_said(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    arguments = (demo.linker.kb.path, "--mention", "Mars", "--image", tmp_path / "broken.png", "--json")
    status, out, err = run(*arguments)
    assert status == 0 and "broken.png" in err and orjson.loads(out)["prediction"]["id"]


def test_a_page_of_links(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    arguments = (demo.linker.kb.path, demo_mentions, *LIGHT, "-o", tmp_path / "l.jsonl", "--html", tmp_path / "l.html")
    status, _, err = run(*arguments)
    page = (tmp_path / "l.html").read_text(encoding="utf-8")
    assert status == 0 and "l.html" in err and "74 mentions" in page
    assert page.count("Georgia") > 3 and "data:image/" in page and 'src="/' not in page


def test_settings_and_saved_runs(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    kb = demo.linker.kb.path
    _, out, _ = run(kb, "--mention", "Mars", "--json", "--set", "settings.weights.name=3")
    assert orjson.loads(out)["candidates"][0]["features"]["name"] == 3.0
    demo.linker.save_pretrained(tmp_path / "run")
    _, out, _ = run(kb, "--mention", "Mars", "--json", "--model", tmp_path / "run", "--set", "settings.weights.text=0")
    features = orjson.loads(out)["candidates"][0]["features"]
    assert features["name"] == 1.25 and "text" not in features


def test_given_lists(demo: Demo, demo_mentions: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists.jsonl"
    lists.write_text('{"id": "demo-001", "candidates": ["Q1428", "not-there", {"id": "Q230"}]}\n')
    arguments = (demo.linker.kb.path, demo_mentions, "--generator", "given", "--given", lists)
    status, out, _ = run(*arguments)
    found = rows(out)
    assert status == 0 and {c["id"] for c in found[0]["candidates"]} == {"Q1428", "Q230"}
    assert found[0]["candidates"][0]["sources"].keys() == {"given"}
    assert all(row["prediction"]["nil"] and row["candidates"] == [] for row in found[1:])


def test_an_unencoded_knowledge_base_answers_at_once(
    demo: Demo, demo_copy: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (demo_copy.path, "--mention", "Mars", "--json")
    monkeypatch.setattr(link_module, "FEW", 3)
    _, out, err = run(*arguments)
    assert "dense" in orjson.loads(out)["candidates"][0]["sources"] and err == ""  # it was encoded before
    demo_copy.upsert([Entity(f"new-{at}", f"Name {at}", description="never encoded") for at in range(5)])
    _, out, err = run(*arguments)
    assert "dense" not in orjson.loads(out)["candidates"][0]["sources"] and "5 entities are not encoded" in err
    _, out, err = run(*arguments, "--set", "generators=[dense]")
    assert "dense" in orjson.loads(out)["candidates"][0]["sources"] and "not encoded" not in err


def test_an_added_entity_is_linked_by_the_next_command(demo_copy: KnowledgeBase, tmp_path: Path) -> None:
    row = tmp_path / "new.jsonl"
    row.write_text('{"id": "new", "label": "Quillmere", "description": "Village with one pub."}\n')
    assert CliRunner().invoke(app, ["kb", "add", str(demo_copy.path), str(row)]).exit_code == 0
    _, out, _ = run(demo_copy.path, "--text", "Quillmere has one pub", "--mention", "Quillmere", "--json")
    assert orjson.loads(out)["prediction"]["id"] == "new"


def test_an_empty_file(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").touch()
    status, out, _ = run(demo.linker.kb.path, tmp_path / "m.jsonl", "--model", "names")
    assert (status, out) == (0, "")
    status, _, _ = run(demo.linker.kb.path, tmp_path / "m.jsonl", "--model", "names", "-o", tmp_path / "o.jsonl")
    assert status == 0 and (tmp_path / "o.jsonl").read_bytes() == b""
