from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from melink.errors import Problems
from melink.kb.add import add_file
from melink.kb.build import build
from melink.kb.store import KnowledgeBase
from melink.records import Entity, Triple

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
triples = st.builds(Triple, words, words, st.booleans())
entities = st.builds(
    Entity, words, words, st.tuples(words), words, words, words, st.tuples(words, words), st.tuples(triples)
)


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    return KnowledgeBase.create(tmp_path_factory.mktemp("invariants") / "kb")


calm = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@calm
@given(given_entities=st.lists(entities, min_size=1, max_size=5, unique_by=lambda e: e.id), seed=st.integers())
def test_order_and_batches_do_not_show_in_the_hash(kb: KnowledgeBase, given_entities: list[Entity], seed: int):
    kb.delete(kb.view().ids)
    kb.upsert(given_entities)
    once = kb.content_hash()
    assert [kb.get(e.id).triples[0].tail for e in given_entities] == [e.triples[0].tail for e in given_entities]
    kb.upsert(given_entities)
    assert kb.content_hash() == once
    kb.delete(e.id for e in given_entities)
    assert kb.content_hash() == f"{0:064x}"
    random.Random(seed).shuffle(given_entities)
    for entity in given_entities:
        kb.upsert([entity])
    assert kb.content_hash() == once
    kb.upsert([Entity(given_entities[0].id, given_entities[0].label + "x")])
    assert kb.content_hash() != once


@calm
@given(entity=entities)
def test_every_name_finds_its_entity(kb: KnowledgeBase, entity: Entity):
    kb.upsert([entity])
    for name in entity.names:
        assert not kb.names.exact(name, 200) or entity.id in [id for id, _ in kb.names.exact(name, 200)]


def flip(raw: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(raw))
    return raw[:place] + bytes([raw[place] ^ 1 << rng.randrange(8)]) + raw[place + 1 :]


def cut(raw: bytes, rng: random.Random) -> bytes:
    return raw[: rng.randrange(len(raw))]


def insert(raw: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(raw))
    bad = [b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\xe2\x80\xae"]
    what = [*bad, b"{", b'"', b",", b"[" * 2000, b"9" * 400]
    return raw[:place] + rng.choice(what) + raw[place:]


def drop(raw: bytes, rng: random.Random) -> bytes:
    row = json.loads(raw)
    del row[rng.choice(list(row))]
    return json.dumps(row).encode()


def swap(raw: bytes, rng: random.Random) -> bytes:
    row = json.loads(raw)
    texts = ["", " ", "x" * 300_000, "\ud800", "a\0b", "\n", "../" * 100, "/" + "n" * 900]
    values = [None, 7, -0.5, True, [], [[]], {}, {"a": [1]}, ["a", None], 10**30, *texts]
    row[rng.choice(list(row))] = rng.choice(values)
    return json.dumps(row).encode()


def nest(raw: bytes, rng: random.Random) -> bytes:
    depth = rng.choice([10, 300, 2000])
    return raw[:-1] + b', "deep": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


def glue(raw: bytes, rng: random.Random) -> bytes:
    return rng.choice([raw + raw, b"[" + raw + b"]", b"", b"   ", b"null", raw.decode().encode("utf-16")])


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [flip, cut, insert, drop, swap, nest, glue]
ROW = {
    "qid": "", "label": "A name", "aliases": ["B", "Ç"], "description": "text", "extract": "More.", "types": ["human"],
    "attributes": "Sex: male. Birth: 1900, Here.", "triples": [["P1", "Q1"]], "image": "x.jpg", "images": ["y.jpg"],
    "sitelinks": 3,
}  # fmt: skip


@pytest.mark.parametrize("way", ["build", "add"])
def test_2000_mutated_rows_are_each_stored_or_reported(tmp_path: Path, way: str):
    rng, lines = random.Random(7), []
    for i in range(2000):
        raw = json.dumps(ROW | {"qid": f"Q{i}"}, ensure_ascii=False).encode()
        for _ in range(rng.randrange(1, 3)):
            raw = rng.choice(MUTATIONS)(raw, rng) if raw.startswith(b"{") and is_json(raw) else raw
        lines.append(raw.replace(b"\n", b" ").replace(b"\r", b" "))
    path = tmp_path / "e.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    problems = Problems()
    if way == "build":
        kb = build(tmp_path / "kb", path, problems=problems).kb
    else:
        kb = KnowledgeBase.create(tmp_path / "kb")
        add_file(kb, path, problems)
    empty = sum(not line.strip() for line in lines)
    assert len(kb) + problems.total + empty == 2000
    assert 200 < len(kb) < 1800
    assert kb.content_hash()
    view = kb.view()
    assert all(label.strip() for label in view.labels)
    assert [view.entity(row).id for row in range(len(view))] == view.ids
    assert all(kb.search(label, 1) for label in view.labels[:50])


def is_json(raw: bytes) -> bool:
    try:
        return isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError):
        return False
