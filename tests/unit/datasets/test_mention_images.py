"""Pictures of mentions: by name, by id in an index, never outside the folder, never from the network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from melink.datasets.images import MISSING, REFUSED, URL, Found, ImageResolver
from melink.datasets.mentions import read_mentions
from melink.errors import InputError, NotFound, Problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("pictures/a.jpg", "pictures/sub/b.png", "beside.png", "secret.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.jpg", "pictures/a.jpg"),
        ("sub/b.png", "pictures/sub/b.png"),
        ("elsewhere/a.jpg", "pictures/a.jpg"),
        ("a.png", "pictures/a.jpg"),
        ("a.orig.tif", "pictures/a.jpg"),
    ],
)
def test_by_name(folder: Path, name: str, found: str):
    assert ImageResolver(folder / "pictures").find(name) == Found(str(folder / found))


@pytest.mark.parametrize(
    "name",
    ["../secret.jpg", "sub/../../secret.jpg", "{root}/secret.jpg", "/etc/hostname", "..", "../pictures/../secret.jpg"],
)
def test_names_cannot_leave_the_folder(folder: Path, name: str):
    found = ImageResolver(folder / "pictures").find(name.format(root=folder))
    assert found == Found(problem=REFUSED)


def test_absolute_name_inside_the_folder(folder: Path):
    inside = str(folder / "pictures" / "a.jpg")
    assert ImageResolver(folder / "pictures").find(inside) == Found(inside)


@pytest.mark.parametrize(
    "name", ["http://x/a.jpg", "HTTPS://x/a.jpg", "file:///etc/passwd", "data:image/png;base64,x", "//x/a"]
)
def test_urls_are_not_fetched(folder: Path, name: str):
    for resolver in (ImageResolver(folder / "pictures"), ImageResolver(beside=folder)):
        assert resolver.find(name) == Found(problem=URL)


@pytest.mark.parametrize("name", ["gone.jpg", "nul\0.jpg", "x" * 5000, ".", "sub", "\n"])
def test_missing(folder: Path, name: str):
    assert ImageResolver(folder / "pictures").find(name) == Found(problem=MISSING)


def test_no_picture_is_no_problem(folder: Path):
    assert ImageResolver(folder / "pictures").find(None, "m1") == Found()
    assert ImageResolver().find("") == Found()


def test_beside_the_file(folder: Path):
    assert ImageResolver(beside=folder).find("beside.png") == Found(str(folder / "beside.png"))
    assert ImageResolver(beside=folder / "pictures").find("../beside.png") == Found(str(folder / "beside.png"))
    both = ImageResolver(folder / "pictures", beside=folder)
    assert both.find("beside.png") == Found(str(folder / "beside.png"))
    assert both.find("../beside.png").path is None


def test_index(folder: Path):
    index = folder / "pictures" / "index.csv"
    rows = [
        "file,qids,role,mention_ids,note",
        'pictures/a.jpg,Q1 Q2,mention,m1 m2,"with, comma"',
        "sub/b.png,Q3,,,",
        "beside.png,Q5,entity,,",
    ]
    rows += ["../secret.jpg,Q4,mention,m9,", "pictures/gone.jpg,Q4,mention,m8,"]
    index.write_text("\n".join(rows) + "\n")
    for source in (index, folder / "pictures"):
        resolver = ImageResolver(source)
        assert resolver.find("other.jpg", "m2") == Found(str(folder / "pictures" / "a.jpg"))
        assert resolver.find("b.png", "m7") == Found(str(folder / "pictures" / "sub" / "b.png"))
        assert resolver.find("none.jpg", "m8") == Found(problem=MISSING)
    assert ImageResolver(index).find("beside.png").path is None  # the picture of an entity
    # a path of the index is looked for in its folder and the one above it, and stays inside them
    assert ImageResolver(index).find("x.jpg", "m9").path is None


def test_wrong_sources(folder: Path):
    with pytest.raises(NotFound, match="no images at"):
        ImageResolver(folder / "none")
    (folder / "table.csv").write_text("name,size\na,1\n")
    with pytest.raises(InputError, match="no column 'file'"):
        ImageResolver(folder / "table.csv")


def test_problems_of_pictures_are_counted(folder: Path):
    names = ("a.jpg", "../secret.jpg", "http://x/y", "no")
    rows = [json.dumps({"text": "a", "mention": "a", "image": name}) for name in names]
    path = folder / "m.jsonl"
    path.write_text("\n".join(rows))
    problems = Problems()
    found = list(read_mentions(path, folder / "pictures", problems))
    assert [item.mention.image is None for item in found] == [False, True, True, True]
    assert problems.counts == {REFUSED: 1, URL: 1, MISSING: 1}
    assert found[1].extra == {"image": "../secret.jpg"}  # what was not used passes through


def test_release_pictures_that_nobody_asked_for_are_only_counted(folder: Path):
    path = folder / "m.jsonl"
    path.write_text('{"text": "a", "mention": "a", "image_file": "21717.jpg"}')
    problems = Problems()
    list(read_mentions(path, problems=problems))
    assert (problems.counts, problems.first) == ({MISSING: 1}, [])
    problems = Problems()
    list(read_mentions(path, folder / "pictures", problems))
    assert len(problems.first) == 1
