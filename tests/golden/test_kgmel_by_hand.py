"""KGMEL's tower, its losses and what is made of them for linking, in plain loops from the equations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from melink.candidates.dense import Dense
from melink.candidates.name_score import similarity
from melink.features.load import load_image, load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.methods.base import Context, total
from melink.methods.kgmel import KGMEL, Inputs, KGMELSettings, LossWeights, Net
from melink.methods.kgmel_inputs import Facts, Given, Items
from melink.methods.kgmel_tower import Tower, TowerSettings
from melink.methods.name_curve import KNOTS
from melink.methods.trainable import Batch
from melink.records import Entity, Mention, Triple

DT, DV, D = 5, 4, 6
FACTS = [[(0, 0), (1, 1), (2, 1), (0, 2)], [], [(1, 3)], [(2, 0), (0, 1), (1, 2), (0, 3), (2, 3)]]
"""Relation and tail of each of four items' facts."""


def shaken(module: torch.nn.Module, seed: int) -> Any:
    """Give every parameter a random value, in 64 bits."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=g))
    return module.double().eval()


def some(seed: int, own: Sequence[Sequence[tuple[int, int]]] = FACTS) -> Items:
    """Return random vectors of items with some facts; the third has neither text nor picture."""
    rng = np.random.default_rng(seed)
    pairs = sorted({each for mine in own for each in mine})
    places = [pairs.index(each) for mine in own for each in mine]
    relations, tails = rng.normal(size=(3, DT)), rng.normal(size=(4, DT))
    bounds = np.cumsum([0, *map(len, own)])
    facts = Facts(relations, tails, np.asarray(pairs).reshape(-1, 2), bounds, np.asarray(places, np.int64))
    text, image, seen = rng.normal(size=(len(own), DT)), rng.normal(size=(len(own), DV)), np.ones(len(own), bool)
    if len(own) > 2:
        text[2], image[2], seen[2] = 0, 0, False
    return Items(text, image, seen, facts)


def given(items: Items, rows: Sequence[int] | None = None) -> Given:
    return items.take(np.arange(len(items.text)) if rows is None else np.asarray(rows), "cpu", torch.float64)


def times(matrix: np.ndarray, vector: Sequence[float]) -> list[float]:
    """Return a matrix times a vector."""
    return [math.fsum(w * x for w, x in zip(row, vector, strict=True)) for row in matrix.tolist()]


def plus(*vectors: Sequence[float]) -> list[float]:
    return [math.fsum(each) for each in zip(*vectors, strict=True)]


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def gated(w: dict[str, np.ndarray], side: str, x: Sequence[float]) -> list[float]:
    """Return (W x) ⊙ σ(G x + g), or W x without a gate."""
    read = times(w[f"read_{side}.weight"], x)
    if f"gate_{side}.weight" not in w:
        return read
    gate = plus(times(w[f"gate_{side}.weight"], x), w[f"gate_{side}.bias"].tolist())
    return [r / (1 + math.exp(-g)) for r, g in zip(read, gate, strict=True)]


def tower_by_hand(
    w: dict[str, np.ndarray],
    s: TowerSettings,
    text: Sequence[float],
    image: Sequence[float] | None,
    facts: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return the summands W_Z z, gated text and gated picture, and a."""
    d = len(w["read_text.weight"])
    for_text = gated(w, "text", text)
    for_image = [0.0] * d if image is None else gated(w, "image", image)
    if not facts:
        return [0.0] * d, for_text, for_image, []
    xs = []
    for relation, tail in facts:
        hidden = plus(times(w["pair.weight"], [*tail, *relation]), w["pair.bias"].tolist())
        leaky = [h if h > 0 else 0.01 * h for h in hidden]
        xs.append(plus(tail, times(w["mix.weight"], leaky), w["mix.bias"].tolist()))
    scores = []
    for x in xs:
        key = times(w["key.weight"], x)
        by_image = 0.0 if image is None else dot(times(w["ask_image.weight"], image), key)
        by_text = dot(times(w["ask_text.weight"], text), key)
        scores.append((s.beta * by_image + (1 - s.beta) * by_text) / (math.sqrt(d) * s.attention_temperature))
    odds = [math.exp(score - max(scores)) for score in scores]
    a = [o / sum(odds) for o in odds]
    least = sorted(a, reverse=True)[: s.top][-1] if s.top else 0.0
    a = [each if each >= least else 0.0 for each in a]
    values = [plus(times(w["value.weight"], x), w["value.bias"].tolist()) for x in xs]
    pooled = plus(*([weight * v for v in value] for weight, value in zip(a, values, strict=True)))
    return times(w["combine.weight"], times(w["out.weight"], pooled)), for_text, for_image, a


