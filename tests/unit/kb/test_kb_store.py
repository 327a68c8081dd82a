from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from melink.errors import InputError, Locked, NotFound, StoreError
from melink.kb.disk import locked, storing
from melink.kb.journal import begin
from melink.kb.store import KnowledgeBase, Written
from melink.records import Entity, Triple

ANN = Entity("Q1", "Ann", ("Annie",), "a singer", triples=(Triple("P19", "Q2"), Triple("sex", "female", True)))
BERN = Entity("Q2", "Bern", types=("city",), images=("bern.jpg",), extra={"sitelinks": 3})


@pytest.fixture
def kb(tmp_path: Path) -> KnowledgeBase:
    kb = KnowledgeBase.create(tmp_path / "kb")
    assert kb.upsert([ANN, BERN]) == Written(2, 0)
    return kb


def test_what_goes_in_comes_out_with_tails_named(kb: KnowledgeBase):
    assert kb.get("Q1").triples == (Triple("P19", "Q2", tail_label="Bern"), Triple("sex", "female", True))
    bern = kb.get("Q2")
    assert (bern.types, bern.extra, bern.images) == (("city",), {"sitelinks": 3}, (str(Path("bern.jpg").absolute()),))
    assert len(kb) == 2
    assert kb.labels(["Q2", "Q9"]) == {"Q2": "Bern"}
    assert kb.relation_label("P19") == ""


def test_pictures_inside_move_with_the_knowledge_base(kb: KnowledgeBase, tmp_path: Path):
    kb.upsert([Entity("Q3", "C", images=(str(kb.path / "pictures" / "c.jpg"),))])
    shutil.copytree(kb.path, tmp_path / "moved")
    moved = KnowledgeBase.open(tmp_path / "moved")
    assert moved.get("Q3").images == (str(tmp_path / "moved/pictures/c.jpg"),)
    assert moved.content_hash() == kb.content_hash()


def test_an_entity_given_again_replaces_the_old_one_and_is_found_at_once(kb: KnowledgeBase):
    assert kb.upsert([Entity("Q1", "Anna"), Entity("Q3", "Chur"), Entity("Q3", "Zug")]) == Written(1, 1)
    assert kb.get("Q1") == Entity("Q1", "Anna")
    assert [id for id, _ in kb.search("zug")] == ["Q3"]
    assert kb.search("annie") == kb.names.exact("chur") == []
    assert kb.upsert([]) == Written(0, 0)


def test_deleting_removes_row_names_and_vectors(kb: KnowledgeBase):
    kb.put_vectors("v", ["Q1", "Q2"], np.eye(2, dtype=np.float32))
    assert kb.delete(["Q1", "nobody", "Q1"]) == 1
    assert kb.search("ann") == []
    assert kb.search_vectors("v", np.ones((1, 2), np.float32), 5)[0] == [["Q2"]]
    with pytest.raises(NotFound, match="'Q1'"):
        kb.get("Q1")


@pytest.mark.parametrize("id", ["", "x'y", "'; DROP TABLE", "\0", "é", "a\\b", "%"])
def test_odd_ids_are_only_unknown_or_found(kb: KnowledgeBase, id: str):
    with pytest.raises(NotFound):
        kb.get(id)
    if id and "\0" not in id:
        kb.upsert([Entity(id, "odd")])
        assert kb.get(id).label == "odd"
        assert kb.delete([id]) == 1


def test_earlier_versions_can_be_read_but_not_written(kb: KnowledgeBase):
    before, before_hash = kb.version, kb.content_hash()
    kb.upsert([Entity("Q3", "Chur")])
    kb.delete(["Q1"])
    old = KnowledgeBase.open(kb.path, before)
    assert (len(old), old.content_hash(), old.get("Q1").label) == (2, before_hash, "Ann")
    assert [id for id, _ in old.search("annie")] == ["Q1"]
    assert old.search("chur") == []
    assert {v["version"] for v in kb.versions()} >= {before, kb.version}
    with pytest.raises(StoreError, match="for reading"):
        old.upsert([ANN])
    with pytest.raises(NotFound, match="no version 999"):
        KnowledgeBase.open(kb.path, 999)


