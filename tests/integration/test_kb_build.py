from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from melink.errors import BadRow, ConfigError, InputError, Locked, Problems, StoreError
from melink.kb.build import build
from melink.kb.checkpoint import Checkpoint
from melink.kb.disk import locked
from melink.kb.ingest import Ingest
from melink.kb.store import KnowledgeBase
from melink.records import Entity, Triple

ROWS: list[dict[str, Any]] = [
    {"qid": f"Q{i}", "label": f"Name {i}", "description": f"number {i}"}
    | ({"attributes": f"Sex: male. Birth: {1900 + i}."} if i % 3 else {})
    for i in range(1, 41)
]


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "in"
    (folder / "images").mkdir(parents=True)
    (folder / "e.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "t.tsv").write_text("Q1\tP1\tQ2\nQ1\tP1\tQ3\nQ2\tP9\tQ77\nQ77\tP1\tQ1\n")
    (folder / "r.tsv").write_text("pid\tlabel\nP1\tknows\n")
    for name in ("Q1.jpg", "Q1_1.jpg", "Q99.jpg"):
        (folder / "images" / name).touch()
    return {"entities": folder / "e.jsonl", "triples": folder / "t.tsv", "relations": folder / "r.tsv",
            "images": folder / "images"}  # fmt: skip


def test_everything_comes_together(tmp_path: Path, inputs: dict[str, Any]):
    problems = Problems()
    built = build(tmp_path / "kb", **inputs, problems=problems)
    one = built.kb.get("Q1")
    assert one.triples == (
        Triple("P1", "Q2", relation_label="knows", tail_label="Name 2"),
        Triple("P1", "Q3", relation_label="knows", tail_label="Name 3"),
        Triple("sex", "male", literal=True),
        Triple("birth date", "1901", literal=True),
    )
    assert [Path(image).name for image in one.images] == ["Q1.jpg", "Q1_1.jpg"]
    assert built.kb.get("Q2").triples[0] == Triple("P9", "Q77")
    assert problems.counts == {
        "unknown tail": 1, "unknown head": 1, "unnamed relation": 1, "picture of unknown entity": 1
    }  # fmt: skip
    assert built.content_hash == built.kb.content_hash()
    assert next(id for id, _ in built.kb.search("name 7")) == "Q7"
    assert built.kb.names.tail_doc_freq("male") == 27


def test_facts_of_others_turned_round(tmp_path: Path, inputs: dict[str, Any]):
    problems = Problems()
    built = build(tmp_path / "kb", **inputs, where="attributes", problems=problems, inverse=True)
    two = Triple("^P1", "Q1", relation_label="knows of", tail_label="Name 1")
    assert built.kb.get("Q2").triples[:2] == (Triple("P9", "Q77"), two)
    assert two in KnowledgeBase.open(tmp_path / "kb").get("Q2").triples
    assert built.kb.stats()["relations"] == 2
    assert built.kb.get("Q1").triples[2] == Triple("^P1", "Q77", relation_label="knows of")
    assert problems.counts["unknown head"] == 1
    assert not build(tmp_path / "kb", **inputs, where="attributes", inverse=True).fresh
    plain = build(tmp_path / "kb", **inputs, where="attributes")
    assert plain.fresh and len(plain.kb.get("Q2").triples) == len(built.kb.get("Q2").triples) - 1
    with pytest.raises(InputError, match="no facts to turn round"):
        build(tmp_path / "no", inputs["entities"], inverse=True)


def test_facts_of_others_left_out_entities_too(tmp_path: Path, inputs: dict[str, Any]):
    (tmp_path / "in" / "t.tsv").write_text("Q3\tP1\tQ2\n")  # Q3 has no attributes
    kb = build(tmp_path / "kb", **inputs, where="attributes", inverse=True).kb
    assert kb.view().row("Q3") is None
    assert kb.get("Q2").triples[0] == Triple("^P1", "Q3", relation_label="knows of", tail_label="Name 3")


def test_unchanged_inputs_are_not_built_again_and_force_gives_the_same(tmp_path: Path, inputs: dict[str, Any]):
    first = build(tmp_path / "kb", **inputs)
    again = build(tmp_path / "kb", **inputs)
    assert (first.fresh, again.fresh, again.content_hash) == (True, False, first.content_hash)
    assert again.kb.version == first.kb.version
    forced = build(tmp_path / "kb", **inputs, force=True)
    assert forced.fresh
    assert forced.content_hash == first.content_hash
    assert forced.kb.version > first.kb.version


def test_the_batch_size_does_not_show(tmp_path: Path, inputs: dict[str, Any]):
    hashes = {build(tmp_path / str(batch), **inputs, batch=batch).content_hash for batch in (1, 7, 40, 1000)}
    assert len(hashes) == 1


def test_where_keeps_some_and_the_labels_of_the_tails_of_those(tmp_path: Path, inputs: dict[str, Any]):
    problems = Problems()
    kb = build(tmp_path / "kb", **inputs, where="attributes", problems=problems).kb
    assert len(kb) == 27
    assert kb.get("Q1").triples[1].tail_label == "Name 3"  # Q3 itself was left out
    assert kb.labels(["Q3", "Q6"]) == {"Q3": "Name 3"}  # nobody points to Q6
    assert problems.counts["unknown head"] == 1  # only Q77, which is nowhere
    with pytest.raises(ConfigError):
        build(tmp_path / "other", **inputs, where=["colour"])


def test_bad_rows_are_reported_with_their_lines_and_the_rest_is_there(tmp_path: Path):
    path = tmp_path / "e.jsonl"
    path.write_bytes(
        b'{"id":"a","label":"A"}\nnonsense\n{"id":"b"}\n{"id":"a","label":"A2"}\n\n{"id":"c","label":"C\xff"}\n{"id":"d","label":"D"}'
    )
    problems = Problems(path=tmp_path / "problems.jsonl")
    kb = build(tmp_path / "kb", path, problems=problems).kb
    assert kb.view().labels == ["A", "D"]
    assert [(p.line, p.id) for p in problems.first] == [(2, None), (3, "b"), (4, "a"), (6, None)]
    written = [json.loads(line) for line in (tmp_path / "problems.jsonl").read_text().splitlines()]
    assert [row["line"] for row in written] == [2, 3, 4, 6]
    with pytest.raises(BadRow, match=r"e\.jsonl:2"):
        build(tmp_path / "strict", path, problems=Problems(strict=True))


class Stop(Exception):
    """Stands for a kill between two commits."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes the build stop when it has saved so many checkpoints."""
    save = Checkpoint.save

    def arrange(count: int) -> None:
        left = [count]

        def saving(self: Checkpoint, *args: Any) -> None:
            save(self, *args)
            left[0] -= 1
            if left[0] == 0:
                raise Stop

        monkeypatch.setattr(Checkpoint, "save", saving)

    yield arrange
    monkeypatch.setattr(Checkpoint, "save", save)


@pytest.mark.parametrize("after", range(1, 10))
def test_a_stopped_build_goes_on_and_reads_no_line_twice(
    tmp_path: Path, inputs: dict[str, Any], stop_after: Any, monkeypatch: pytest.MonkeyPatch, after: int
):
    rows = Path(inputs["entities"]).read_text().splitlines()
    Path(inputs["entities"]).write_text("\n".join([*rows[:5], "nonsense", *rows[5:], rows[2], rows[39]]))
    calm = Problems(path=tmp_path / "calm.jsonl")
    undisturbed = build(tmp_path / "calm", **inputs, problems=calm, batch=10)
    stop_after(after)
    with pytest.raises(Stop):
        build(tmp_path / "kb", **inputs, problems=Problems(path=tmp_path / "p.jsonl"), batch=10)
    monkeypatch.undo()
    read = []
    line = Ingest._line
    monkeypatch.setattr(Ingest, "_line", lambda self, *args: (read.append(args[1].number), line(self, *args)))
    problems = Problems(path=tmp_path / "p.jsonl")
    finished = build(tmp_path / "kb", **inputs, problems=problems, batch=10)
    assert finished.resumed
    assert finished.content_hash == undisturbed.content_hash == finished.kb.content_hash()
    assert problems.counts == calm.counts
    assert (tmp_path / "p.jsonl").read_text() == (tmp_path / "calm.jsonl").read_text()
    assert finished.kb.get("Q1").triples[0].relation_label == "knows"
    assert read == list(range(min(read, default=0), 44 if read else 0))
    assert not read or after == 1 or read[0] > 1


def test_changed_inputs_start_anew(tmp_path: Path, inputs: dict[str, Any], stop_after: Any, monkeypatch: Any):
    stop_after(3)
    with pytest.raises(Stop):
        build(tmp_path / "kb", **inputs, batch=10)
    monkeypatch.undo()
    Path(inputs["entities"]).write_text('{"id": "new", "label": "New"}\n')
    built = build(tmp_path / "kb", **inputs)
    assert not built.resumed
    assert built.kb.view().ids == ["new"]


def test_the_one_before_stays_readable_until_the_new_one_is_done(
    tmp_path: Path, inputs: dict[str, Any], stop_after: Any, monkeypatch: Any
):
    old = build(tmp_path / "kb", **inputs).kb
    (old.features_dir).mkdir()
    (old.features_dir / "x").write_text("kept")
    Path(inputs["entities"]).write_text("".join(json.dumps(row) + "\n" for row in ROWS[:30]))
    stop_after(4)
    with pytest.raises(Stop):
        build(tmp_path / "kb", **inputs, batch=10)
    monkeypatch.undo()
    assert len(KnowledgeBase.open(tmp_path / "kb")) == len(old) == 40
    new = build(tmp_path / "kb", **inputs, batch=10)
    assert new.resumed
    assert len(new.kb) == 30
    assert len(old.view()) == 40  # its files stay until the next build
    old.refresh()
    assert len(old) == 30
    assert (old.features_dir / "x").read_text() == "kept"
    assert build(tmp_path / "kb", **inputs, force=True).fresh
    assert sorted(p.name for p in (tmp_path / "kb").glob("gen-*")) == ["gen-0002", "gen-0003"]


def test_a_kill_before_the_manifest_is_written_loses_no_work(tmp_path: Path, inputs: dict[str, Any], monkeypatch: Any):
    def fail(*_: Any) -> None:
        raise Stop

    monkeypatch.setattr("melink.kb.build.write_manifest", fail)
    with pytest.raises(Stop):
        build(tmp_path / "kb", **inputs)
    monkeypatch.undo()
    with pytest.raises(StoreError):
        KnowledgeBase.open(tmp_path / "kb")
    monkeypatch.setattr(Ingest, "run", fail)
    built = build(tmp_path / "kb", **inputs)
    assert built.resumed
    assert built.kb.content_hash() == built.content_hash


def test_a_first_build_that_was_not_finished_says_so(tmp_path: Path, inputs: dict[str, Any], stop_after: Any):
    stop_after(2)
    with pytest.raises(Stop):
        build(tmp_path / "kb", **inputs, batch=10)
    with pytest.raises(StoreError, match="first build was not finished"):
        KnowledgeBase.open(tmp_path / "kb")


def test_a_damaged_unfinished_build_starts_anew(
    tmp_path: Path, inputs: dict[str, Any], stop_after: Any, monkeypatch: Any
):
    stop_after(3)
    with pytest.raises(Stop):
        build(tmp_path / "kb", **inputs, batch=10)
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "kb" / "gen-0001.partial" / "entities.lance")
    built = build(tmp_path / "kb", **inputs)
    assert not built.resumed
    assert len(built.kb) == 40


