"""The cache of answers: what it keeps, what gives way, and files that are something else."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from melink.errors import StoreError
from melink.rerank.cache import Cache, Stored

STORED = Stored("an answer \u202e✓", False, True, 2, False, 100, 10, 40, 1.5)


def test_what_is_put_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.sqlite"
    cache = Cache(path)
    cache.put(b"k" * 32, STORED)
    assert Cache(path).get(b"k" * 32) == STORED
    assert cache.get(b"other") is None and len(cache) == 1
    cache.close()


def test_the_first_answer_stays_but_text_only_gives_way() -> None:
    cache = Cache()
    blind = replace(STORED, text="blind", pictures=0, text_only=True)
    cache.put(b"k", blind)
    cache.put(b"k", replace(blind, text="blind again"))
    assert cache.get(b"k") == blind
    cache.put(b"k", STORED)
    cache.put(b"k", replace(STORED, text="later"))
    cache.put(b"k", blind)
    assert cache.get(b"k") == STORED


def test_free_text_gives_way_to_an_answer_that_was_held_to_a_schema() -> None:
    cache = Cache()
    cache.put(b"k", replace(STORED, text="free", structured=False))
    cache.put(b"k", STORED)
    cache.put(b"k", replace(STORED, text="free", structured=False))
    assert cache.get(b"k") == STORED


def test_abilities_are_those_of_a_server_and_model_and_grow_old() -> None:
    cache = Cache()
    assert cache.ability("s", "m", "pictures", 0) is None
    cache.learn("s", "m", "pictures", False)
    assert cache.ability("s", "m", "pictures", 0) is False
    assert cache.ability("s", "other", "pictures", 0) is None
    assert cache.ability("s", "m", "pictures", 10**11) is None
    cache.learn("s", "m", "pictures", True)
    assert cache.ability("s", "m", "pictures", 0) is True


def test_each_answer_is_on_disk_at_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "a.sqlite")
    assert cache._run("PRAGMA synchronous") == [(2,)]
    assert cache._run("PRAGMA journal_mode") == [("wal",)]


def test_many_open_it_at_once(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def use(number: int) -> None:
        try:
            cache = Cache(tmp_path / "a.sqlite")
            for turn in range(10):
                cache.put(f"{number} {turn}".encode(), STORED)
            cache.close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(Cache(tmp_path / "a.sqlite")) == 80


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_file_that_is_something_else(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.sqlite"):
        Cache(tmp_path / "a.sqlite")
    assert (tmp_path / "a.sqlite").read_bytes() == content


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.sqlite") as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(StoreError, match="not a cache"):
        Cache(tmp_path / "a.sqlite")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file"):
        Cache(tmp_path / "file" / "a.sqlite")