def test_a_view_stays_as_it_was_while_the_knowledge_base_changes(kb: KnowledgeBase):
    view = kb.view()
    kb.upsert([Entity("Q1", "Other", triples=(Triple("P1", "Q3"),))])
    kb.delete(["Q2"])
    assert view.labels == ["Ann", "Bern"]
    assert view.triples(0)[0].tail == "Q2"
    assert kb.view().labels == ["Other"]


def test_another_object_sees_changes_after_refresh(kb: KnowledgeBase):
    other = KnowledgeBase.open(kb.path)
    assert len(other.view()) == 2
    assert other.search("chur") == []
    kb.upsert([Entity("Q3", "Chur")])
    other.refresh()
    assert len(other.view()) == 3
    assert [id for id, _ in other.search("chur")] == ["Q3"]


def test_a_second_writer_is_told_to_wait(kb: KnowledgeBase):
    with locked(kb.path / ".lock"):
        for write in (lambda: kb.upsert([ANN]), lambda: kb.delete(["Q1"])):
            with pytest.raises(Locked, match="another process"):
                write()
        assert kb.get("Q1").label == "Ann"
    kb.upsert([ANN])


def test_a_second_writing_process_is_told_to_wait(kb: KnowledgeBase):
    script = "import sys; from melink.kb.store import KnowledgeBase as K; K.open(sys.argv[1]).delete(['Q1'])"
    with locked(kb.path / ".lock"):
        run = subprocess.run([sys.executable, "-c", script, str(kb.path)], capture_output=True, text=True, check=False)
    assert "Locked" in run.stderr
    assert len(kb) == 2


def test_a_missing_damaged_or_outdated_names_index_is_made_anew(kb: KnowledgeBase, caplog: pytest.LogCaptureFixture):
    folder = kb.path / "gen-0001" / "names"
    shutil.rmtree(folder)
    assert KnowledgeBase.open(kb.path).search("ann")
    (folder / "meta.json").write_text("{}")
    assert KnowledgeBase.open(kb.path).search("ann")
    for file in folder.glob("*.term"):
        file.unlink()  # not cut short in place: this process has it mapped
        file.write_bytes(b"")
    assert KnowledgeBase.open(kb.path).search("ann")
    (folder.parent / "names.json").write_text('{"version": 1}')
    assert KnowledgeBase.open(kb.path).search("ann")
    assert "made anew" in caplog.text


def test_a_left_over_journal_is_worked_off_on_opening(kb: KnowledgeBase):
    folder = kb.path / "gen-0001"
    names = kb.names
    begin(folder, ["Q1", "Q2", "Q3"])
    names.write([Entity("Q1", "Wrong"), Entity("Q3", "Never committed")])
    with locked(kb.path / ".lock"):  # its writer is alive: readers leave it alone
        assert KnowledgeBase.open(kb.path).get("Q1") == kb.get("Q1")
        assert (folder / "journal.json").exists()
    again = KnowledgeBase.open(kb.path)
    assert not (folder / "journal.json").exists()
    assert again.search("wrong") == again.search("never committed") == []
    assert [id for id, _ in again.search("ann")] == ["Q1"]


@pytest.mark.parametrize("listed", [True, False])
def test_what_a_killed_commit_of_the_names_index_left_is_not_in_the_way(
    kb: KnowledgeBase, listed: bool, caplog: pytest.LogCaptureFixture
):
    folder = kb.path / "gen-0001"
    index = folder / "names"
    before = {name: (index / name).read_bytes() for name in ("meta.json", ".managed.json")}
    assert kb.delete(["Q2"]) == 1
    assert len(list(index.glob("*.del"))) == 1  # the next commit would give its file of deletions the same name
    begin(folder, ["Q2"])  # as if killed before the commit was there
    (index / "meta.json").write_bytes(before["meta.json"])
    if not listed:  # after a power failure, tantivy may not even know of it
        (index / ".managed.json").write_bytes(before[".managed.json"])
    again = KnowledgeBase.open(kb.path)
    assert ("made anew" in caplog.text) is not listed
    assert not (folder / "journal.json").exists()
    assert not again.search("bern") and [id for id, _ in again.search("ann")] == ["Q1"]
    assert again.delete(["Q1"]) == 1 and KnowledgeBase.open(kb.path).names.num_docs == 0


