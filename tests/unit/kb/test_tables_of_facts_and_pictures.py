from __future__ import annotations

from pathlib import Path

import pytest

from melink.errors import InputError, Problems
from melink.kb.images import read_images
from melink.kb.inverse import MOST, named
from melink.kb.items import Relation
from melink.kb.triples import TripleFile, read_relations
from melink.records import Triple


def test_triples_are_read_and_bad_lines_reported(tmp_path: Path):
    path = tmp_path / "t.tsv"
    path.write_bytes(b"Q1\tP1\tQ2\nQ1\tP2\n\nQ1\tP3\tQ9\textra\n\tP1\tQ2\nQ8\tP1\tQ1\nQ\xff\tP1\tQ1\n")
    problems = Problems()
    facts = TripleFile(path).read(problems)
    assert facts.of("Q1") == [Triple("P1", "Q2"), Triple("P3", "Q9")]
    assert [(p.line, problems.counts["bad triple"]) for p in problems.first] == [(2, 2), (5, 2)]


def test_facts_turned_round(tmp_path: Path):
    path = tmp_path / "t.tsv"
    crowd = "".join(f"c{i}\tborn in\tBern\nd{i}\tborn in\tRome\n" for i in range(MOST)) + "more\tborn in\tRome\n"
    path.write_text("film\tcast\tAnn\nAnn\tspouse\tBob\nBob\tspouse\tAnn\nAnn\tknows\tAnn\nAnn\tcast\tplay\n" + crowd)
    facts = TripleFile(path).read(Problems(), inverse=True)
    assert facts.of("Ann") == [
        Triple("spouse", "Bob"), Triple("knows", "Ann"), Triple("cast", "play"), Triple("^cast", "film")
    ]  # fmt: skip
    assert facts.of("Bob") == [Triple("spouse", "Ann")]  # that she is his says the same
    assert facts.of("film") == [Triple("cast", "Ann")]
    assert [fact.tail for fact in facts.of("Bern")] == [f"c{i}" for i in range(MOST)]
    assert facts.of("Rome") == []  # whoever has so many is not told by one of them
    assert named(Relation("P1", "cast member", "who")) == Relation("^P1", "cast member of", "who")
    assert named(Relation("P2", "instance of")) == Relation("^P2", "instance of (inverse)")


def test_unknown_heads_tails_and_relations_are_reported(tmp_path: Path):
    path = tmp_path / "t.tsv"
    path.write_text("Q1\tP1\tQ2\nQ1\tP3\tQ9\nQ8\tP1\tQ1\nQ1\tP3\tQ1\n")
    problems = Problems()
    TripleFile(path).report_unknown({"Q1", "Q2"}, {"P1"}, problems)
    assert [(p.line, p.reason.split(",")[0]) for p in problems.first] == [
        (2, "unknown tail Q9"),
        (3, "unknown head Q8"),
        (2, "no name for relation P3"),
    ]


def test_relations_with_header_without_labels_and_doubled(tmp_path: Path):
    path = tmp_path / "r.tsv"
    path.write_text("pid\tlabel\tdescription\ttriples\nP1\tone\tfirst\t3\nP2\t\nP1\tagain\nP3\tthree\n")
    problems = Problems()
    assert read_relations(path, problems) == [Relation("P1", "one", "first"), Relation("P3", "three")]
    assert problems.counts == {"bad relation": 1, "duplicate relation": 1}


def test_a_folder_of_pictures_named_by_id(tmp_path: Path):
    for name in ("Q1.jpg", "Q1_2.png", "sub/Q2_0.JPG", "notes.txt", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    problems = Problems()
    found = read_images(tmp_path, problems)
    assert found == {
        "Q1": [str(tmp_path / "Q1.jpg"), str(tmp_path / "Q1_2.png")],
        "Q2": [str(tmp_path / "sub/Q2_0.JPG")],
    }
    assert problems.counts == {"not a picture": 1}


def test_an_index_table_in_the_shared_layout(tmp_path: Path):
    folder = tmp_path / "images"
    (folder / "mel").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "mel/m.jpg"):
        (folder / name).touch()
    index = folder / "index.csv"
    index.write_text(
        "file,qids,labels,role\n"
        'images/a.jpg,Q1 Q2,"A, B",entity\n'
        "b.jpg,Q1,A,entity_alt\n"
        "images/mel/m.jpg,Q3,M,mention\n"
        "images/none.jpg,Q1,A,entity\n"
        "images/a.jpg,,unknown,entity\n"
    )
    problems = Problems()
    expected = {"Q1": [str(folder / "a.jpg"), str(folder / "b.jpg")], "Q2": [str(folder / "a.jpg")]}
    assert read_images(index, problems) == expected
    assert problems.counts == {"missing picture": 1, "picture without id": 1}
    assert [p.line for p in problems.first] == [5, 6]
    assert read_images(folder, Problems()) == expected  # the folder has an index


def test_a_table_of_another_form_is_refused(tmp_path: Path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no columns"):
        read_images(tmp_path / "x.csv", Problems())
    with pytest.raises(InputError, match="no such folder"):
        read_images(tmp_path / "none", Problems())