def test_a_cut_off_archive_is_an_error_and_the_old_one_stays(tmp_path: Path, inputs: dict[str, Any]):
    build(tmp_path / "kb", **inputs)
    packed = gzip.compress(b"".join(b'{"id":"r%d","label":"%d"}\n' % (i, i * 7919 % 1009) for i in range(5000)))
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="cut off"):
        build(tmp_path / "kb", path)
    assert len(KnowledgeBase.open(tmp_path / "kb")) == 40
    point = json.loads((tmp_path / "kb" / "gen-0002.partial" / "progress.json").read_text())
    assert point["line"] > 1000


def test_a_build_keeps_others_from_writing(tmp_path: Path, inputs: dict[str, Any]):
    kb = build(tmp_path / "kb", **inputs).kb
    with locked(kb.path / ".lock"), pytest.raises(Locked):
        build(tmp_path / "kb", **inputs, force=True)


def test_a_folder_with_other_things_is_not_touched(tmp_path: Path, inputs: dict[str, Any]):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("x")
    with pytest.raises(StoreError, match="something else"):
        build(tmp_path / "thesis", **inputs)
    assert (tmp_path / "thesis" / "chapter1.tex").exists()
    with pytest.raises(InputError, match="nothing to build from"):
        build(tmp_path / "kb")
    with pytest.raises(InputError, match="No such file"):
        build(tmp_path / "kb", tmp_path / "none.jsonl")


def test_entities_added_by_hand_stay_when_nothing_is_built(tmp_path: Path, inputs: dict[str, Any]):
    kb = build(tmp_path / "kb", **inputs).kb
    kb.upsert([Entity("mine", "Mine")])
    assert not build(tmp_path / "kb", **inputs).fresh
    assert KnowledgeBase.open(tmp_path / "kb").get("mine").label == "Mine"
