"""FissFuse's branches, six scores and list-wise loss against their equations, one pair and one token at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from melink.methods.fissfuse import Inputs, Net, losses
from melink.methods.fissfuse_net import FISSION, FUSION, IMAGE, FissFuseNet, Scores, Terms
from melink.methods.matcher import Read

Vector = list[float]
Weights = dict[str, list]
"""The state dict as nested lists: what the loops read."""
EPS = 1e-5
WIDTHS = {"text": 7, "token": 5, "image": 6, "patch": 3}
CLOSE = {"rel": 1e-7, "abs": 1e-9}
D = 4
PARTS = FISSION + FUSION


@dataclass(frozen=True)
class Item:
    """What one mention or entity gives: the rows that take part, nothing else; no picture is None."""

    text: Vector
    tokens: list[Vector]
    image: Vector | None
    patches: list[Vector]


# One pair in loops.


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def plus(one: Vector, other: Vector) -> Vector:
    return [a + b for a, b in zip(one, other, strict=True)]


def softmax(x: Vector) -> Vector:
    top = max(x)
    odds = [math.exp(a - top) for a in x]
    return [a / sum(odds) for a in odds]


def linear(w: Weights, name: str, x: Vector) -> Vector:
    found = [dot(row, x) for row in w[f"{name}.weight"]]
    return plus(found, w[f"{name}.bias"]) if f"{name}.bias" in w else found


def norm(w: Weights, name: str, x: Vector) -> Vector:
    middle = sum(x) / len(x)
    spread = math.sqrt(sum((a - middle) ** 2 for a in x) / len(x) + EPS)
    return [g * (a - middle) / spread + b for a, g, b in zip(x, w[f"{name}.weight"], w[f"{name}.bias"], strict=True)]


def mlp(w: Weights, name: str, x: Vector) -> Vector:
    return linear(w, f"{name}.last", [max(a, 0.0) for a in linear(w, f"{name}.first", x)])


def attention(w: Weights, name: str, h: Vector, rows: list[Vector], heads: int) -> Vector:
    """LN(CA(h, rows) + h), a head at a time."""
    query, size, context = linear(w, f"{name}.query", h), D // heads, []
    keys, values = ([linear(w, f"{name}.{kind}", row) for row in rows] for kind in ("key", "value"))
    for at in range(0, D, size):
        own = slice(at, at + size)
        weights = softmax([dot(query[own], key[own]) / math.sqrt(size) for key in keys]) if rows else []
        context += [sum(a * value[i] for a, value in zip(weights, values, strict=True)) for i in range(at, at + size)]
    return norm(w, f"{name}.norm", plus(context, h))


class Sided:
    """One item through the streams of its side and both branches, as far as it goes alone."""

    def __init__(self, w: Weights, item: Item, place: int, heads: int) -> None:
        self.w, self.place, self.heads = w, place, heads

        def stream(kind: int, x: Vector) -> Vector:
            return norm(w, f"streams.{place}.{kind}.1", linear(w, f"streams.{place}.{kind}.0", x))

        self.text, self.tokens = stream(0, item.text), [stream(1, row) for row in item.tokens]
        self.image = None if item.image is None else stream(2, item.image)
        self.patches = [] if item.image is None else [stream(3, row) for row in item.patches]

    def h(self, kind: str) -> Vector:
        """Multi-pooling: max, mean, whole."""
        rows, whole = (self.tokens, self.text) if kind == "text" else (self.patches, self.image)
        columns = list(zip(*rows, strict=True)) or [[0.0]] * D
        assert whole is not None
        given = [max(c) for c in columns] + [sum(c) / len(c) for c in columns] + whole
        return mlp(self.w, f"fission.{self.place}.pool_{kind}", given)

    def reading(self, kind: str, other: Sided) -> Vector:
        """What this side finds in the other: LN(CA(h, F of the other) + h)."""
        rows = other.tokens if kind == "text" else other.patches
        return attention(self.w, f"fission.{self.place}.{kind}", self.h(kind), rows, self.heads)

    def fused(self) -> dict[str, Vector]:
        """x^T, x^V and x* of the fusion branch; x^V is zero without a picture."""
        prefix, pair = f"fusion.{self.place}", self.text + (self.image or [0.0] * D)
        x_text = attention(self.w, f"{prefix}.text", mlp(self.w, f"{prefix}.to_text", pair), self.tokens, self.heads)
        x_image = [0.0] * D
        if self.image is not None:
            x = mlp(self.w, f"{prefix}.to_image", pair)
            x_image = attention(self.w, f"{prefix}.image", x, self.patches, self.heads)
        both = mlp(self.w, f"{prefix}.fuse", x_text + x_image)
        return {"text": x_text, "image": x_image, "both": both}


def by_hand(w: Weights, mention: Item, entity: Item, heads: int = 1, shared: bool = True) -> dict[str, float]:
    """Return the scores of one pair that exist."""
    m, e = Sided(w, mention, 0, heads), Sided(w, entity, 0 if shared else 1, heads)
    seen = m.image is not None and e.image is not None
    crossed = {kind: (m.reading(kind, e), e.reading(kind, m)) for kind in ("text", *(["image"] if seen else []))}
    found = {f"fission_{kind}": dot(*each) for kind, each in crossed.items()}
    halves = [list(crossed["text"][side]) + list(crossed["image"][side] if seen else [0.0] * D) for side in (0, 1)]
    found["fission_both"] = dot(mlp(w, "fuse.0", halves[0]), mlp(w, "fuse.1", halves[1]))
    own, other = m.fused(), e.fused()
    found |= {f"fusion_{kind}": dot(own[kind], other[kind]) for kind in own if seen or kind != "image"}
    return found


# Random weights and random sides.


def shaken(seed: int = 0, widths: dict[str, int | None] = WIDTHS, **settings: object) -> FissFuseNet:  # type: ignore[assignment]
    """Return a network in 64 bits whose every parameter is random, norms and biases too."""
    net, g = FissFuseNet(**{**widths, "d": D, **settings}), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=g) + (parameter == 1))
    return net.double().eval()


def side(n: int, longest: int, patches: int, seed: int) -> Read:
    """Return a side of ragged length; padding, and pictures that are not there, are filled with large numbers."""
    g = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    mask = torch.arange(longest)[None] < (torch.arange(n) % longest + 1)[:, None]
    seen = torch.arange(n) % 3 != 2
    tokens = torch.where(mask[..., None], noise(n, longest, WIDTHS["token"]), 1e3)
    scale = torch.where(seen, 1.0, 1e3).double()
    image, rows = noise(n, WIDTHS["image"]), noise(n, patches, WIDTHS["patch"])
    return Read(noise(n, WIDTHS["text"]), tokens, mask, scale[:, None] * image, scale[:, None, None] * rows, seen)


def items(read: Read) -> list[Item]:
    """Return a side one by one, without its padding."""
    found = []
    for at in range(len(read.text)):
        there = bool(read.seen[at])
        image, patches = (read.image[at].tolist(), read.patches[at].tolist()) if there else (None, [])
        found.append(Item(read.text[at].tolist(), read.tokens[at][read.mask[at]].tolist(), image, patches))
    return found


def weights(net: FissFuseNet) -> Weights:
    return {name: tensor.tolist() for name, tensor in net.state_dict().items()}


def scores_of(net: FissFuseNet, mentions: Read, entities: Read) -> Scores:
    """Return the scores of all pairs, [m n] each."""
    m, e = (Terms(*(x[None] for x in side)) for side in (net.mention(mentions), net.entity(entities)))
    return {part: score[0] for part, score in net(m, e).items()}


def pairs(mentions: Read, entities: Read) -> Iterator[tuple[tuple[int, int], Item, Item]]:
    for (b, mention), (c, entity) in product(enumerate(items(mentions)), enumerate(items(entities))):
        yield (b, c), mention, entity


MENTIONS, ENTITIES = side(4, 4, 3, seed=1), side(6, 5, 2, seed=2)
BOTH = MENTIONS.seen[:, None] & ENTITIES.seen[None]


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("shared", [True, False])
def test_every_score(shared: bool, heads: int) -> None:
    net = shaken(shared=shared, heads=heads)
    found, w = scores_of(net, MENTIONS, ENTITIES), weights(net)
    assert list(found) == list(PARTS)
    for (b, c), mention, entity in pairs(MENTIONS, ENTITIES):
        expected = by_hand(w, mention, entity, heads, shared)
        for part in PARTS:
            assert found[part][b, c].item() == pytest.approx(expected.get(part, 0.0), **CLOSE), (part, b, c)


def test_lists_are_scored_as_all_pairs_are() -> None:
    net = shaken()
    whole, ours, theirs = scores_of(net, MENTIONS, ENTITIES), net.mention(MENTIONS), net.entity(ENTITIES)
    lists = torch.tensor([[5, 0, 2], [1, 1, 4], [3, 2, 0], [0, 5, 1]])
    found = net(Terms(*(x[:, None] for x in ours)), Terms(*(x[lists] for x in theirs)))
    for part in PARTS:
        torch.testing.assert_close(found[part][:, 0], whole[part].gather(1, lists))


def test_a_network_of_texts_alone() -> None:
    net = shaken(widths={**WIDTHS, "image": None, "patch": None})
    found, w = scores_of(net, MENTIONS, ENTITIES), weights(net)
    assert set(found) == set(PARTS) - set(IMAGE)
    for (b, c), mention, entity in pairs(MENTIONS, ENTITIES):
        blind = [Item(x.text, x.tokens, None, []) for x in (mention, entity)]
        expected = by_hand(w, *blind)
        for part, score in found.items():
            assert score[b, c].item() == pytest.approx(expected[part], **CLOSE)


@pytest.mark.parametrize("absent", ["average", "neutral"])
@pytest.mark.parametrize("parts", [PARTS, FISSION, FUSION, ("fission_text", "fusion_image", "fusion_both")])
def test_the_total(parts: tuple, absent: str) -> None:
    net = shaken(parts=parts, absent=absent)
    w = weights(net)
    shares = net.contributions(scores_of(net, MENTIONS, ENTITIES), BOTH)
    total = sum(shares.values())
    whole, full = shaken(absent=absent), weights(shaken(absent=absent))
    whole.load_state_dict({**whole.state_dict(), **net.state_dict()})
    full |= w
    for (b, c), mention, entity in pairs(MENTIONS, ENTITIES):
        there = {part: s for part, s in by_hand(full, mention, entity).items() if part in parts}
        expected = sum(there.values()) / len(there)
        if absent == "neutral":  # less what a picture says on average; a missing one says nothing
            expected = sum(s - w.get(f"neutral.{part}", 0.0) for part, s in there.items()) / len(parts)
        assert total[b, c].item() == pytest.approx(expected, **CLOSE)


def test_the_state_dict_has_the_layers_of_the_equations() -> None:
    lines = {f"streams.0.{kind}.0": (D, WIDTHS[name]) for kind, name in enumerate(WIDTHS)}
    norms = [f"streams.0.{kind}.1" for kind in range(4)]
    perceptrons = {"fission.0.pool_text": 3 * D, "fission.0.pool_image": 3 * D, "fuse.0": 2 * D, "fuse.1": 2 * D}
    perceptrons |= {f"fusion.0.{name}": 2 * D for name in ("to_text", "to_image", "fuse")}
    lines |= {f"{name}.first": (D, width) for name, width in perceptrons.items()}
    lines |= {f"{name}.last": (D, D) for name in perceptrons}
    bare = {}
    for attention_ in (f"{branch}.0.{kind}" for branch in ("fission", "fusion") for kind in ("text", "image")):
        lines[f"{attention_}.query"] = (D, D)
        bare |= {f"{attention_}.{kind}.weight": (D, D) for kind in ("key", "value")}
        norms.append(f"{attention_}.norm")
    expected = {f"{k}.weight": v for k, v in lines.items()} | {f"{k}.bias": v[:1] for k, v in lines.items()} | bare
    expected |= {f"{k}.{part}": (D,) for k in norms for part in ("weight", "bias")}
    expected |= {f"neutral.{part}": () for part in IMAGE}
    assert {name: tuple(tensor.shape) for name, tensor in FissFuseNet(**WIDTHS, d=D).state_dict().items()} == expected
    own = FissFuseNet(**WIDTHS, d=D, shared=False).state_dict()
    assert len(own) == 2 * len(expected) - 10  # MLP_m, MLP_e and the constants are two, one of each, anyway


def test_sharpness_is_what_two_equal_vectors_are_worth() -> None:
    torch.manual_seed(0)
    net = FissFuseNet(**WIDTHS, d=D, sharpness=0.36)
    terms = net.double().entity(ENTITIES)
    x_text, x_image, _ = terms.fused.split(D, -1)
    torch.testing.assert_close(x_text.square().sum(-1), torch.full((6,), 0.36).double(), rtol=1e-2, atol=0)
    torch.testing.assert_close(x_image.square().sum(-1), 0.36 * ENTITIES.seen.double(), rtol=1e-2, atol=0)


# The loss.


def entropy(scores: Vector, gold: int, columns: list[bool]) -> float:
    return -math.log(softmax([s for s, may in zip(scores, columns, strict=True) if may])[sum(columns[:gold])])


def losses_by_hand(scores: Scores, both: Tensor, names: Tensor | None, gold: list[int], listed: list) -> float:
    found = 0.0
    for part, score in scores.items():
        for b, right in enumerate(gold):
            pictured = both[b].tolist() if part in IMAGE else [True] * both.shape[1]
            if right < 0 or not pictured[right]:
                continue
            own = score[b] if names is None else score[b] + names[b]
            found += entropy(own.tolist(), right, [a and p for a, p in zip(listed[b], pictured, strict=True)])
    return found


LISTED = [[True] * 6, [True, True, True, False, True, False], [False, True, True, True, False, True], [True] * 6]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("gold", [[0, 2, 5, -1], [4, 1, 3, 0], [-1] * 4])
def test_the_loss(gold: list[int], named: bool) -> None:
    scores = scores_of(shaken(), MENTIONS, ENTITIES)
    names = torch.rand(4, 6, generator=torch.Generator().manual_seed(3)).double() if named else None
    listed = [[may or c == right for c, may in enumerate(row)] for row, right in zip(LISTED, gold, strict=True)]
    found = losses(scores, BOTH, names, torch.tensor(gold), torch.tensor(listed))
    assert found.item() == pytest.approx(losses_by_hand(scores, BOTH, names, gold, listed), **CLOSE)
    assert bool(found) == (max(gold) >= 0)


@pytest.mark.parametrize("gold", [[0, 2, 5, -1], [4, 1, 3, 0]])
def test_the_loss_that_teaches_the_neutral_constants(gold: list[int]) -> None:
    """A missing picture counts 0 and one that is there from the constant, for mentions that can be compared at all."""
    scores = {part: score.detach() for part, score in scores_of(shaken(), MENTIONS, ENTITIES).items()}
    neutral = {part: torch.tensor(0.3 * n - 0.5, dtype=torch.float64).requires_grad_() for n, part in enumerate(IMAGE)}
    listed = [[may or c == right for c, may in enumerate(row)] for row, right in zip(LISTED, gold, strict=True)]
    found = losses(scores, BOTH, None, torch.tensor(gold), torch.tensor(listed), neutral)
    expected, slopes = 0.0, dict.fromkeys(IMAGE, 0.0)
    for part, score in scores.items():
        for b, right in enumerate(gold):
            if right < 0 or (part in IMAGE and not any(p and a for p, a in zip(BOTH[b], listed[b], strict=True))):
                continue
            own = score[b].tolist()
            if part in IMAGE:
                own = [s - neutral[part].item() if p else 0.0 for s, p in zip(own, BOTH[b].tolist(), strict=True)]
                odds = softmax([s for s, may in zip(own, listed[b], strict=True) if may])
                pictured = [p for p, may in zip(BOTH[b].tolist(), listed[b], strict=True) if may]
                place = sum(listed[b][:right])
                slopes[part] += sum((c == place) - odds[c] for c, p in enumerate(pictured) if p)
            expected += entropy(own, right, listed[b])
    assert found.item() == pytest.approx(expected, **CLOSE)
    found.backward()
    for part, level in neutral.items():
        assert level.grad is not None and level.grad.item() == pytest.approx(slopes[part], **CLOSE) and level.grad != 0


@pytest.mark.parametrize("absent", ["average", "neutral"])
def test_a_step_moves_the_constants_where_they_count(absent: str) -> None:
    net = Net(shaken(absent=absent), names=False).double()
    lists, listed = torch.tensor([[0, 1, 2]] * 4), torch.ones(4, 3, dtype=torch.bool)
    net(Inputs(MENTIONS, ENTITIES, lists, listed, None, torch.tensor([0, 1, 2, 0]), lists, 3, 4, 1)).loss.backward()
    moved = [bool(level.grad) for level in net.core.neutral.values() if level.grad is not None]
    assert moved == ([True, True] if absent == "neutral" else [])


def test_who_is_not_listed_teaches_nothing() -> None:
    scores = {
        part: score.detach().clone().requires_grad_() for part, score in scores_of(shaken(), MENTIONS, ENTITIES).items()
    }
    gold, listed = torch.tensor([0, 2, 5, -1]), torch.tensor(LISTED)
    losses(scores, BOTH, None, gold, listed).backward()
    pictured = BOTH.gather(1, gold.clamp(min=0)[:, None]) & BOTH
    for part, score in scores.items():
        moved = listed & (gold >= 0)[:, None] & (pictured if part in IMAGE else True)
        assert score.grad is not None and score.grad.isfinite().all()
        assert torch.equal(score.grad != 0, moved & (moved.sum(1, keepdim=True) > 1)), part


def test_a_step_by_hand() -> None:
    net = Net(shaken(), names=True).double()
    lists = torch.tensor([[5, 0, 2], [1, 0, 4], [3, 2, 0], [0, 5, 1]])
    listed = torch.tensor([[True, True, True], [True, False, False], [True, True, False], [True, True, True]])
    names = torch.rand(4, 3, generator=torch.Generator().manual_seed(3)).double()
    gold, columns = torch.tensor([1, 0, 1, -1]), torch.tensor([[7, 1, 3], [2, 1, 6], [5, 3, 1], [1, 7, 2]])
    step = net(Inputs(MENTIONS, ENTITIES, lists, listed, names, gold, columns, 9, batch=3, world=1))
    every = scores_of(net.core, MENTIONS, ENTITIES)
    scores, both = {part: s.gather(1, lists) for part, s in every.items()}, BOTH.gather(1, lists)
    named = net.names(names)
    assert step.loss.item() == pytest.approx(
        losses_by_hand(scores, both, named, gold.tolist(), listed.tolist()) / 3, **CLOSE
    )
    total = sum(net.core.contributions(scores, both).values()) + named
    expected = torch.full((4, 9), float("-inf")).double()
    for b, k in torch.nonzero(listed).tolist():
        expected[b, columns[b, k]] = total[b, k]
    torch.testing.assert_close(step.scores, expected)
    halves = [
        net(Inputs(Read(*(x[own] for x in MENTIONS)), ENTITIES, lists[own], listed[own], names[own], gold[own],
                   columns[own], 9, batch=3, world=2))
        for own in (slice(0, 2), slice(2, 4))
    ]  # fmt: skip
    assert sum(each.loss.item() for each in halves) / 2 == pytest.approx(step.loss.item(), **CLOSE)


# Gradients.


class Whole(torch.nn.Module):
    """From two sides to all their scores."""

    def __init__(self, net: FissFuseNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, *sides: Read) -> Tensor:
        return torch.stack(list(scores_of(self.net, *sides).values()))


@pytest.mark.parametrize("settings", [{}, {"heads": 2, "shared": False}])
def test_gradients_by_differences(settings: dict) -> None:
    net = shaken(seed=4, **settings)
    ours, theirs = (
        r._replace(tokens=r.tokens * r.mask[..., None], image=r.image * r.seen[:, None])
        for r in (side(3, 2, 2, 11), side(3, 3, 1, 12))
    )
    names, values = zip(*net.named_parameters(), strict=True)
    given = [name for name, x in ours._asdict().items() if x.is_floating_point()]

    def total(*x: Tensor) -> Tensor:
        own, first, second = x[: len(names)], x[len(names) : len(names) + len(given)], x[len(names) + len(given) :]
        filled = [r._replace(**dict(zip(given, f, strict=True))) for r, f in ((ours, first), (theirs, second))]
        return functional_call(Whole(net), {f"net.{n}": p for n, p in zip(names, own, strict=True)}, tuple(filled))

    start = (*values, *(getattr(read, name) for read in (ours, theirs) for name in given))
    free = [x.detach().clone().requires_grad_() for x in start]
    assert torch.autograd.gradcheck(total, free, fast_mode=True)


def test_every_layer_learns() -> None:
    net = shaken()
    sum(score.square().sum() for score in scores_of(net, MENTIONS, ENTITIES).values()).backward()
    still = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert still == {f"neutral.{part}" for part in IMAGE}