def weights_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def by_hand(tower: Tower, s: TowerSettings, items: Items, row: int) -> tuple[list[float], ...]:
    all_ = items.facts
    own = all_.pairs[all_.places[all_.bounds[row] : all_.bounds[row + 1]]]
    facts = [(all_.relations[r].tolist(), all_.tails[t].tolist()) for r, t in own]
    return tower_by_hand(weights_of(tower), s, items.text[row].tolist(), items.image[row].tolist(), facts)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"top": 3},
        {"top": 1},
        {"top": 2, "beta": 0.0},
        {"beta": 1.0},
        {"top": 3, "gate": False, "attention_temperature": 0.1},
        {"top": 2, "width": None},
    ],
)
def test_the_tower(changed: dict[str, Any]) -> None:
    s = TowerSettings(**{"width": D, "attention_temperature": 1.0, **changed})
    tower, items = shaken(Tower(DT, DV, s), 1), some(2)
    found = tower(given(items))
    start = 0
    for row, own in enumerate(FACTS):
        triples, text, image, a = by_hand(tower, s, items, row)
        np.testing.assert_allclose(found.triples[row].detach(), triples, atol=1e-10)
        np.testing.assert_allclose(found.text[row].detach(), text, atol=1e-10)
        np.testing.assert_allclose(found.image[row].detach(), image, atol=1e-10)
        np.testing.assert_allclose(found.weights[start : start + len(own)].detach(), a, atol=1e-12)
        np.testing.assert_allclose(found.whole()[row].detach(), plus(triples, text, image), atol=1e-10)
        start += len(own)
    if s.top is not None:
        kept = [int((found.weights[sum(map(len, FACTS[:r])) :][: len(own)] > 0).sum()) for r, own in enumerate(FACTS)]
        assert kept == [min(s.top, len(own)) for own in FACTS]
    assert (found.weights[-5:].sum() < 0.999) == (s.top is not None and s.attention_temperature == 1)  # not made larger


def test_what_is_missing_adds_nothing() -> None:
    s = TowerSettings(width=D)
    tower, items = shaken(Tower(DT, DV, s), 3), some(4)
    found = tower(given(items))
    assert not found.triples[1].any()  # no facts
    assert not found.text[2].any() and not found.image[2].any()  # nothing written, no picture
    blind = tower(given(replace(items, image=None)))
    assert blind.image is None
    nothing = tower(given(replace(items, image=np.zeros_like(items.image))))
    torch.testing.assert_close(nothing.whole(), blind.whole(), rtol=0, atol=1e-12)


def unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(dot(vector, vector))
    return [x / length for x in vector]


def log_loss(logits: Sequence[float], right: int, allowed: Sequence[bool]) -> float:
    return math.log(sum(math.exp(x) for x, taken in zip(logits, allowed, strict=True) if taken)) - logits[right]


def batch_by_hand() -> tuple[Net, KGMELSettings, Items, Items, Inputs, list[int], np.ndarray]:
    losses = LossWeights(mention_entity=0.9, mention_mention=0.3, entity_entity=0.2)
    s = KGMELSettings(width=D, names=False, temperature=0.4, losses=losses)
    net = shaken(Net(Tower(DT, DV, s), s), 5)
    mentions, entities = some(6), some(7, [FACTS[3], FACTS[0], FACTS[2], [], FACTS[0][:2]])
    gold = [1, 4, 1, -1]
    allowed = np.array([[1, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1]], dtype=bool)
    inputs = Inputs(
        given(mentions),
        given(entities),
        None,
        torch.tensor(gold),
        torch.tensor(gold),
        torch.from_numpy(allowed),
        (0, 0),
        5,
        3,
        1,
    )
    return net, s, mentions, entities, inputs, gold, allowed


