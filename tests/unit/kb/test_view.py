from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from melink.errors import NotFound
from melink.kb.store import KnowledgeBase
from melink.records import Entity, Triple

ENTITIES = [
    Entity(f"E{i}", f"Name {i}", tuple(f"alias {j}" for j in range(i % 3)), f"d{i}", types=("t",) * (i % 2),
           triples=tuple(Triple("r", f"E{j}") for j in range(i % 4)),
           images=(f"/pictures/{i}.jpg",) * (i % 2), extra={"n": i})
    for i in range(300)
]  # fmt: skip


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    kb = KnowledgeBase.create(tmp_path_factory.mktemp("view") / "kb")
    kb.upsert(ENTITIES)
    return kb


def named(entity: Entity) -> Entity:
    """The entity as it should come back: tails named."""
    triples = tuple(Triple(t.relation, t.tail, tail_label=f"Name {t.tail[1:]}") for t in entity.triples)
    return Entity(entity.id, entity.label, entity.aliases, entity.description, entity.attributes, entity.extract,
                  entity.types, triples, entity.images, entity.extra)  # fmt: skip


def test_the_whole_view_is_in_order_of_id_and_complete(kb: KnowledgeBase):
    view = kb.view()
    assert view is kb.view()
    expected = sorted(map(named, ENTITIES), key=lambda e: e.id)
    assert [view.entity(row) for row in range(len(view))] == expected
    assert view.ids == [e.id for e in expected]
    for name in ("label", "description", "attributes", "extract"):
        assert view.column(name) == [getattr(e, name) for e in expected]
    for name in ("aliases", "types", "images", "triples"):
        assert [tuple(v) for v in view.column(name)] == [getattr(e, name) for e in expected]


@pytest.mark.parametrize("many", [5, 290])
@pytest.mark.parametrize("loaded", [False, True])
def test_taking_keeps_the_order_given_also_with_repeats(kb: KnowledgeBase, many: int, loaded: bool):
    fresh = KnowledgeBase.open(kb.path)
    if loaded:
        fresh.view()
    wanted = [f"E{(i * 7) % 300}" for i in range(many)] + ["E1", "E3", "E1"]
    view = fresh.take(wanted)
    by_id = {e.id: named(e) for e in ENTITIES}
    assert [view.entity(row) for row in range(len(view))] == [by_id[id] for id in wanted]
    assert view.triples(len(view) - 2) == by_id["E3"].triples
    with pytest.raises(NotFound, match="'nobody' and 1 more"):
        fresh.take([*wanted, "nobody", "none"])
    assert len(fresh.take([])) == 0


def test_rows_of_ids(kb: KnowledgeBase):
    view = kb.view()
    assert view.row("nobody") is None
    assert view.ids[view.row("E77") or 0] == "E77"
    np.testing.assert_array_equal(view.rows(["nobody", view.ids[3]]), [-1, 3])
    assert view.rows(["E1"]).dtype == np.int64


def test_keys_tell_contents_apart_and_nothing_else(kb: KnowledgeBase, tmp_path: Path):
    other = KnowledgeBase.create(tmp_path / "kb")
    for i in range(0, 300, 100):
        other.upsert(reversed(ENTITIES[i : i + 100]))
    assert other.view().key == kb.view().key == kb.take(kb.view().ids).key
    assert kb.take(kb.view().ids[:-1]).key != kb.view().key
    keys = {other.view().key}
    for change in ({"triples": ()}, {"aliases": ("alias 0alias 1",)}, {"extra": {}}, {"description": "d"}):
        other.upsert([Entity(**{**{n: getattr(ENTITIES[11], n) for n in Entity.__dataclass_fields__}, **change})])
        keys.add(other.view().key)
    assert len(keys) == 5
