"""Candidates of training mentions that are kept on disk: found again, never taken for others, never trusted blindly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from melink.candidates.base import Generator, Hits
from melink.candidates.fusion import fused
from melink.candidates.load import load_generators
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.records import Entity, Mention
from melink.train.lookup import looked_up

MENTIONS = [Mention(str(n), f"{name} sang", name, 0, len(name)) for n, name in enumerate(["Ann Lee", "Bob Ray", "Zz"])]


class Counted:
    """Asks another generator, and counts how often."""

    def __init__(self, asked: Generator, name: str | None = None) -> None:
        self.asked, self.name, self.calls = asked, name or asked.name, 0

    def search(self, mentions: Sequence[Mention], k: int) -> list[Hits]:
        self.calls += 1
        return self.asked.search(mentions, k)


@pytest.fixture
def kb(make_kb: Callable[..., KnowledgeBase]) -> KnowledgeBase:
    people = ("Ann Lee", "Ann Li", "Bob Ray", "Ann Lee", "Bo Ray")
    return make_kb(*(Entity(f"E{n}", name, description=f"singer {n}") for n, name in enumerate(people)))


@pytest.fixture
def generators(kb: KnowledgeBase) -> list[Counted]:
    return [Counted(each) for each in load_generators(("names", "fuzzy"), kb, FeatureStore(kb.features_dir))]


def found(
    kb: KnowledgeBase, generators: Sequence[Counted], k: int = 4, mentions: Sequence[Mention] = MENTIONS
) -> list[list[int]]:
    return looked_up(generators, mentions, kb.view(), k, kb.features_dir / "candidates", "candidates")


def files(kb: KnowledgeBase) -> list[Path]:
    return sorted((kb.features_dir / "candidates").glob("*"))


def calls(generators: Sequence[Counted]) -> list[int]:
    return [each.calls for each in generators]


def test_the_lists_are_those_of_the_generators_and_the_same_from_disk(
    kb: KnowledgeBase, generators: list[Counted]
) -> None:
    expected = [kb.view().rows(ids).tolist() for ids in fused([each.asked for each in generators], MENTIONS, 4).ids]
    assert expected[0] and expected[1] and expected[0] != expected[1] and expected[2] == []
    assert found(kb, generators) == expected and calls(generators) == [1, 1] and len(files(kb)) == 1
    assert found(kb, generators) == expected and calls(generators) == [1, 1]  # nobody was asked again
    again = KnowledgeBase.open(kb.path)
    assert found(again, generators) == expected and calls(generators) == [1, 1]


def test_what_is_asked_otherwise_is_looked_up(kb: KnowledgeBase, generators: list[Counted]) -> None:
    first = found(kb, generators)
    assert found(kb, generators, k=1) == [row[:1] for row in first] and calls(generators) == [2, 2]
    assert found(kb, generators, mentions=MENTIONS[::-1]) == first[::-1] and calls(generators) == [3, 3]
    other = [Mention("0", "Bob Ray sang", "Bob Ray", 0, 7), *MENTIONS[1:]]
    assert found(kb, generators, mentions=other)[0] == first[1] and calls(generators) == [4, 4]
    assert found(kb, generators[:1])[0] != first[0] and calls(generators) == [5, 4]
    kb.upsert([Entity("E0", "Ann Lee", description="another singer"), Entity("D", "Ann Lee")])
    assert len(found(kb, generators)[0]) == len(first[0]) + 1 and calls(generators) == [6, 5]
    assert len(files(kb)) == 6


def test_ids_of_mentions_do_not_matter(kb: KnowledgeBase, generators: list[Counted]) -> None:
    first = found(kb, generators)
    named = [Mention(f"x{m.id}", m.text, m.surface, m.start, m.end, "picture.png") for m in MENTIONS]
    assert found(kb, generators, mentions=named) == first and calls(generators) == [1, 1]


def test_a_damaged_file_is_looked_up_again_and_mended(kb: KnowledgeBase, generators: list[Counted]) -> None:
    first = found(kb, generators)
    (file,) = files(kb)
    whole = file.read_bytes()
    damaged = [b"", whole[:-1], whole[:40], whole + b"x", bytes(len(whole)), b"\x07" + whole[1:], whole[:-1] + b"\x00"]
    for turn, content in enumerate(damaged, start=2):
        file.write_bytes(content)
        assert found(kb, generators) == first and calls(generators) == [turn, turn]
        assert file.read_bytes() == whole


def test_generators_that_depend_on_more_are_asked_each_time(kb: KnowledgeBase, generators: list[Counted]) -> None:
    dense = Counted(generators[1].asked, "dense")  # its vectors change with the encoder, which the key does not hold
    first = found(kb, [generators[0], dense])
    assert found(kb, [generators[0], dense]) == first and dense.calls == 2 and files(kb) == []


def test_no_generators_give_no_candidates(kb: KnowledgeBase) -> None:
    assert found(kb, []) == [[], [], []] and files(kb) == []


def test_a_folder_that_cannot_be_written_is_no_hindrance(kb: KnowledgeBase, generators: list[Counted]) -> None:
    kb.features_dir.mkdir(exist_ok=True)
    (kb.features_dir / "candidates").write_text("in the way")  # also stops a user who may write everywhere
    first = found(kb, generators)
    assert first[0] and found(kb, generators) == first and calls(generators) == [2, 2]
    (kb.features_dir / "candidates").unlink()
    kb.features_dir.chmod(0o500)
    try:
        assert found(kb, generators) == first
    finally:
        kb.features_dir.chmod(0o700)