def test_the_three_losses() -> None:
    net, s, mentions, entities, inputs, gold, allowed = batch_by_hand()
    ours = [unit(plus(*by_hand(net.tower, s, mentions, row)[:3])) for row in range(4)]
    theirs = [unit(plus(*by_hand(net.tower, s, entities, row)[:3])) for row in range(5)]
    scores = [[dot(m, e) / s.temperature for e in theirs] for m in ours]
    step = net(inputs)
    np.testing.assert_allclose(step.scores.detach(), scores, atol=1e-10)
    linked = [log_loss(scores[m], gold[m], allowed[m].tolist()) for m in range(4) if gold[m] >= 0]
    every = [True] * 5
    apart = [log_loss([dot(e, o) / s.temperature for o in theirs], place, every) for place, e in enumerate(theirs)]
    among = []
    for m in range(4):  # the first and the third mean the same: they are not pushed apart
        others = [j == m or gold[m] < 0 or gold[j] != gold[m] for j in range(4)]
        among.append(log_loss([dot(ours[m], o) / s.temperature for o in ours], m, others))
    expected = 0.9 * sum(linked) / 3 + 0.3 * sum(among) / 4 + 0.2 * sum(apart) / 5
    assert step.loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("left_out", ["mention_entity", "mention_mention", "entity_entity"])
def test_a_loss_of_no_weight_is_left_out(left_out: str) -> None:
    net, s, *_, inputs, _, _ = batch_by_hand()
    whole, parts = net(inputs).loss.item(), {}
    for name in LossWeights.model_fields:
        net.losses = LossWeights(**{**dict.fromkeys(LossWeights.model_fields, 0.0), name: getattr(s.losses, name)})
        parts[name] = net(inputs).loss.item()
    net.losses = s.losses.model_copy(update={left_out: 0.0})
    assert net(inputs).loss.item() == pytest.approx(whole - parts[left_out], rel=1e-10)
    assert min(parts.values()) > 0


def test_the_gradient_is_that_of_differences() -> None:
    net, *_, inputs, _, _ = batch_by_hand()
    parameters = dict(net.named_parameters())
    net(inputs).loss.backward()
    rng = np.random.default_rng(8)
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        flat, slope = parameter.detach().view(-1), parameter.grad.view(-1)
        for place in rng.choice(len(flat), size=min(3, len(flat)), replace=False).tolist():
            before, values = flat[place].item(), []
            for step in (1e-6, -1e-6):
                flat[place] = before + step
                with torch.no_grad():
                    values.append(net(inputs).loss.item())
            flat[place] = before
            difference = (values[0] - values[1]) / 2e-6
            assert slope[place].item() == pytest.approx(difference, rel=1e-4, abs=1e-7), f"{name}[{place}]"


# The whole method, over a knowledge base.


@pytest.fixture
def context(make_kb: Callable[..., KnowledgeBase], picture: Callable[[str, int], str]) -> Context:
    facts = [Triple("occupation", job, True) for job in ("singer", "actor", "judge", "painter", "politician")]
    kb = make_kb(
        Entity("E1", "Ann Lee", ("Annie",), "Singer (born 1970).", triples=tuple(facts), images=(picture("a.png", 1),)),
        Entity("E2", "Ann", description="A river.", triples=(Triple("country", "Wales", True),)),
        Entity("E3", "Bob"),
    )
    return Context(kb, FeatureStore(kb.features_dir), load_text("minilm"), load_image("classical"))


@pytest.fixture
def mentions(picture: Callable[[str, int], str]) -> list[Mention]:
    return [
        Mention("1", "Ann sings in Cardiff", "Ann", 0, 3, picture("m.png", 2)),
        Mention("2", "Lee, a judge", "Lee", 0, 3, triples=(Triple("occupation", "judge", True),)),
        Mention("3", "?", "Bob", attributes={"description": "the builder"}),
    ]


def ready(context: Context, **settings: Any) -> KGMEL:
    method = KGMEL.build(context, {"losses": {"mention_mention": 0.0, "entity_entity": 0.0}, **settings})
    g = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in method.module.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=g)
    method._deploy()
    return method


def vector(context: Context, text: str) -> list[float]:
    found: list[float] = context.store.encode(context.text, [text]).vectors()[0].tolist()
    return found


