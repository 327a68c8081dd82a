"""MIMIC's matcher against its equations: one pair at a time in loops, and a plain batched form for the gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from melink.methods.matcher import Matcher, Read, Scores
from melink.methods.mimic import Inputs, Net, losses

Vector = list[float]
Weights = dict[str, list]
"""The state dict as nested lists: what the loops read."""
EPS = 1e-5
WIDTHS = {"text": 7, "token": 5, "image": 6, "patch": 3, "d": 4}
CLOSE = {"rel": 1e-7, "abs": 1e-9}


# A pair in loops: every unit from its equation.


@dataclass(frozen=True)
class Item:
    """What one mention or entity gives: the rows that take part, nothing else."""

    text: Vector
    tokens: list[Vector]
    image: Vector
    patches: list[Vector]
    seen: bool


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def plus(one: Vector, other: Vector) -> Vector:
    return [a + b for a, b in zip(one, other, strict=True)]


def times(number: float, x: Vector) -> Vector:
    return [number * a for a in x]


def mean(rows: Sequence[Vector]) -> Vector:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def softmax(x: Vector) -> Vector:
    top = max(x)
    odds = [math.exp(a - top) for a in x]
    return [a / sum(odds) for a in odds]


def linear(w: Weights, name: str, x: Vector) -> Vector:
    return [dot(row, x) + b for row, b in zip(w[f"{name}.weight"], w[f"{name}.bias"], strict=True)]


def norm(w: Weights, name: str, x: Vector) -> Vector:
    middle = sum(x) / len(x)
    spread = math.sqrt(sum((a - middle) ** 2 for a in x) / len(x) + EPS)
    return [g * (a - middle) / spread + b for a, g, b in zip(x, w[f"{name}.weight"], w[f"{name}.bias"], strict=True)]


def whole_picture(w: Weights, item: Item) -> Vector:
    """v^G after its norm."""
    return norm(w, "norm_image", linear(w, "image_whole", item.image))


def patch_rows(w: Weights, item: Item) -> list[Vector]:
    """V^L after its norm."""
    return [norm(w, "norm_patch", linear(w, "image_patch", row)) for row in item.patches]


def g2g(w: Weights, mention: Item, entity: Item) -> float:
    return dot(norm(w, "norm_text", mention.text), norm(w, "norm_text", entity.text))


def g2l(w: Weights, mention: Item, entity: Item) -> float:
    ours = [norm(w, "norm_token", row) for row in mention.tokens]
    width, values = len(w["tglu.query.bias"]), [linear(w, "tglu.value", row) for row in ours]
    read = []
    for row in entity.tokens:
        query = linear(w, "tglu.query", norm(w, "norm_token", row))
        attention = softmax([dot(query, linear(w, "tglu.key", other)) / math.sqrt(width) for other in ours])
        read.append([dot(attention, column) for column in zip(*values, strict=True)])
    return dot(linear(w, "tglu.whole", norm(w, "norm_text", entity.text)), norm(w, "tglu.norm", mean(read)))


def tglu(w: Weights, mention: Item, entity: Item) -> float:
    return (g2g(w, mention, entity) + g2l(w, mention, entity)) / 2


def dual(w: Weights, name: str, query: Vector, key: Vector, tokens: list[Vector]) -> float:
    q, k = linear(w, f"{name}.whole", query), linear(w, f"{name}.whole", key)
    u = mean([linear(w, f"{name}.patch", row) for row in tokens])
    x = linear(w, f"{name}.mix", norm(w, f"{name}.norm_sum", plus(u, q)))
    gate = math.tanh(linear(w, f"{name}.gate", x)[0])
    return dot(norm(w, f"{name}.norm", plus(times(gate, x), k)), norm(w, f"{name}.norm", q))


def to_mention(w: Weights, mention: Item, entity: Item) -> float:
    ours, theirs = whole_picture(w, mention), whole_picture(w, entity)
    return dual(w, "vdlu.to_mention", theirs, ours, patch_rows(w, mention))


def to_entity(w: Weights, mention: Item, entity: Item) -> float:
    ours, theirs = whole_picture(w, mention), whole_picture(w, entity)
    return dual(w, "vdlu.to_entity", ours, theirs, patch_rows(w, entity))


def vdlu(w: Weights, mention: Item, entity: Item) -> float:
    return (to_mention(w, mention, entity) + to_entity(w, mention, entity)) / 2


def fused(w: Weights, item: Item) -> Vector:
    h = linear(w, "cmfu.text", norm(w, "norm_text", item.text))
    rows = [linear(w, "cmfu.patch", row) for row in patch_rows(w, item)]
    attention = softmax([dot(row, h) for row in rows])
    context = [dot(attention, column) for column in zip(*rows, strict=True)]
    return norm(w, "cmfu.norm", plus(times(math.tanh(linear(w, "cmfu.gate", h)[0]), h), context))


def cmfu(w: Weights, mention: Item, entity: Item) -> float:
    return dot(fused(w, mention), fused(w, entity))


UNITS: dict[str, Callable[[Weights, Item, Item], float]] = {"text": tglu, "image": vdlu, "cross": cmfu}


# The same equations over a batch, with every tensor written out.


def plain_scores(p: dict[str, Tensor], m: Read, e: Read) -> dict[str, Tensor]:
    """Return the three scores [B, C] of one batch, pictures or not; padding must be finite."""

    def line(name: str, x: Tensor) -> Tensor:
        return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])

    def ln(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], EPS)

    def block(name: str, query: Tensor, key: Tensor, tokens: Tensor) -> Tensor:
        """Scores [query, key] of one DUAL."""
        q, k = line(f"{name}.whole", query), line(f"{name}.whole", key)
        u = line(f"{name}.patch", tokens).mean(1)
        x = line(f"{name}.mix", ln(f"{name}.norm_sum", u[None] + q[:, None]))
        y = ln(f"{name}.norm", line(f"{name}.gate", x).tanh() * x + k[None])
        return (y * ln(f"{name}.norm", q)[:, None]).sum(-1)

    def fuse(text: Tensor, patches: Tensor) -> Tensor:
        h, rows = line("cmfu.text", text), line("cmfu.patch", patches)
        context = ((rows * h[:, None]).sum(-1).softmax(-1)[..., None] * rows).sum(1)
        return ln("cmfu.norm", line("cmfu.gate", h).tanh() * h + context)

    tm, te = ln("norm_text", m.text), ln("norm_text", e.text)
    xm, xe = ln("norm_token", m.tokens), ln("norm_token", e.tokens)
    logits = torch.einsum("eid,bjd->ebij", line("tglu.query", xe), line("tglu.key", xm)) / math.sqrt(tm_width(p))
    attention = logits.masked_fill(~m.mask[None, :, None], float("-inf")).softmax(-1)
    read = torch.einsum("ebij,bjd->ebid", attention, line("tglu.value", xm)) * e.mask[:, None, :, None]
    context = ln("tglu.norm", read.sum(2) / e.mask.sum(1)[:, None, None])
    text = (tm @ te.T + (context * line("tglu.whole", te)[:, None]).sum(-1).T) / 2
    gm, ge = (ln("norm_image", line("image_whole", side.image)) for side in (m, e))
    pm, pe = (ln("norm_patch", line("image_patch", side.patches)) for side in (m, e))
    image = (block("vdlu.to_mention", ge, gm, pm).T + block("vdlu.to_entity", gm, ge, pe)) / 2
    return {"text": text, "image": image, "cross": fuse(tm, pm) @ fuse(te, pe).T}


def tm_width(p: dict[str, Tensor]) -> int:
    return len(p["tglu.query.bias"])


# Random weights and random sides.


def shaken(seed: int = 0, widths: dict[str, int] = WIDTHS, **settings: object) -> Matcher:
    """Return a matcher in 64 bits whose every parameter is random, norms and biases too."""
    matcher = Matcher(**widths, **settings)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in matcher.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator) + (parameter == 1))
    return matcher.double().eval()


def side(n: int, longest: int, patches: int, seed: int, widths: dict[str, int] = WIDTHS) -> Read:
    """Return a side of ragged length; padding, and pictures that are not there, are filled with large numbers."""
    g = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    lengths = torch.arange(n) % longest + 1
    mask = torch.arange(longest)[None] < lengths[:, None]
    seen = torch.arange(n) % 3 != 2
    tokens = torch.where(mask[..., None], noise(n, longest, widths["token"]), 1e3 * noise(n, longest, widths["token"]))
    image, rows = noise(n, widths["image"]), noise(n, patches, widths["patch"])
    scale = torch.where(seen, 1.0, 1e3).double()
    return Read(noise(n, widths["text"]), tokens, mask, scale[:, None] * image, scale[:, None, None] * rows, seen)


def items(read: Read, padded: bool = False) -> list[Item]:
    """Return a side one by one, without its padding unless the padding takes part."""
    found = []
    for at in range(len(read.text)):
        rows = read.tokens[at] if padded else read.tokens[at][read.mask[at]]
        parts = (read.text[at], rows, read.image[at], read.patches[at])
        found.append(Item(*(part.tolist() for part in parts), seen=padded or bool(read.seen[at])))
    return found


def weights(matcher: Matcher) -> Weights:
    return {name: tensor.tolist() for name, tensor in matcher.state_dict().items()}


def scores_of(matcher: Matcher, mentions: Read, entities: Read) -> Scores:
    return matcher(matcher.mention(mentions), matcher.entity(entities))


def pairs(mentions: Read, entities: Read, padded: bool = False) -> Iterator[tuple[tuple[int, int], Item, Item]]:
    both = product(enumerate(items(mentions, padded)), enumerate(items(entities, padded)))
    for (b, mention), (c, entity) in both:
        yield (b, c), mention, entity


MENTIONS, ENTITIES = side(4, 4, 3, seed=1), side(6, 5, 2, seed=2)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("quirks", [False, True])
def test_every_unit(unit: str, quirks: bool) -> None:
    matcher = shaken(quirks=quirks)
    scores, w = scores_of(matcher, MENTIONS, ENTITIES), weights(matcher)
    for (b, c), mention, entity in pairs(MENTIONS, ENTITIES, padded=quirks):
        there = unit == "text" or (mention.seen and entity.seen)
        expected = UNITS[unit](w, mention, entity) if there else 0.0
        assert getattr(scores, unit)[b, c].item() == pytest.approx(expected, **CLOSE), (unit, b, c)
        assert scores.both[b, c].item() is (mention.seen and entity.seen)


def test_single_precision_is_near() -> None:
    matcher = shaken()
    double = scores_of(matcher, MENTIONS, ENTITIES)
    single = scores_of(
        matcher.float(), *(Read(*(x.float() if x.is_floating_point() else x for x in r)) for r in (MENTIONS, ENTITIES))
    )
    for name in UNITS:
        torch.testing.assert_close(getattr(single, name).double(), getattr(double, name), rtol=1e-4, atol=1e-4)


def silenced(matcher: Matcher, *names: str) -> Matcher:
    state = matcher.state_dict()
    matcher.load_state_dict({k: v * (0 if k.rpartition(".")[0] in names else 1) for k, v in state.items()})
    return matcher


SEEN = MENTIONS._replace(seen=torch.ones(4, dtype=torch.bool)), ENTITIES._replace(seen=torch.ones(6, dtype=torch.bool))


@pytest.mark.parametrize(
    ("silent", "unit", "half"),
    [
        (("tglu.whole",), "text", g2g),
        (("norm_text",), "text", lambda w, m, e: 0.0 + g2l(w, m, e)),
        (("vdlu.to_entity.norm",), "image", to_mention),
        (("vdlu.to_mention.norm",), "image", to_entity),
    ],
)
def test_each_half_alone(silent: tuple[str, ...], unit: str, half: Callable[[Weights, Item, Item], float]) -> None:
    matcher = silenced(shaken(), *silent)
    scores, w = getattr(scores_of(matcher, *SEEN), unit), weights(matcher)
    for (b, c), mention, entity in pairs(*SEEN):
        assert scores[b, c].item() == pytest.approx(half(w, mention, entity) / 2, **CLOSE)
    assert scores.std() > 0


@pytest.mark.parametrize(
    ("name", "units"),
    [
        *((f"norm_{part}", units) for part, units in
          {"text": "text cross", "token": "text", "image": "image", "patch": "image cross"}.items()),
        *((f"tglu.{part}", "text") for part in ("query", "key", "value", "whole", "norm")),
        *((f"vdlu.{way}.{part}", "image") for way in ("to_mention", "to_entity")
          for part in ("whole", "patch", "mix", "gate", "norm_sum", "norm")),
        *((f"cmfu.{part}", "cross") for part in ("text", "patch", "gate", "norm")),
        ("image_whole", "image"),
        ("image_patch", "image cross"),
    ],
)  # fmt: skip
def test_each_layer_moves_its_units_only(name: str, units: str) -> None:
    matcher = shaken()
    before, after = scores_of(matcher, *SEEN), scores_of(silenced(matcher, name), *SEEN)
    moved = {unit for unit in UNITS if not torch.equal(getattr(before, unit), getattr(after, unit))}
    assert moved == set(units.split())


def test_the_state_dict_has_the_layers_of_the_equations() -> None:
    d, text, token, image, patch = (WIDTHS[name] for name in ("d", "text", "token", "image", "patch"))
    lines = {"image_whole": (d, image), "image_patch": (d, patch), "tglu.whole": (d, text), "cmfu.text": (d, text)}
    lines |= {f"tglu.{part}": (d, token) for part in ("query", "key", "value")}
    lines |= {"cmfu.patch": (d, d), "cmfu.gate": (1, d)}
    norms = {"norm_text": text, "norm_token": token, "norm_image": d, "norm_patch": d, "tglu.norm": d, "cmfu.norm": d}
    for way in ("vdlu.to_mention", "vdlu.to_entity"):
        lines |= {f"{way}.{part}": (d, d) for part in ("whole", "patch", "mix")} | {f"{way}.gate": (1, d)}
        norms |= {f"{way}.norm_sum": d, f"{way}.norm": d}
    expected = {f"{k}.weight": v for k, v in lines.items()} | {f"{k}.bias": v[:1] for k, v in lines.items()}
    expected |= {f"{k}.{part}": (width,) for k, width in norms.items() for part in ("weight", "bias")}
    found = {name: tuple(tensor.shape) for name, tensor in Matcher(**WIDTHS).state_dict().items()}
    assert {name: shape for name, shape in found.items() if name != "neutral"} == expected


@pytest.mark.parametrize("absent", ["average", "neutral"])
@pytest.mark.parametrize("quirks", [False, True])
def test_the_total(absent: str, quirks: bool) -> None:
    matcher = shaken(absent=absent, quirks=quirks)
    scores, w = scores_of(matcher, MENTIONS, ENTITIES), weights(matcher)
    total = matcher.combine(scores)
    for (b, c), mention, entity in pairs(MENTIONS, ENTITIES, padded=quirks):
        parts = [tglu(w, mention, entity)]
        if mention.seen and entity.seen:
            parts += [vdlu(w, mention, entity), cmfu(w, mention, entity)]
        expected = sum(parts) / len(parts)
        if absent == "neutral":  # less what a picture says on average; a missing one says nothing
            expected = (sum(parts) - (sum(w["neutral"]) if len(parts) == 3 else 0.0)) / 3
        assert total[b, c].item() == pytest.approx(expected, **CLOSE)


def test_neutral_values_are_learned_where_there_are_pictures() -> None:
    matcher = shaken(absent="neutral")
    scores = scores_of(matcher, MENTIONS, ENTITIES)
    matcher.combine(scores).sum().backward()
    assert matcher.neutral.grad.tolist() == pytest.approx([-int(scores.both.sum()) / 3] * 2)


@pytest.mark.parametrize("absent", ["average", "neutral"])
def test_a_matcher_of_texts_alone(absent: str) -> None:
    matcher = shaken(widths=WIDTHS | {"image": None, "patch": None}, absent=absent)
    scores, w = scores_of(matcher, MENTIONS, ENTITIES), weights(matcher)
    total = matcher.combine(scores)
    for (b, c), mention, entity in pairs(MENTIONS, ENTITIES):
        text = tglu(w, mention, entity)
        assert scores.text[b, c].item() == pytest.approx(text, **CLOSE)
        assert total[b, c].item() == pytest.approx(text, **CLOSE)  # what is missing everywhere is no evidence
    assert not scores.both.any() and not scores.image.any() and not scores.cross.any()


def test_projections_by_hand() -> None:
    matcher = shaken()
    seen, w = matcher.project(MENTIONS), weights(matcher)
    for at, item in enumerate(items(MENTIONS)):
        if item.seen:
            assert seen.whole[at].tolist() == pytest.approx(linear(w, "image_whole", item.image), **CLOSE)
            for row, given in zip(seen.patches[at].tolist(), item.patches, strict=True):
                assert row == pytest.approx(linear(w, "image_patch", given), **CLOSE)
    assert seen.seen.tolist() == MENTIONS.seen.tolist()


def test_what_is_projected_is_what_is_scored() -> None:
    matcher, (ours, theirs) = shaken(), SEEN
    other = side(4, 4, 3, seed=9)._replace(seen=ours.seen)
    found = matcher(matcher.mention(ours, matcher.project(other)), matcher.entity(theirs))
    expected = scores_of(matcher, ours._replace(image=other.image, patches=other.patches), theirs)
    assert not torch.isclose(expected.image, scores_of(matcher, ours, theirs).image).any()
    for name in UNITS:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("absent", ["average", "neutral"])
def test_contributions_add_up(absent: str) -> None:
    matcher = shaken(absent=absent)
    scores = scores_of(matcher, MENTIONS, ENTITIES)
    parts = matcher.shares(scores)
    torch.testing.assert_close(parts.text + parts.image + parts.cross, matcher.combine(scores))
    assert not parts.image[~scores.both].any() and not parts.cross[~scores.both].any()


def test_some_entities_of_one_mention() -> None:
    matcher = shaken()
    w, ours, theirs = weights(matcher), matcher.mention(MENTIONS), matcher.entity(ENTITIES)
    gained, fixed = matcher.tglu.weighed(theirs.whole)
    mentions, entities = items(MENTIONS), items(ENTITIES)
    for b, rows in ((0, [5]), (1, [4, 0, 2]), (3, [0, 1, 2, 3, 4, 5])):
        some = theirs._replace(queries=theirs.queries[rows], mask=theirs.mask[rows])
        found = matcher.tglu.pairs(ours, b, some, gained[rows]) + fixed[rows]
        assert found.tolist() == pytest.approx([g2l(w, mentions[b], entities[c]) for c in rows], **CLOSE)


# The loss.


def entropy(scores: Vector, gold: int, columns: list[bool]) -> float:
    return -math.log(softmax([s for s, may in zip(scores, columns, strict=True) if may])[sum(columns[:gold])])


def losses_by_hand(total: Tensor, scores: Scores, gold: list[int], allowed: list[list[bool]]) -> float:
    """CE(S) + CE(S_T) of every mention with gold; CE(S_V) + CE(S_C) where gold's pair has both pictures."""
    found = 0.0
    for b, right in enumerate(gold):
        if right < 0:
            continue
        there = scores.both[b].tolist()
        for part in (total, scores.text):
            found += entropy(part[b].tolist(), right, allowed[b])
        if there[right]:
            pictured = [may and both for may, both in zip(allowed[b], there, strict=True)]
            for part in (scores.image, scores.cross):
                found += entropy(part[b].tolist(), right, pictured)
    return found