def test_many_small_changes_are_compacted_and_stay_right(kb: KnowledgeBase):
    for i in range(40):
        kb.upsert([Entity(f"x{i}", f"Name {i}")])
    assert len(kb) == 42
    assert kb.version > 42  # one each; compaction makes versions of its own
    assert [id for id, _ in kb.names.exact("name 39")] == ["x39"]
    assert KnowledgeBase.open(kb.path).content_hash() == kb.content_hash()


def test_statistics(kb: KnowledgeBase):
    stats = kb.stats()
    expected = {"entities": 2, "aliases": 1, "triples": 2, "triples_id": 1, "triples_literal": 1, "images": 1,
                "with_description": 1, "with_text": 1, "with_types": 1, "with_extract": 0, "relations": 0}  # fmt: skip
    assert {name: stats[name] for name in expected} == expected
    assert stats["content_hash"] == kb.content_hash()
    assert stats["bytes"] > 1000


def test_vectors_exact_search_is_the_inner_product(kb: KnowledgeBase):
    rng = np.random.default_rng(0)
    ids, array = [f"v{i:05}" for i in range(40_000)], rng.standard_normal((40_000, 8), dtype=np.float32)
    array[1] = array[0]
    kb.put_vectors("v", ids, array)
    found, scores = kb.search_vectors("v", array[:3], 4)
    expected = np.sort(array[:3] @ array.T, axis=1)[:, ::-1][:, :4]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    for query, row in zip(array[:3], found, strict=True):
        order = sorted(range(len(ids)), key=lambda i: (-float(np.float32(query @ array[i])), ids[i]))[:4]
        assert set(row) == {ids[i] for i in order}
    assert kb.vectors.names() == ["v"]
    kb.put_vectors("v", ["v00000"], np.full((1, 8), 100, np.float32))
    assert kb.search_vectors("v", np.ones((1, 8), np.float32), 1)[0] == [["v00000"]]


def test_fewer_vectors_than_asked_for(kb: KnowledgeBase):
    kb.put_vectors("v", ["a"], np.ones((1, 2), np.float32))
    found, scores = kb.search_vectors("v", np.ones((2, 2), np.float32), 3)
    assert found == [["a"], ["a"]]
    assert np.isneginf(scores[:, 1:]).all()


@pytest.mark.parametrize(
    ("name", "ids", "array"),
    [
        ("../x", ["a"], np.ones((1, 2))),
        ("v", ["a", "b"], np.ones((1, 2))),
        ("v", ["a", "a"], np.ones((2, 2))),
        ("v", ["a"], np.full((1, 2), np.nan)),
    ],
)
def test_vectors_that_cannot_be_stored(kb: KnowledgeBase, name: str, ids: list[str], array: np.ndarray):
    with pytest.raises(InputError):
        kb.put_vectors(name, ids, array.astype(np.float32))


def test_unknown_vectors_and_other_widths(kb: KnowledgeBase):
    kb.put_vectors("right", ["a"], np.ones((1, 2), np.float32))
    with pytest.raises(NotFound, match="did you mean 'right'"):
        kb.search_vectors("rigth", np.ones((1, 2), np.float32), 1)
    with pytest.raises(InputError, match="another width"):
        kb.put_vectors("right", ["a"], np.ones((1, 3), np.float32))


def test_folders_that_are_no_knowledge_base(tmp_path: Path, kb: KnowledgeBase):
    with pytest.raises(NotFound, match="no such knowledge base"):
        KnowledgeBase.open(tmp_path / "none")
    with pytest.raises(StoreError, match="not a knowledge base"):
        KnowledgeBase.open(tmp_path)
    with pytest.raises(StoreError, match="there is a knowledge base already"):
        KnowledgeBase.create(kb.path)
    (kb.path / "manifest.json").write_text('{"format": 99, "generation": "gen-0001"}')
    with pytest.raises(StoreError, match="another version"):
        KnowledgeBase.open(kb.path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_a_store_error_with_a_remedy():
    with (
        pytest.raises(StoreError, match="disk is full") as caught,
        storing(Path("kb")),
        Path("/dev/full").open("wb") as out,
    ):
        out.write(b"x")
        out.flush()
    assert "free some space" in caught.value.remedy
