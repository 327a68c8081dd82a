from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from melink.kb.items import Unusable
from melink.kb.jsonl import MAX_NAME, MAX_TEXT, JsonRows
from melink.records import Entity, Triple


def parse(row: object, folder: Path = Path("/nowhere")) -> Entity | None:
    return JsonRows(folder)(row if isinstance(row, bytes) else orjson.dumps(row))


def test_every_field_of_the_published_rows(tmp_path: Path):
    (tmp_path / "a.jpg").touch()
    entity = parse(
        {
            "qid": "Q1", "label": " Ann ", "aliases": ["A.", "Ann", "A."], "description": "d", "types": ["human"],
            "attributes": "Sex: female.", "attributes_long": "Sex: female. Occupation: actor.", "extract": "e",
            "type_qids": ["Q5"], "sitelinks": 3,
            "triples": [["P31", "Q5"], {"relation": "r", "tail": "t", "literal": True}],
            "image": "a.jpg", "images": ["b.png"], "empty": None,
        },
        tmp_path,
    )  # fmt: skip
    assert entity == Entity(
        "Q1", "Ann", ("A.",), "d", "Sex: female.", "e", ("human",),
        (Triple("P31", "Q5"), Triple("r", "t", True), Triple("sex", "female", True)),
        (str(tmp_path / "b.png"), str(tmp_path / "a.jpg")),
        {"attributes_long": "Sex: female. Occupation: actor.", "type_qids": ["Q5"], "sitelinks": 3},
    )  # fmt: skip


@pytest.mark.parametrize(
    "row", [{"id": "x", "name": "X"}, {"entity_id": "x", "label": "X"}, {"qid": "x", "label": "X"}]
)
def test_other_names_of_id_and_label(row: dict[str, str]):
    assert parse(row) == Entity("x", "X")


def test_an_image_that_is_no_file_is_a_commons_name():
    entity = parse({"id": "x", "label": "X", "image": "Some file.jpg", "entity_type": "city"})
    assert entity is not None
    assert (entity.images, entity.extra, entity.types) == ((), {"commons_image": "Some file.jpg"}, ("city",))


def test_what_kb_show_prints_can_be_added_again():
    row = {"relation": "P1", "tail": "Q2", "literal": False, "relation_label": "of", "tail_label": "B"}
    entity = parse({"id": "x", "label": "X", "triples": [row], "extra": {"a": 1}})
    assert entity is not None
    assert (entity.triples, entity.extra) == ((Triple("P1", "Q2"),), {"a": 1})


def test_an_empty_line_is_nothing():
    assert parse(b"  ") is None


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (b"{not json", "not JSON"),
        (b'{"id": "x", "label": "\xff"}', "not JSON"),
        (b'{"id": "x", "label": "\\ud800"}', "not JSON"),
        (b'{"id": "x", "label": NaN}', "not JSON"),
        (b"[" * 5000 + b"]" * 5000, "not JSON"),
        (b'{"id":"x","label":"X","deep":' + b"[" * 600 + b"]" * 600 + b"}", "bad field"),
        (["x"], "not an object"),
        (3, "not an object"),
        ({"label": "X"}, "no id"),
        ({"id": "", "label": "X"}, "no id"),
        ({"id": ["x"], "label": "X"}, "wrong type"),
        ({"id": True, "label": "X"}, "wrong type"),
        ({"id": " x", "label": "X"}, "bad id"),
        ({"id": "a\nb", "label": "X"}, "bad id"),
        ({"id": "a\0b", "label": "X"}, "bad id"),
        ({"id": "x" * (MAX_NAME + 1), "label": "X"}, "bad id"),
        ({"id": "x"}, "no label"),
        ({"id": "x", "label": "  "}, "no label"),
        ({"id": "x", "label": 7}, "wrong type"),
        ({"id": "x", "label": "X\0"}, "NUL character"),
        ({"id": "x", "label": "X" * (MAX_NAME + 1)}, "too long"),
        ({"id": "x", "label": "X", "extract": "e" * (MAX_TEXT + 1)}, "too long"),
        ({"id": "x", "label": "X", "aliases": {"a": 1}}, "wrong type"),
        ({"id": "x", "label": "X", "aliases": ["a", 1]}, "wrong type"),
        ({"id": "x", "label": "X", "description": ["d"]}, "wrong type"),
        ({"id": "x", "label": "X", "triples": "P31"}, "wrong type"),
        ({"id": "x", "label": "X", "triples": [["P31"]]}, "bad triple"),
        ({"id": "x", "label": "X", "triples": [["P31", ""]]}, "bad triple"),
        ({"id": "x", "label": "X", "triples": [["P31", 5]]}, "wrong type"),
        ({"id": "x", "label": "X", "triples": [{"relation": "r"}]}, "wrong type"),
        ({"id": "x", "label": "X", "triples": [{"relation": "r", "tail": "t", "literal": 1}]}, "bad triple"),
        ({"id": "x", "label": "X", "more": "m" * 1_000_001}, "too long"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: object, kind: str):
    with pytest.raises(Unusable) as caught:
        parse(row)
    assert caught.value.kind == kind
    assert str(caught.value)


def test_the_problem_names_the_id_when_it_could_be_read():
    with pytest.raises(Unusable) as caught:
        parse({"id": "x", "label": 7})
    assert caught.value.id == "x"