GOLD = [0, 2, 5, -1]
ALLOWED = [[True] * 6, [True, True, True, False, True, False], [False, True, True, True, False, True], [True] * 6]


@pytest.mark.parametrize("gold", [GOLD, [4, 1, 3, 0], [2, 2, 2, -1], [-1] * 4])
def test_the_loss(gold: list[int]) -> None:
    matcher = shaken()
    scores = scores_of(matcher, MENTIONS, ENTITIES)
    total = matcher.combine(scores)
    allowed = [[may or column == right for column, may in enumerate(row)] for row, right in
               zip(ALLOWED, gold, strict=True)]  # fmt: skip
    found = losses(total, scores, torch.tensor(gold), torch.tensor(allowed))
    assert found.item() == pytest.approx(losses_by_hand(total, scores, gold, allowed), **CLOSE)


def test_columns_that_are_not_allowed_teach_nothing() -> None:
    scores = scores_of(shaken(), MENTIONS, ENTITIES)
    parts = [x.detach().requires_grad_() for x in (scores.text + 1, scores.text, scores.image, scores.cross)]
    allowed = torch.tensor(ALLOWED)
    losses(parts[0], Scores(*parts[1:], scores.both), torch.tensor(GOLD), allowed).backward()
    has, there = (
        torch.tensor(GOLD) >= 0,
        torch.tensor([scores.both[b, max(g, 0)] and g >= 0 for b, g in enumerate(GOLD)]),
    )
    texts, pictures = allowed & has[:, None], allowed & there[:, None] & scores.both
    for part, moved in zip(parts, (texts, texts, pictures, pictures), strict=True):
        assert part.grad is not None and part.grad.isfinite().all()
        assert torch.equal(part.grad != 0, moved & (moved.sum(1, keepdim=True) > 1))


