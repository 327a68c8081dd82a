"""``zeroshot`` against its formula in loops: a real (random) CLIP, whose four pairs are all on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from melink.candidates.name_score import similarity
from melink.features.encoder import Encoder
from melink.features.load import load_pair
from melink.features.store import FeatureStore
from melink.features.text import entity_text, mention_text
from melink.kb.store import KnowledgeBase
from melink.methods.base import Context, Parts, total
from melink.methods.triple_score import TripleScorer
from melink.methods.zeroshot import ZeroShot
from melink.records import Entity, Mention, Triple

WEIGHTS = {"name": 1.5, "text": 0.7, "image": 0.4, "text_image": 1.1, "image_text": 0.9, "triples": 0.6}
NEUTRAL = {"text": 0.11, "image": -0.2, "text_image": 0.05, "image_text": 0.3}
Draw = Callable[[str, int], str]


@dataclass
class World:
    kb: KnowledgeBase
    entities: list[Entity]
    mentions: list[Mention]
    text: Encoder
    image: Encoder

    def method(self, **settings: object) -> ZeroShot:
        store = FeatureStore(self.kb.features_dir)
        return ZeroShot.build(Context(self.kb, store, self.text, self.image), settings)

    def parts(self, mentions: Sequence[Mention] | None = None, **settings: object) -> Parts:
        method = self.method(**settings)
        side = method.mentions(self.mentions if mentions is None else mentions)
        return method.score(side, method.entities(self.kb.view()))


@pytest.fixture
def world(make_kb: Callable[..., KnowledgeBase], small_clip: Path, picture: Draw) -> World:
    pictures = [picture(f"e{at}.png", at) for at in range(6)]
    facts = (Triple("occupation", "actor", True), Triple("member of", "red band", True))
    entities = [
        Entity("E1", "Ann Lee", ("Lee",), "A singer.", triples=facts, images=(pictures[0],)),
        Entity("E2", "Ann Lee", description="A river.", images=tuple(pictures[1:4])),
        Entity("E3", "Bob", attributes="Sex: male.", triples=facts[:1]),
        Entity("E4", "Ψ", images=(pictures[4], "gone.png")),
        Entity("E5", "Annlee", ("A. Lee", "Lee Ann"), "Novel.", images=("gone.png",)),
    ]
    mentions = [
        Mention("m1", "The actor Ann Lee sings", "Ann Lee", 10, 17, picture("m1.png", 100)),
        Mention("m2", "lee in the red band", "lee", 0, 3, picture("m2.png", 101)),
        Mention("m3", "Bob is an actor", "Bob", 0, 3),
        Mention("m4", "Who?", "Nobody", None, None, "gone.png"),
    ]
    return World(make_kb(*entities), entities, mentions, *load_pair(str(small_clip)))


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def vector(encoder: Encoder, item: str | None) -> np.ndarray | None:
    """Encode one item on its own, without the store."""
    if item is None or item == "gone.png":
        return None
    given = item
    if encoder.modality == "image":
        with Image.open(item) as opened:
            return unit(encoder.encode([opened.convert("RGB")]).vectors[0].astype(np.float64))
    return unit(encoder.encode([given]).vectors[0].astype(np.float64))


def cosine_by_hand(world: World, part: str, mention: Mention, entity: Entity) -> float:
    left, right = {"text": "tt", "image": "ii", "text_image": "ti", "image_text": "it"}[part]
    one = vector(world.text, mention_text(mention)) if left == "t" else vector(world.image, mention.image)
    many = (
        [vector(world.text, entity_text(entity))] if right == "t" else [vector(world.image, i) for i in entity.images]
    )
    found = [float(one @ other) for other in many if one is not None and other is not None]
    return max(found) if found else math.nan


def part_by_hand(world: World, part: str, mention: Mention, entity: Entity) -> float:
    if part == "name":
        return max(similarity(mention.surface, name) for name in entity.names)
    if part == "triples":
        frequency = {"actor": 2, "red band": 1}
        scorer = TripleScorer(lambda tail: frequency[tail], len(world.entities))
        return float(scorer.score(scorer.contexts([mention]), scorer.side([entity.triples]))[0, 0])
    return cosine_by_hand(world, part, mention, entity)


def test_all_parts_and_their_total(world: World) -> None:
    found = world.parts(weights=WEIGHTS, neutral=NEUTRAL)
    assert set(found) == set(WEIGHTS)
    expected = {
        part: np.array(
            [
                [WEIGHTS[part] * (part_by_hand(world, part, m, e) - NEUTRAL.get(part, 0.0)) for e in world.entities]
                for m in world.mentions
            ]
        )
        for part in WEIGHTS
    }
    for part, values in expected.items():
        np.testing.assert_allclose(found[part], values, atol=2e-3, err_msg=part)  # the store keeps 16 bits
        np.testing.assert_array_equal(np.isnan(found[part]), np.isnan(values), err_msg=part)
    summed = np.sum([np.nan_to_num(values) for values in expected.values()], axis=0)
    np.testing.assert_allclose(total(found), summed, atol=5e-3)


def test_missing_pictures_are_masked_on_either_side(world: World) -> None:
    found = world.parts()
    assert np.isnan(found["image"]).tolist() == [
        [False, False, True, False, True],
        [False, False, True, False, True],
        [True] * 5,
        [True] * 5,
    ]
    assert np.isnan(found["text_image"]).tolist() == [[False, False, True, False, True]] * 4
    assert np.isnan(found["image_text"]).tolist() == [[False] * 5, [False] * 5, [True] * 5, [True] * 5]
    assert not np.isnan(found["text"]).any()


def test_an_entity_without_a_picture_changes_nothing(world: World) -> None:
    before = world.parts()
    world.kb.upsert([Entity("E9", "Zoe", description="No picture.")])
    after = world.parts()
    for part, values in before.items():
        if part == "triples":  # rarity counts the entities of the knowledge base
            continue
        np.testing.assert_array_equal(after[part][:, :5], values, err_msg=part)
        assert np.isnan(after[part][:, 5]).all() == (part in ("image", "text_image"))


def test_best_of_several_pictures(world: World) -> None:
    pictures = world.entities[1].images
    each = []
    for image in pictures:
        world.kb.upsert([Entity("E2", "Ann Lee", description="A river.", images=(image,))])
        each.append(world.parts()["image"][:2, 1])
    world.kb.upsert([world.entities[1]])
    np.testing.assert_array_equal(world.parts()["image"][:2, 1], np.max(each, axis=0))
    assert len({float(values[0]) for values in each}) == 3
    np.testing.assert_array_equal(world.parts(images_per_entity=1)["image"][:2, 1], each[0])


def test_a_neutral_cosine_contributes_nothing(world: World) -> None:
    cosine = float(world.parts(weights={"text": 1.0}, neutral={})["text"][0, 0])
    moved = world.parts(weights={"text": 3.0}, neutral={"text": cosine})["text"]
    assert moved[0, 0] == pytest.approx(0.0, abs=1e-6)
    raw = world.parts(weights={"text": 1.0}, neutral={})["text"]
    np.testing.assert_allclose(moved, 3 * (raw - cosine), atol=1e-6)


def test_fitted_neutral_values_of_facts_count(world: World) -> None:
    raw = world.parts(weights={"triples": 2.0}, neutral={})["triples"]
    moved = world.parts(weights={"triples": 2.0}, neutral={"triples": 0.25})["triples"]
    np.testing.assert_allclose(moved, raw - 0.5, atol=1e-6)


def test_one_mention_scores_as_in_a_batch(world: World) -> None:
    whole = world.parts()
    for row, mention in enumerate(world.mentions):
        for part, values in world.parts([mention]).items():
            np.testing.assert_array_equal(values[0], whole[part][row], err_msg=part)


def test_total_treats_a_missing_part_as_nothing() -> None:
    parts = {"a": np.array([[1.0, np.nan]], np.float32), "b": np.array([[0.25, 0.5]], np.float32)}
    assert total(parts).tolist() == [[1.25, 0.5]]
    assert total({"a": np.array([[0.123456, 0.123459]], np.float32)})[0].tolist() == pytest.approx([0.12346, 0.12346])
