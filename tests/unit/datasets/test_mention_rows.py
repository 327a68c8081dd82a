"""Mentions JSONL: both shapes of row, spans, golds, triples, ids, files."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from melink.datasets.mentions import read_mentions, write_mentions
from melink.errors import BadRow, InputError, NotFound, Problems
from melink.records import NIL, Labelled, Mention, Triple

TEXT = "Jordan met Jordan in Jordan."


def read(folder: Path, *rows: Any, **options: Any) -> tuple[list[Labelled], Problems]:
    path = folder / "mentions.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    problems = Problems(strict=options.pop("strict", False))
    return list(read_mentions(path, problems=problems, **options)), problems


def one(folder: Path, **row: Any) -> tuple[Labelled, Problems]:
    (found,), problems = read(folder, {"id": "m", "sentence": TEXT, "mention": "Jordan"} | row)
    return found, problems


def test_shared_shape(tmp_path: Path):
    row = {"id": "m1", "sentence_id": 7, "start": 11, "end": 17, "qid": "Q810", "namesake_candidates": ["Q41421"]}
    found, problems = one(tmp_path, **row, entity_title="Jordan (country)", split="valid", kb="text")
    assert found.mention == Mention("m1", TEXT, "Jordan", 11, 17)
    assert found.gold == "Q810"
    assert found.extra == {
        "sentence_id": 7,
        "namesake_candidates": ["Q41421"],
        "entity_title": "Jordan (country)",
        "split": "valid",
        "kb": "text",
    }
    assert problems.total == 0


def test_practitioner_shape(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"x")
    mention = {"text": "Jordan", "start": 21, "end": 27, "type": "place"}
    triples = [["Jordan", "borders", "Israel"], ["capital", "Q3805"], {"relation": "P17", "tail": "Q810"}]
    row = {"id": 5, "text": TEXT, "mention": mention, "image": "a.png", "candidates": ["Q1"], "triples": triples}
    (found,), problems = read(tmp_path, row)
    assert found.mention == Mention(
        "5",
        TEXT,
        "Jordan",
        21,
        27,
        str(tmp_path / "a.png"),
        (Triple("borders", "Israel", True), Triple("capital", "Q3805"), Triple("P17", "Q810")),
    )
    assert (found.gold, found.extra) == (None, {"mention_type": "place", "candidates": ["Q1"]})
    assert problems.total == 0


def test_only_text_and_mention(tmp_path: Path):
    (found, second), _ = read(tmp_path, {"text": TEXT, "mention": "Jordan"}, "", {"text": "Amman", "mention": "Amman"})
    assert (found.mention.id, second.mention.id) == ("line-1", "line-3")  # blank lines keep their number
    assert (found.mention.start, found.mention.end) == (0, 6)


@pytest.mark.parametrize(
    ("given", "span", "kind"),
    [
        ((11, 17), (11, 17), None),
        ((12, 18), (11, 17), "span repaired"),
        ((17, 22), (21, 27), "span repaired"),
        ((900, 906), (21, 27), "span repaired"),
        ((-1, 5), (0, 6), "span repaired"),
        (("11", "17"), (0, 6), "span repaired"),
        ((True, 6), (0, 6), "span repaired"),
        ((None, None), (0, 6), None),
    ],
)
def test_spans(tmp_path: Path, given: tuple[Any, Any], span: tuple[int, int], kind: str | None):
    found, problems = one(tmp_path, start=given[0], end=given[1])
    assert (found.mention.start, found.mention.end) == span
    assert list(problems.counts) == ([kind] if kind else [])


def test_span_of_a_name_that_is_not_there(tmp_path: Path):
    found, problems = one(tmp_path, mention="Amman", start=0, end=5)
    assert (found.mention.start, found.mention.end) == (None, None)
    assert problems.counts == {"span not found": 1}
    found, problems = one(tmp_path, mention="Amman")
    assert found.mention.start is None
    assert problems.total == 0  # nobody gave a span, so nothing is wrong


def test_search_prefers_whole_words(tmp_path: Path):
    found, _ = one(tmp_path, sentence="Jordanians of Jordan", mention="Jordan")
    assert found.mention.start == 14
    found, _ = one(tmp_path, sentence="Jordanians", mention="Jordan")
    assert found.mention.start == 0


def test_surface_from_the_span(tmp_path: Path):
    (found,), problems = read(tmp_path, {"text": TEXT, "start": 11, "end": 17})
    assert found.mention.surface == "Jordan"
    (found,), problems = read(tmp_path, {"text": TEXT, "mention": {"start": 21, "end": 27}})
    assert (found.mention.surface, problems.total) == ("Jordan", 0)


@pytest.mark.parametrize(
    ("fields", "gold"),
    [
        ({"qid": "Q1"}, "Q1"),
        ({"gold": "own-7"}, "own-7"),
        ({"answer": 12}, "12"),
        ({"answer": "nil"}, NIL),
        ({"qid": "NIL"}, NIL),
        ({"qid": None}, None),
        ({"qid": " "}, None),
        ({}, None),
        ({"qid": None, "gold": "Q2"}, "Q2"),
    ],
)
def test_gold(tmp_path: Path, fields: dict[str, Any], gold: str | None):
    found, problems = one(tmp_path, **fields)
    assert found.gold == gold
    assert problems.total == 0


def test_gold_of_a_wrong_type_is_reported_and_stays_outside(tmp_path: Path):
    found, problems = one(tmp_path, qid=["Q1"])
    assert found.gold is None
    assert found.extra == {"qid": ["Q1"]}
    assert problems.counts == {"gold unreadable": 1}


@pytest.mark.parametrize("triples", [[["a"]], ["a"], [["a", "b", "c", "d"]], [["r", " "]], [[1, 2]], {"r": "t"}])
def test_bad_triples_are_left_out(tmp_path: Path, triples: Any):
    found, problems = one(tmp_path, triples=triples)
    assert found.mention.triples == ()
    assert problems.counts == {"bad triple": 1}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ('"text"', "not an object"),
        ('{"id": "\\ud800"}', "not JSON"),
        ({"mention": "x"}, "no text"),
        ({"text": "  ", "mention": "x"}, "no text"),
        ({"text": 3, "mention": "x"}, "no text"),
        ({"text": "x"}, "no mention"),
        ({"text": "x", "mention": ""}, "no mention"),
        ({"text": "x", "mention": {"start": 5, "end": 9}}, "no mention"),
    ],
)
def test_unusable_rows(tmp_path: Path, row: Any, kind: str):
    found, problems = read(tmp_path, row, {"text": "fine", "mention": "fine"})
    assert len(found) == 1
    assert problems.counts == {kind: 1}
    assert str(problems.first[0]).startswith(f"{tmp_path / 'mentions.jsonl'}:1: ")


def test_duplicate_ids(tmp_path: Path):
    row = {"id": "m", "text": "first", "mention": "first"}
    found, problems = read(tmp_path, row, row | {"text": "first again"})
    assert [item.mention.text for item in found] == ["first"]
    assert problems.counts == {"duplicate id": 1}
    assert problems.first[0].line == 2


def test_strict_stops(tmp_path: Path):
    with pytest.raises(BadRow, match=r"mentions\.jsonl:2: not JSON"):
        read(tmp_path, {"text": "a", "mention": "a"}, "oops", strict=True)


def test_overlong_line_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("melink.datasets.files.MAX_LINE", 64)
    fine = {"text": "ok", "mention": "ok"}
    found, problems = read(tmp_path, fine, {"text": "x" * 500, "mention": "x"}, fine)
    assert [item.mention.id for item in found] == ["line-1", "line-3"]
    assert problems.counts == {"line too long": 1}


def test_round_trip(tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"x")
    picture = str(tmp_path / "pictures" / "a.png")
    triples = (Triple("P17", "Q810", False, "country", "Jordan"), Triple("capital", "Amman", True))
    items = [
        Labelled(
            Mention("1", TEXT, "Jordan", 0, 6, picture, triples, {"sex": "male"}), "Q1", {"split": "x", "kb": [1]}
        ),
        Labelled(Mention("2", "Näme\t\u2028", "Näme", 0, 4), NIL),
        Labelled(Mention("3", TEXT, "absent"), None, {"image_file": "gone.jpg"}),
    ]
    for name in ("out.jsonl", "out.jsonl.gz"):
        assert write_mentions(items, tmp_path / name) == 3
        problems = Problems()
        assert list(read_mentions(tmp_path / name, problems=problems)) == items
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["image"] == "pictures/a.png"
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == (tmp_path / "out.jsonl").read_bytes()


def test_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    bad = Labelled(Mention("1", "a", "a"), None, {"x": object()})
    with pytest.raises(TypeError):
        write_mentions([bad], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_standard_input(monkeypatch: pytest.MonkeyPatch):
    content = b'\xef\xbb\xbf{"text": "Amman", "mention": "Amman"}\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress(content)))))
    (found,) = read_mentions("-")
    assert found.mention.id == "line-1"


def test_missing_and_damaged_files(tmp_path: Path):
    with pytest.raises(NotFound, match=r"no file .*gone\.jsonl"):
        list(read_mentions(tmp_path / "gone.jsonl"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_mentions(tmp_path))
    cut = gzip.compress(b'{"text": "Amman", "mention": "Amman"}\n' * 1000)[:-20]
    (tmp_path / "cut.jsonl.gz").write_bytes(cut)
    with pytest.raises(InputError, match="damaged"):
        list(read_mentions(tmp_path / "cut.jsonl.gz"))