@pytest.mark.parametrize("absent", ["average", "neutral"])
def test_a_step_by_hand(absent: str) -> None:
    net = Net(shaken(absent=absent), names=False)
    gold, allowed = torch.tensor(GOLD), torch.tensor(ALLOWED)
    step = net(Inputs(MENTIONS, ENTITIES, None, gold, allowed, batch=3, world=1))
    scores = scores_of(net.matcher, MENTIONS, ENTITIES)
    total = net.matcher.combine(scores)
    assert torch.equal(step.scores, total)
    assert step.loss.item() == pytest.approx(losses_by_hand(total, scores, GOLD, ALLOWED) / 3, **CLOSE)
    two = [
        net(Inputs(Read(*(x[half] for x in MENTIONS)), ENTITIES, None, gold[half], allowed[half], 3, 2))
        for half in (slice(0, 2), slice(2, 4))
    ]
    assert sum(each.loss.item() for each in two) / 2 == pytest.approx(step.loss.item(), **CLOSE)


# Gradients.


def test_the_plain_form_is_that_of_the_loops() -> None:
    matcher = shaken()
    found, w = plain_scores(dict(matcher.named_parameters()), MENTIONS, ENTITIES), weights(matcher)
    for (b, c), mention, entity in pairs(MENTIONS, ENTITIES):
        for name, unit in UNITS.items():
            assert found[name][b, c].item() == pytest.approx(unit(w, mention, entity), **CLOSE)


