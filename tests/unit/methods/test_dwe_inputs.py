"""What DWE+ reads of a mention: texts, patches, what is said of faces, whom they resemble; and what is missing."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from melink.errors import ConfigError, NotFound
from melink.features.load import load_image, load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.methods.base import Context, total
from melink.methods.dwe import DWE
from melink.methods.dwe_inputs import Reader, Sentences, sentences
from melink.records import Entity, Mention

MakeKB = Callable[..., KnowledgeBase]
Draw = Callable[[str, int], str]


@pytest.fixture
def context(make_kb: MakeKB) -> Context:
    kb = make_kb(
        Entity("E1", "Ann Lee", description="Singer."),
        Entity("E2", "Bo Lee", description="Painter."),
        Entity("E3", "Cy Poe", description="Judge."),
    )
    return Context(kb, FeatureStore(kb.features_dir), load_text("minilm"), load_image("classical"))


def build(context: Context, **settings: Any) -> DWE:
    return DWE.build(context, settings)


def scores(method: DWE, context: Context, mentions: list[Mention]) -> np.ndarray:
    return total(method.score(method.mentions(mentions), method.entities(context.kb.view())))


def shaken(method: DWE, seed: int = 0) -> DWE:
    """Give a method random weights."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.module.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=g) + (parameter == 1))
    method._deploy()
    return method


def test_sentences_stand_between_semicolons() -> None:
    mention = Mention("1", "x", "x", attributes={"identity": " Ann Lee, Bo Lee ;; Cy Poe;"})
    assert sentences(mention, "identity") == ["Ann Lee, Bo Lee", "Cy Poe"]
    assert sentences(mention, "face_attributes") == []


def test_sentences_are_padded() -> None:
    own = Sentences(np.eye(3, dtype=np.float32), ["a", "b", "c"], [[2, 0], [], [1]], [[0.5, 0.25], [], [1.0]])
    vectors, there = own.take(np.array([1, 0, 0, 2]))
    assert there.tolist() == [[False, False], [True, True], [True, True], [True, False]]
    assert vectors[1].argmax(1).tolist() == [2, 0] and vectors[3, 0].argmax() == 1
    assert not vectors[0].any() and not vectors[3, 1].any()
    assert own.sure(np.array([1, 0, 0, 2]), there).tolist() == [[0, 0], [0.5, 0.25], [0.5, 0.25], [1, 0]]
    assert own.take(np.array([1]))[0].shape == (1, 0, 3)


def test_regions_are_patches_until_an_encoder_is_named(context: Context, picture: Draw) -> None:
    reader = Reader(context, "{text}", ["regions", "whole"])
    assert reader.widths == {"regions": 15, "whole": 367}
    items = reader.items([Mention("1", "a b", "a", image=picture("a.png", 1)), Mention("2", "", "c")])
    taken = items.take(np.arange(2), "cpu", torch.float32)
    assert taken.sets["regions"].there.sum(1).tolist() == [16, 0]
    assert taken.sets["whole"].there.tolist() == [[True], [False]]
    assert taken.read.tolist() == [True, False] and not taken.text[1].any()
    assert items.counts("regions").tolist() == [16, 0] and items.counts("faces").tolist() == [0, 0]


def test_a_region_encoder_gives_its_parts_without_their_place(context: Context, picture: Draw) -> None:
    reader = Reader(context, "{text}", ["regions"], "regions?detector=grid&most=3")
    assert reader.widths == {"regions": 367}
    taken = reader.items([Mention("1", "a", "a", image=picture("a.png", 1))]).take(np.arange(1), "cpu", torch.float32)
    vectors, there = taken.sets["regions"]
    assert vectors.shape == (1, 3, 367) and there.all()
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(1, 3), atol=1e-2, rtol=0)


def test_what_nobody_has_is_not_asked(context: Context) -> None:
    items = Reader(context, "{text}", ["regions", "whole", "looks", "identities"]).items([Mention("1", "a", "a")])
    assert items.take(np.arange(1), "cpu", torch.float32).sets == {}