def item_by_hand(
    method: KGMEL, text: str, image: str | None, facts: Sequence[tuple[str, str]]
) -> tuple[list[float], ...]:
    context, weights = method.context, weights_of(method._frozen.tower)
    table = context.store.encode(context.image, [image])
    picture = table.vectors()[0].tolist() if table.present[0] else None
    pairs = [(vector(context, r) if r else [0.0] * 384, vector(context, t)) for r, t in facts]
    return tower_by_hand(weights, method.config, vector(context, text), picture, pairs)


def test_scores_and_parts_of_the_whole_method(context: Context, mentions: list[Mention]) -> None:
    method, view = ready(context), context.kb.view()
    parts = method.score(method.mentions(mentions), method.entities(view))
    jobs = [("occupation", job) for job in ("actor", "judge", "painter", "politician", "singer")]
    entities = [
        item_by_hand(method, "Ann Lee: Singer.", view.column("images")[0][0], jobs),
        item_by_hand(method, "Ann: A river.", None, [("country", "Wales")]),
        item_by_hand(method, "Bob", None, []),
    ]
    read = [
        item_by_hand(method, "Ann: Ann sings in Cardiff", mentions[0].image, [("", "Ann: Ann sings in Cardiff")]),
        item_by_hand(method, "Lee: Lee, a judge", None, [("occupation", "judge"), ("", "Lee: Lee, a judge")]),
        item_by_hand(method, "Bob: the builder", None, [("", "Bob: ?")]),
    ]
    curve = method._frozen.names.points()
    for m, mention in enumerate(mentions):
        ours = unit(plus(*read[m][:3]))
        for e, (triples, text, image, a) in enumerate(entities):
            length = math.sqrt(dot(*[plus(triples, text, image)] * 2))
            where = f"{mention.id} and {view.ids[e]}"
            for part, own, there in (("triples", triples, a), ("text", text, True), ("image", image, e == 0)):
                value = dot(ours, own) / length / method.config.temperature if there else math.nan
                np.testing.assert_allclose(parts[part][m, e], value, atol=2e-4, err_msg=f"{part} of {where}")
            best = max(similarity(mention.surface, name) for name in view.entity(e).names)
            value = float(np.interp(best, np.arange(KNOTS + 1) / KNOTS, curve))
            assert parts["name"][m, e] == pytest.approx(value, abs=1e-4), where


def test_linking_scores_are_those_of_the_training(context: Context, mentions: list[Mention]) -> None:
    method, view = ready(context), context.kb.view()
    batch = Batch(np.arange(3), np.arange(3), np.array([0, 0, 2]), np.ones((3, 3), dtype=bool))
    method.module.eval()
    with torch.no_grad():
        step = method.module(method.collate(method.prepare(mentions, view), batch))
    scores = total(method.score(method.mentions(mentions), method.entities(view)))
    np.testing.assert_allclose(step.scores.numpy(), scores, atol=1e-4)


def test_what_facts_add_is_the_part_of_the_triples(context: Context, mentions: list[Mention]) -> None:
    method, view = ready(context), context.kb.view()
    parts = method.score(method.mentions(mentions), method.entities(view))
    for e in (0, 1):
        kept = method._of_entity(view.entity(e))
        assert len(kept.attended) == (5, 1)[e]
        added = method._added(method._of_mentions(mentions[:1])[0], kept)
        assert float(added.sum()) == pytest.approx(float(parts["triples"][0, e]), abs=1e-4)


def test_products_of_served_vectors_are_the_cosines(context: Context, mentions: list[Mention]) -> None:
    method, view = ready(context, names=False), context.kb.view()
    scores = total(method.score(method.mentions(mentions), method.entities(view)))
    ours, theirs = method.mention_vectors(mentions), method.entity_vectors(view)
    np.testing.assert_allclose(ours @ theirs.T / method.config.temperature, scores, atol=1e-4)
    context.kb.put_vectors("kgmel", view.ids, theirs)
    ids, products = context.kb.search_vectors("kgmel", ours, 3)
    for own, found, row in zip(ids, products, scores, strict=True):
        assert own == [view.ids[e] for e in np.argsort(-row)]
        np.testing.assert_allclose(found / method.config.temperature, np.sort(row)[::-1], atol=1e-3)
    hits = Dense(context.kb, context.store, context.text, method).search(mentions, 3)
    assert [[id for id, _ in own] for own in hits] == ids