def gradients(total: Tensor, of: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(total, list(of.values()), allow_unused=True)
    return {name: torch.zeros_like(x) if g is None else g for (name, x), g in zip(of.items(), found, strict=True)}


def inputs(read: Read, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": x.requires_grad_() for name, x in read._asdict().items() if x.is_floating_point()}


@pytest.mark.parametrize("precise", [True, False])
def test_gradients_are_those_of_the_plain_form(precise: bool) -> None:
    matcher, kind = shaken(), torch.float64 if precise else torch.float32
    matcher.to(kind)
    ours, theirs = (
        Read(*(x.detach().to(kind) if x.is_floating_point() else x for x in r)) for r in (MENTIONS, ENTITIES)
    )
    leaves = dict(matcher.named_parameters()) | inputs(ours, "mention") | inputs(theirs, "entity")
    leaves.pop("neutral", None)
    generator = torch.Generator().manual_seed(5)
    weigh = {name: torch.randn(4, 6, generator=generator).to(kind) for name in UNITS}
    there = ours.seen[:, None] & theirs.seen[None]
    weigh |= {name: weigh[name] * there for name in ("image", "cross")}
    plain = plain_scores(leaves, ours, theirs)
    found = scores_of(matcher, ours, theirs)
    expected = gradients(sum((weigh[name] * plain[name]).sum() for name in UNITS), leaves)
    given = gradients(sum((weigh[name] * getattr(found, name)).sum() for name in UNITS), leaves)
    limits = {"rtol": 1e-7, "atol": 1e-9} if precise else {"rtol": 2e-4, "atol": 2e-5}
    for name in leaves:
        torch.testing.assert_close(given[name], expected[name], **limits, msg=lambda m, n=name: f"{n}: {m}")
    moved = {name for name in leaves if given[name].any()}
    assert set(leaves) - moved <= {"tglu.key.bias"}  # the same for every token of a mention: softmax does not see it


@pytest.mark.parametrize("absent", ["average", "neutral"])
def test_gradients_by_differences(absent: str) -> None:
    widths = {"text": 3, "token": 3, "image": 3, "patch": 2, "d": 3}
    matcher = shaken(seed=4, widths=widths, absent=absent)
    ours, theirs = side(3, 2, 2, 11, widths), side(2, 3, 1, 12, widths)
    ours, theirs = (  # a padding of 1 by 1000 is hard on finite differences
        r._replace(tokens=r.tokens * r.mask[..., None], image=r.image * r.seen[:, None]) for r in (ours, theirs)
    )
    names, values = zip(*matcher.named_parameters(), strict=True)
    given = [name for name, x in ours._asdict().items() if x.is_floating_point()]

    def total(*x: Tensor) -> Tensor:
        own, first, second = x[: len(names)], x[len(names) : len(names) + len(given)], x[len(names) + len(given) :]
        filled = [r._replace(**dict(zip(given, f, strict=True))) for r, f in ((ours, first), (theirs, second))]
        return functional_call(
            Whole(matcher), {f"matcher.{n}": p for n, p in zip(names, own, strict=True)}, tuple(filled)
        )

    start = (*values, *(getattr(read, name) for read in (ours, theirs) for name in given))
    free = [x.detach().clone().requires_grad_() for x in start]
    assert torch.autograd.gradcheck(total, free, fast_mode=True)


class Whole(torch.nn.Module):
    """From two sides to their totals."""

    def __init__(self, matcher: Matcher) -> None:
        super().__init__()
        self.matcher = matcher

    def forward(self, *sides: Read) -> Tensor:
        return self.matcher.combine(scores_of(self.matcher, *sides))