def test_a_bad_picture_is_reported_once_and_is_none(context: Context, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff not a picture")
    method = shaken(build(context, objects="both"))
    mentions = [Mention("1", "Ann Lee sings", "Lee", image=str(bad)), Mention("2", "Ann Lee sings", "Lee")]
    for _ in range(3):
        found = scores(method, context, mentions)
        np.testing.assert_array_equal(found[0], found[1])
    assert sum(context.problems.counts.values()) == 1


@pytest.mark.parametrize(
    "settings",
    [{"objects": "none"}, {"objects": "whole"}, {"objects": "both", "regions": "regions", "faces": "faces"}],
)
def test_bad_pictures_are_reported_once_whoever_reads_them(
    context: Context, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """With the index of faces as the only one that looks, too."""
    pytest.importorskip("cv2")
    from melink.features.face_index import turn_on

    turn_on(context.kb)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    bad = [str(tmp_path / name) for name in ("bad.jpg", "gone.jpg", "bad.jpg")]
    mentions = [Mention(str(n), "Ann Lee sings", "Lee", image=path) for n, path in enumerate([*bad, None])]
    method = build(context, identity="index", **settings)
    for _ in range(2):
        method.mentions(mentions)
        method.explain(mentions[0], context.kb.view().entity(0))
    assert dict(context.problems.counts) == {"image corrupt": 1, "image missing": 1}


def test_regions_that_nothing_reads_are_refused(context: Context) -> None:
    """A region encoder was named, and not one picture would be looked at."""
    blind = Context(context.kb, context.store, context.text)
    with pytest.raises(ConfigError, match="objects: whole") as wrong:
        build(blind, objects="whole", regions="regions?detector=grid")
    assert "--image-encoder" in wrong.value.remedy and "objects: regions" in wrong.value.remedy
    assert build(context, objects="whole", regions="regions?detector=grid").reader.widths["whole"] == 367
    for objects in ("regions", "both"):
        assert "regions" in build(blind, objects=objects, regions="regions?detector=grid").reader.widths
    assert not {"regions", "whole"} & set(build(blind, objects="none", regions="regions").reader.widths)


def test_without_an_image_encoder_a_mention_without_picture_is_the_same(context: Context, picture: Draw) -> None:
    method = shaken(build(context, objects="both"))
    mention = Mention("1", "Ann Lee sings", "Lee")
    seeing = Mention("2", "Ann Lee sings", "Lee", image=picture("a.png", 1))
    alone, both = scores(method, context, [mention]), scores(method, context, [seeing, mention])
    np.testing.assert_array_equal(both[1], alone[0])
    assert (both[0] != both[1]).any()
    blind = build(Context(context.kb, context.store, context.text), objects="both")
    weights = method.module.state_dict()
    blind.module.load_state_dict({name: weights[name] for name in blind.module.state_dict()})
    blind._deploy()
    np.testing.assert_array_equal(scores(blind, context, [seeing])[0], alone[0])


def test_what_is_said_of_a_face_leads_to_its_entity(context: Context) -> None:
    """Even before training: whom a face resembles lies in the space of entities already."""
    method = build(context)
    mention = Mention("1", "Lee at the event", "Lee")
    plain = scores(method, context, [mention])[0]
    for place, name in enumerate(("Ann Lee, singer", "Bo Lee, painter")):
        said = Mention("1", "Lee at the event", "Lee", attributes={"identity": f"Cy Poe; {name}"})
        found = scores(method, context, [said])[0]
        assert found[place] > plain[place] + 0.1 and found[:2].argmax() == place, "of two faces the one of that name"
        parts = method.score(method.mentions([said, mention]), method.entities(context.kb.view()))
        assert parts["identity"][0, place] > 0 and np.isnan(parts["identity"][1]).all()
    silent = build(context, identity="none")
    np.testing.assert_array_equal(scores(silent, context, [said])[0], plain)


def test_evidence_says_what_was_read_of_faces(context: Context) -> None:
    said = {"identity": "Ann Lee", "face_attributes": "age: 40-49"}
    found = build(context).explain(Mention("1", "Lee", "Lee", attributes=said), context.kb.view().entity(0))
    assert found["identities_said"] == ["Ann Lee"] and found["faces_said"] == ["age: 40-49"]
    assert found["matched_name"] == "Ann Lee" and "faces_resemble" not in found
    quiet = build(context, identity="none", looks=False)
    assert not {"identities_said", "faces_said"} & set(
        quiet.explain(Mention("1", "Lee", "Lee", attributes=said), context.kb.view().entity(0))
    )


def test_losses_without_pairs_are_left_out_and_said_so_once(
    context: Context, picture: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    view = context.kb.view()
    method = build(context)
    seen = [Mention("1", "a", "a", image=picture("a.png", 1)), Mention("2", "b", "b"), Mention("3", "c", "c")]
    with caplog.at_level(logging.WARNING, logger="melink"):
        for _ in range(2):
            method.refresh(method.prepare(seen, view))
    assert [record.getMessage() for record in caplog.records] == [
        "dwe: 1 of 3 training mentions have mention and objects: the fine loss is left out",
        "dwe: 1 of 3 training mentions have text and objects: the coarse loss is left out",
    ]
    caplog.clear()
    build(context).refresh(method.prepare([seen[0], Mention("4", "d", "d", image=picture("b.png", 2))], view))
    build(context, losses={"fine": 0, "coarse": 0}).refresh(method.prepare(seen, view))
    assert not caplog.records


@pytest.mark.parametrize(
    "settings", [{"heads": 7}, {"mention_template": "{nobody}"}, {"objects": "everything"}, {"faces": "classical"}]
)
def test_settings_that_cannot_be(context: Context, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        build(context, **settings)


def test_an_index_that_is_not_turned_on_is_named(context: Context) -> None:
    method = build(context, identity="index")
    with pytest.raises(NotFound, match="not indexed"):
        method.mentions([Mention("1", "Lee", "Lee")])


def portraits(data: Path, count: int) -> list[tuple[str, str, str, str]]:
    """Return id, label, portrait and second photograph of some people."""
    known: dict[str, dict[str, tuple[str, str]]] = {}
    with (data / "images" / "index.csv").open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            if "us_politicians/" in row["file"]:
                known.setdefault(row["qids"], {})[row["role"]] = (row["labels"], str(data / row["file"]))
    both = [(id, own) for id, own in sorted(known.items()) if len(own) > 1]
    return [(id, own["entity"][0], own["entity"][1], own["entity_alt"][1]) for id, own in both[:count]]


@pytest.mark.slow
def test_real_faces_are_recognised_through_the_index(shared_data: Path, make_kb: MakeKB) -> None:
    pytest.importorskip("cv2")
    from melink.features.face_index import forget_entities, turn_off, turn_on

    people = portraits(shared_data, 6)
    kb = make_kb(*[Entity(id, label, images=(first,)) for id, label, first, _ in people])
    turn_on(kb, "faces")
    context = Context(kb, FeatureStore(kb.features_dir), load_text("minilm"), load_image("classical"))
    method = build(context, identity="index", objects="none", names=False)
    asked = [Mention(id, "Somebody at the event", "Somebody", image=first) for id, _, first, _ in people]
    found = scores(method, context, asked)
    seen = [row for row, own in enumerate(method.reader.resemblances([m.image for m in asked])) if own]
    assert len(seen) >= 4, "most faces are found"
    assert found[seen].argmax(1).tolist() == seen
    first, other = seen[:2]
    (words,) = method.explain(asked[first], kb.view().entity(first))["faces_resemble"]
    assert words.startswith(f"this face resembles {people[first][1]}, ")
    assert "faces_resemble" not in method.explain(asked[first], kb.view().entity(other))
    kb.upsert([Entity("new", "Zoe Zed")])
    np.testing.assert_allclose(scores(method, context, asked)[:, :6], found, atol=1e-5), "the index is read anew"
    forget_entities(kb, [people[first][0]])
    assert "faces_resemble" not in method.explain(asked[first], kb.view().entity(first)), "forgotten while it runs"
    still = {each.id for each in method.reader.resemblances([asked[first].image, asked[other].image])[1]}
    assert people[other][0] in still and people[first][0] not in still
    turn_off(kb)
    with pytest.raises(NotFound, match="not indexed"):
        method.reader.resemblances([asked[other].image])
