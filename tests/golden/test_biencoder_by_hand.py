"""``biencoder`` against its formulas in loops: heads, name curve, every part, the loss; a random CLIP as encoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from melink.candidates.name_score import similarity
from melink.features.load import load_pair, load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.methods.base import Context, total
from melink.methods.biencoder import PAIRS, SHARPNESS, BiEncoder, Head
from melink.methods.name_curve import KNOTS, NameCurve
from melink.methods.trainable import Batch
from melink.records import Entity, Mention

Draw = Callable[[str, int], str]
FROZEN = {"tune": 0, "hidden": 6, "dropout": 0.0}
NOBODY = {"E3": "image", "E4": "image", "m3": "image", "m4": "image"}
"""Entities and mentions without a picture that can be read."""


@pytest.fixture
def context(make_kb: Callable[..., KnowledgeBase], small_clip: Path, picture: Draw) -> Context:
    kb = make_kb(
        Entity("E1", "Ann Lee", ("Lee",), "A singer.", images=(picture("e1.png", 1),)),
        Entity("E2", "Ann Leigh", description="A river.", images=(picture("e2.png", 2), picture("e3.png", 3))),
        Entity("E3", "Bob", attributes="Sex: male."),
        Entity("E4", "Lee Ann", ("A. Lee",), "Novel.", images=("gone.png",)),
    )
    return Context(kb, FeatureStore(kb.features_dir), *load_pair(str(small_clip)))


@pytest.fixture
def mentions(picture: Draw) -> list[Mention]:
    return [
        Mention("m1", "The singer Ann Lee", "Ann Lee", 11, 18, picture("m1.png", 100)),
        Mention("m2", "lee flows", "lee", 0, 3, picture("m2.png", 101)),
        Mention("m3", "Bob is male", "Bob", 0, 3),
        Mention("m4", "Who?", "Nobody", None, None, "gone.png"),
    ]


def shaken(context: Context, folder: Path, settings: dict[str, Any] = FROZEN) -> BiEncoder:
    """Return a method whose every parameter was moved, by way of its file."""
    method = BiEncoder.build(context, settings)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in method.module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    folder.mkdir(exist_ok=True)
    assert method.save(folder) == {}
    return BiEncoder.build(replace(context, folder=folder), settings)


def gelu(z: float) -> float:
    return 0.5 * z * (1 + math.erf(z / math.sqrt(2)))


def head_by_hand(head: Any, x: Sequence[float]) -> list[float]:
    first, last = head.body[0], head.body[3]
    w1, b1, w2 = first.weight.tolist(), first.bias.tolist(), last.weight.tolist()
    inner = [gelu(sum(w * v for w, v in zip(row, x, strict=True)) + b) for row, b in zip(w1, b1, strict=True)]
    y = [v + sum(w * h for w, h in zip(row, inner, strict=True)) for v, row in zip(x, w2, strict=True)]
    length = math.sqrt(sum(v * v for v in y))
    return [v / length for v in y]


def curve_by_hand(raw: Sequence[float], s: float) -> float:
    k = len(raw)
    return sum(math.log1p(math.exp(c)) * min(max(s - j / k, 0.0), 1 / k) * k for j, c in enumerate(raw))


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def parts_by_hand(method: BiEncoder, mention: Mention, entity: Entity) -> dict[str, float]:
    towers: Any = method.module.towers
    read = method.context.store.encode
    row = method.context.kb.view().row(entity.id)
    assert row is not None
    ours = read(method.encoder, method.read_mentions([mention])).vectors()[0].tolist()
    theirs = read(method.encoder, method.read_entities(method.context.kb.view())).vectors()[row].tolist()
    vectors = {("m", "text"): head_by_hand(towers.mention, ours), ("e", "text"): head_by_hand(towers.entity, theirs)}
    for side, id, path in (("m", mention.id, mention.image), ("e", entity.id, next(iter(entity.images), None))):
        if id not in NOBODY:
            assert method.context.image is not None
            vectors[side, "image"] = head_by_hand(
                towers.image, read(method.context.image, [path]).vectors()[0].tolist()
            )
    found = {
        "text": math.exp(towers.sharpness.item()) * dot(vectors["m", "text"], vectors["e", "text"]),
        "name": curve_by_hand(
            towers.names.raw.tolist(), max(similarity(mention.surface, name) for name in entity.names)
        ),
    }
    for part, (left, right) in PAIRS.items():
        one, other = vectors.get(("m", left)), vectors.get(("e", right))
        weight, neutral = max(towers.weights[part].item(), 0.0), towers.neutral[part].item()
        found[part] = math.nan if one is None or other is None else weight * (dot(one, other) - neutral)
    return found


def test_every_part(context: Context, mentions: list[Mention], tmp_path: Path) -> None:
    method, view = shaken(context, tmp_path / "run"), context.kb.view()
    found = method.score(method.mentions(mentions), method.entities(view))
    assert set(found) == {"text", "name", *PAIRS}
    for m, mention in enumerate(mentions):
        for e in range(len(view)):
            for part, value in parts_by_hand(method, mention, view.entity(e)).items():
                where = f"{part} of {mention.id} and {view.ids[e]}"
                np.testing.assert_allclose(found[part][m, e], value, atol=2e-4, err_msg=where)
    assert np.isnan(found["image"]).sum() == 12 and np.isnan(found["text_image"]).sum() == 8


def everything(method: BiEncoder, mentions: Sequence[Mention], gold: Sequence[int], allowed: np.ndarray) -> Any:
    """Return what the module makes of all mentions against all entities."""
    prepared = method.prepare(mentions, method.context.kb.view())
    batch = Batch(np.arange(len(mentions)), np.arange(allowed.shape[1]), np.asarray(gold), allowed)
    method.module.eval()
    with torch.no_grad():
        return method.module(method.collate(prepared, batch))


def test_linking_scores_are_those_of_the_training(context: Context, mentions: list[Mention], tmp_path: Path) -> None:
    method, view = shaken(context, tmp_path / "run"), context.kb.view()
    step = everything(method, mentions, [0, 1, 2, -1], np.ones((4, 4), dtype=bool))
    scores = total(method.score(method.mentions(mentions), method.entities(view)))
    np.testing.assert_allclose(step.scores.numpy(), scores, atol=1e-4)


def test_scores_agree_where_only_one_side_has_pictures(
    context: Context, mentions: list[Mention], tmp_path: Path
) -> None:
    method, view = shaken(context, tmp_path / "run"), context.kb.view()
    blind = [replace(mention, image=None) for mention in mentions]
    step = everything(method, blind, [0] * 4, np.ones((4, 4), dtype=bool))
    parts = method.score(method.mentions(blind), method.entities(view))
    np.testing.assert_allclose(step.scores.numpy(), total(parts), atol=1e-4)
    assert np.isnan(parts["image"]).all() and not np.isnan(parts["text_image"][:, :2]).any()


def test_a_missing_picture_counts_nothing(context: Context, mentions: list[Mention], tmp_path: Path) -> None:
    method = shaken(context, tmp_path / "run")
    allowed = np.ones((4, 4), dtype=bool)
    seen = everything(method, mentions, [0] * 4, allowed).scores
    blind = everything(method, [replace(m, image=None) for m in mentions], [0] * 4, allowed).scores
    gone = everything(method, [replace(m, image="gone.png") for m in mentions], [0] * 4, allowed).scores
    torch.testing.assert_close(gone, blind, rtol=0, atol=0)
    torch.testing.assert_close(seen[2:], blind[2:], rtol=0, atol=0)  # these two had none that could be read
    assert not torch.isclose(seen[:2], blind[:2]).any()
    parts = method.score(method.mentions(mentions), method.entities(context.kb.view()))
    np.testing.assert_array_equal(total(parts)[2, 2], np.round(parts["text"][2, 2] + parts["name"][2, 2], 5))


def test_the_loss(context: Context, mentions: list[Mention], tmp_path: Path) -> None:
    method = shaken(context, tmp_path / "run")
    gold = [0, 3, -1, 2]
    allowed = np.array([[1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1], [0, 0, 1, 1]], dtype=bool)
    step = everything(method, mentions, gold, allowed)
    losses = []
    for scores, right, may in zip(step.scores.tolist(), gold, allowed.tolist(), strict=True):
        if right >= 0:
            odds = [math.exp(s) for s, taken in zip(scores, may, strict=True) if taken]
            losses.append(-math.log(math.exp(scores[right]) / sum(odds)))
    assert step.loss.item() == pytest.approx(sum(losses) / 3, rel=1e-4)


def test_what_is_not_allowed_moves_nothing(context: Context, mentions: list[Mention]) -> None:
    method = BiEncoder.build(context, FROZEN)
    prepared = method.prepare(mentions, context.kb.view())
    allowed = np.array([[1, 0, 1, 1]] * 4, dtype=bool)
    inputs = method.collate(prepared, Batch(np.arange(4), np.arange(4), np.zeros(4, np.int64), allowed))
    inputs.entities.requires_grad_(True)
    method.module(inputs).loss.backward()
    assert inputs.entities.grad is not None
    assert inputs.entities.grad.abs().sum(1).bool().tolist() == [True, False, True, True]


def test_untrained_it_is_the_cosine_of_the_texts_and_the_names(context: Context, mentions: list[Mention]) -> None:
    method, view = BiEncoder.build(context, FROZEN), context.kb.view()
    parts = method.score(method.mentions(mentions), method.entities(view))
    encode = context.store.encode
    ours = encode(method.encoder, method.read_mentions(mentions)).vectors()
    theirs = encode(method.encoder, method.read_entities(view)).vectors()
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (ours, theirs)]
    np.testing.assert_allclose(parts["text"], SHARPNESS * unit[0] @ unit[1].T, atol=1e-4)
    names = [[max(similarity(m.surface, n) for n in view.entity(e).names) for e in range(4)] for m in mentions]
    np.testing.assert_allclose(parts["name"], 1.25 * SHARPNESS * np.asarray(names), atol=1e-4)


def test_a_head_by_hand() -> None:
    torch.manual_seed(1)
    head = Head(3, 2, 0.0)
    x = torch.tensor([[0.6, 0.0, 0.8], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(head(x)[0], x[0])  # untrained it changes nothing
    torch.nn.init.normal_(head.body[3].weight)  # type: ignore[index]
    found = head(x)
    torch.testing.assert_close(found[0], torch.tensor(head_by_hand(head, x[0].tolist())))
    assert found[1].tolist() == [0.0, 0.0, 0.0]  # nothing was read
    assert torch.equal(Head(3, 0, 0.0)(2 * x), x)


def test_reading_nothing_teaches_nothing() -> None:
    head = Head(3, 2, 0.0)
    (head(torch.zeros(1, 3)) @ torch.ones(3)).sum().backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in head.parameters())


def test_the_name_curve_by_hand() -> None:
    curve = NameCurve(20.0)
    given = torch.tensor([[0.0, 0.04, 0.25, 0.999, 1.0]])
    torch.testing.assert_close(curve(given), 20 * given)  # it starts as a straight line
    torch.manual_seed(2)
    with torch.no_grad():
        curve.raw += torch.randn(KNOTS)
    expected = [curve_by_hand(curve.raw.tolist(), s) for s in given[0].tolist()]
    torch.testing.assert_close(curve(given)[0], torch.tensor(expected))
    rises = curve(torch.linspace(0, 1, 101)[None])[0].diff()
    assert (rises > 0).all()
    points = curve.points()
    assert points[0] == 0 and points[-1] == pytest.approx(curve(torch.ones(1, 1)).item())


def test_a_weight_below_zero_is_none(context: Context, mentions: list[Mention], tmp_path: Path) -> None:
    method = BiEncoder.build(context, FROZEN)
    towers: Any = method.module.towers
    with torch.no_grad():
        towers.weights["image"].fill_(-2.0)
    method.save(tmp_path)
    read = BiEncoder.build(replace(context, folder=tmp_path), FROZEN)
    parts = read.score(read.mentions(mentions), read.entities(context.kb.view()))
    assert parts["image"][:2, :2].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_tuned_encoder_is_in_the_same_score(
    make_kb: Callable[..., KnowledgeBase], small_bert: Path, mentions: list[Mention], tmp_path: Path
) -> None:
    kb = make_kb(Entity("E1", "Ann Lee", ("Lee",), "A singer."), Entity("E2", "Bob", description="A river."))
    settings = {"tune": 1, "max_tokens": 40}
    plain = Context(kb, FeatureStore(kb.features_dir), load_text(str(small_bert)))
    method = BiEncoder.build(plain, settings)
    method.start_training()
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in method.module.parameters():
            parameter += 0.05 * torch.randn_like(parameter) * parameter.requires_grad
    step = everything(method, mentions, [0, 0, 1, -1], np.ones((4, 2), dtype=bool))
    changed = method.save(tmp_path)
    assert changed == {"text_encoder": "run:encoder?pooling=mean&max_tokens=40"}
    tuned = load_text(str(tmp_path / changed["text_encoder"].removeprefix("run:")))
    read = BiEncoder.build(replace(plain, text=tuned, folder=tmp_path), settings)
    scores = total(read.score(read.mentions(mentions), read.entities(kb.view())))
    np.testing.assert_allclose(step.scores.numpy(), scores, atol=2e-2)  # the store keeps 16 bits
