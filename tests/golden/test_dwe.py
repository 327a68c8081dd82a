"""DWE+'s attention, fusion and losses against their equations, one mention at a time; and its misprints."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from melink.methods.dwe import DWESettings, Inputs, Net, mean_shifted, neighbours, triplet
from melink.methods.dwe_inputs import Given, Rows
from melink.methods.dwe_query import Query, QuerySettings

Vector = list[float]
EPS = 1e-5
WIDTHS = {"regions": 3, "whole": 4, "faces": 5, "looks": 6, "identities": 6}
DT, D, HEADS = 6, 8, 4
CLOSE = {"rel": 1e-9, "abs": 1e-9}


# Loops.


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def plus(*vectors: Vector) -> Vector:
    return [sum(each) for each in zip(*vectors, strict=True)]


def scaled(by: float, x: Vector) -> Vector:
    return [by * a for a in x]


def softmax(x: Vector) -> Vector:
    odds = [math.exp(a - max(x)) for a in x]
    return [a / sum(odds) for a in odds]


def unit(x: Vector) -> Vector:
    return scaled(1 / math.sqrt(dot(x, x)), x)


class ByHand:
    """The network in loops over its state dict."""

    def __init__(self, net: Query, s: QuerySettings) -> None:
        self.w = {name: value.tolist() for name, value in net.state_dict().items()}
        self.s = s

    def linear(self, name: str, x: Vector) -> Vector:
        return plus([dot(row, x) for row in self.w[f"{name}.weight"]], self.w[f"{name}.bias"])

    def transform(self, kind: str, x: Vector) -> Vector:
        """Linear, ReLU, LayerNorm; texts of all kinds share one."""
        name = f"read.{kind}" if f"read.{kind}.0.weight" in self.w else "read_text"
        h = [max(a, 0.0) for a in self.linear(f"{name}.0", x)]
        middle = sum(h) / len(h)
        spread = math.sqrt(sum((a - middle) ** 2 for a in h) / len(h) + EPS)
        gain, bias = self.w[f"{name}.2.weight"], self.w[f"{name}.2.bias"]
        return [g * (a - middle) / spread + b for a, g, b in zip(h, gain, bias, strict=True)]

    def attention(self, m: Vector, rows: list[Vector]) -> Vector:
        """m over rows, a head at a time; zero over none."""
        if not rows:
            return [0.0] * D
        query, size, context = self.linear("attend.query", m), D // HEADS, []
        keys, values = ([self.linear(f"attend.{kind}", row) for row in rows] for kind in ("key", "value"))
        for at in range(0, D, size):
            own = slice(at, at + size)
            weights = softmax([dot(query[own], key[own]) / math.sqrt(size) for key in keys])
            context += [
                sum(a * value[i] for a, value in zip(weights, values, strict=True)) for i in range(at, at + size)
            ]
        return self.linear("attend.out", context)

    def vector(self, surface: Vector, text: Vector | None, sets: dict[str, list[Vector]]) -> Vector:
        m = self.transform("surface", surface)
        rows = {kind: [self.transform(kind, x) for x in own] for kind, own in sets.items()}
        asked = {
            "mention": m,
            "text": self.attention(m, [] if text is None else [self.transform("text", text)]),
            "objects": self.attention(m, rows["regions"] + rows["whole"]),
            "faces": self.attention(m, rows["faces"] + rows["looks"]),
            "identity": self.attention(m, rows["identities"]),
        }
        weight = self.w["fuse.weight"]
        if self.s.fusion == "gated":
            e = 1 / (1 + math.exp(-self.w["epsilon"]))
            coarse = scaled(1 - e, plus(asked["mention"], asked["text"], asked["objects"]))
            given = plus(coarse, scaled(e, plus(asked["faces"], asked["identity"])))
        else:
            given = [a for name in ("mention", "text", "objects", "faces", "identity") for a in asked[name]]
        g = plus([dot(row, given) for row in weight], self.w["fuse.bias"])
        if not self.s.shortcut:
            return g
        g = plus(g, surface if text is None else text)
        if sets["identities"]:
            (kappa, rho), omega = map(math.exp, self.w["kappa"]), math.exp(self.w["omega"])
            likely = zip(sets["identities"], ALIKE, strict=False)
            weights = softmax([kappa * dot(surface, s) + rho * c for s, c in likely])
            for a, s in zip(weights, sets["identities"], strict=True):
                g = plus(g, scaled(omega * a, s))
        return g


# Random mentions.

MENTIONS: list[dict[str, int]] = [
    {"text": 1, "regions": 3, "whole": 1, "faces": 2, "looks": 1, "identities": 3},
    {"text": 1, "regions": 0, "whole": 1, "faces": 0, "looks": 0, "identities": 1},
    {"text": 1, "regions": 1, "whole": 0, "faces": 1, "looks": 2, "identities": 0},
    {"text": 0, "regions": 0, "whole": 0, "faces": 0, "looks": 0, "identities": 0},
]
"""How many rows of each kind a mention has."""
ALIKE = (0.9, 0.4, 0.7, 0.0)
"""How much the identities of a mention resemble its faces."""


def drawn(seed: int = 0) -> list[tuple[Vector, Vector | None, dict[str, list[Vector]]]]:
    draw = random.Random(seed)

    def vector(width: int) -> Vector:
        return [draw.gauss(0, 1) for _ in range(width)]

    return [
        (
            vector(DT),
            vector(DT) if own["text"] else None,
            {k: [vector(w) for _ in range(own[k])] for k, w in WIDTHS.items()},
        )
        for own in MENTIONS
    ]


def given(items: list[tuple[Vector, Vector | None, dict[str, list[Vector]]]], padding: float = 1e6) -> Given:
    """Pad the sets with large numbers."""
    sets = {}
    for kind, width in WIDTHS.items():
        own = [each[2][kind] for each in items]
        longest = max(map(len, own)) + 1
        vectors = torch.full((len(own), longest, width), padding, dtype=torch.float64)
        for row, rows in enumerate(own):
            if rows:
                vectors[row, : len(rows)] = torch.tensor(rows, dtype=torch.float64)
        sets[kind] = Rows(vectors, torch.arange(longest) < torch.tensor([len(rows) for rows in own])[:, None])
    text = torch.tensor([each[1] or [0.0] * DT for each in items], dtype=torch.float64)
    surface = torch.tensor([each[0] for each in items], dtype=torch.float64)
    read = torch.tensor([each[1] is not None for each in items])
    alike = torch.tensor(ALIKE[: sets["identities"].there.shape[1]], dtype=torch.float64).repeat(len(items), 1)
    return Given(surface, text, read, sets, alike)


def shaken(s: QuerySettings, seed: int = 0) -> Query:
    """Return a network in 64 bits whose every parameter is random."""
    net, g = Query(DT, WIDTHS, s), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=g) + (parameter == 1))
    return net.double().eval()


KINDS = [{"fusion": fusion, "shortcut": shortcut} for fusion in ("gated", "concatenated") for shortcut in (True, False)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_vector_of_a_mention(kind: dict[str, object]) -> None:
    s = DWESettings(width=D, heads=HEADS, **kind)
    net, items = shaken(s), drawn()
    found, by_hand = net(given(items)), ByHand(net, s)
    for row, item in enumerate(items):
        assert found.whole()[row].tolist() == pytest.approx(by_hand.vector(*item), **CLOSE), row


def test_the_gate_is_a_share_whatever_is_learned() -> None:
    s = DWESettings(width=D, heads=HEADS, shortcut=False)
    net, both = shaken(s), given(drawn())
    with torch.no_grad():
        net.epsilon.fill_(50.0)
        last = net(both)
        assert last.parts["objects"].abs().max() < 1e-12 < last.parts["identity"].abs().max()
        net.epsilon.fill_(-50.0)
        assert net(both).parts["identity"].abs().max() < 1e-12
        # as printed ε is any number, and at −1 what faces say would count against them; here it never does
        net.epsilon.fill_(-1.0)
        assert torch.cosine_similarity(net(both).parts["faces"][0], last.parts["faces"][0], dim=0) == pytest.approx(1)


def test_w_as_printed_fits_nothing() -> None:
    """Of 2d × d, where what it is given has d numbers."""
    net = shaken(DWESettings(width=D, heads=HEADS))
    assert net.fuse.weight.T.shape == (D, DT) and net(given(drawn())).whole().shape == (len(MENTIONS), DT)
    net.fuse.weight = torch.nn.Parameter(torch.randn(DT, 2 * D, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        net(given(drawn()))


def test_parts_add_up_to_the_cosine() -> None:
    net = shaken(DWESettings(width=D, heads=HEADS))
    terms = net(given(drawn()))
    e = torch.nn.functional.normalize(torch.randn(5, DT, dtype=torch.float64), dim=-1)
    length = terms.whole().norm(dim=-1, keepdim=True)
    added = sum((part / length) @ e.T for part in terms.parts.values())
    torch.testing.assert_close(added, torch.cosine_similarity(terms.whole()[:, None], e[None], dim=-1))
    assert set(terms.parts) == {"text", "objects", "faces", "identity"}
    for name in ("objects", "faces", "identity"):
        assert not terms.parts[name][~terms.seen[name]].any()


# MSC.


def msc_by_hand(one: list[Vector], other: list[Vector], tau: float, kept: bool = False) -> float:
    stack, count = [*one, *other], len(one)
    centre = scaled(1 / len(stack), plus(*stack))
    rows = [unit([a - b for a, b in zip(row, centre, strict=True)]) for row in stack]
    total = 0.0
    for a in range(2 * count):
        p = (a + count) % (2 * count)
        all_ = sum(math.exp(dot(rows[a], rows[i]) / tau) for i in range(2 * count) if i != a)
        positive = math.exp(dot(rows[a], rows[p]) / tau)
        total -= math.log(positive / (all_ if kept else all_ - positive))
    return total / (2 * count)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("tau", [0.2, 0.6])
@pytest.mark.parametrize("pairs", [2, 3, 7])
def test_msc(pairs: int, tau: float, kept: bool) -> None:
    draw = random.Random(pairs)
    one, other = ([[draw.gauss(1, 1) for _ in range(4)] for _ in range(pairs)] for _ in range(2))
    x, y = (torch.tensor(each, dtype=torch.float64) for each in (one, other))
    found = mean_shifted(x, y, torch.ones(pairs, dtype=torch.bool), tau, "kept" if kept else "removed")
    assert float(found) == pytest.approx(msc_by_hand(one, other, tau, kept), **CLOSE)


def test_msc_leaves_out_what_is_not_there() -> None:
    x, y = torch.randn(2, 5, 4, dtype=torch.float64)
    there = torch.tensor([True, False, True, True, False])
    x[1], y[4] = 1e9, float("nan")
    found = mean_shifted(x, y, there, 0.6)
    assert float(found) == pytest.approx(msc_by_hand(x[there].tolist(), y[there].tolist(), 0.6), **CLOSE)
    one = torch.tensor([True, False, False, False, False])
    assert mean_shifted(x, y, one, 0.6) == 0 and mean_shifted(x, y, one & False, 0.6) == 0


def aligned(tau: float, positive: str) -> float:
    """Two pairs, perfectly together and perfectly apart."""
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    return float(mean_shifted(x, x, torch.ones(2, dtype=torch.bool), tau, positive))


def test_msc_without_the_partner_has_no_least_value() -> None:
    for tau in (1.0, 0.1, 0.01):
        assert aligned(tau, "removed") == pytest.approx(math.log(2) - 2 / tau)
        assert aligned(tau, "kept") == pytest.approx(math.log(1 + 2 * math.exp(-2 / tau)), abs=1e-12)
    assert math.exp(-aligned(0.6, "removed")) > 1, "not the likelihood of anything"
    assert 0 < math.exp(-aligned(0.6, "kept")) < 1


def test_the_shift_takes_away_what_all_have_in_common() -> None:
    """Without it, a common offset makes every cosine 1 and the loss knows nothing."""
    x, y = torch.randn(2, 6, 4, dtype=torch.float64)
    there = torch.ones(6, dtype=torch.bool)
    torch.testing.assert_close(mean_shifted(x + 1e3, y + 1e3, there, 0.6), mean_shifted(x, y, there, 0.6))
    plain = torch.nn.functional.normalize(torch.cat([x, y]) + 1e3, dim=-1)
    assert (plain @ plain.T).min() > 0.999


def test_as_printed_the_fine_loss_knows_no_mention() -> None:
    """Eq. 12 pairs faces with objects: who is asked for plays a part only as the query of both."""
    s = DWESettings(width=D, heads=HEADS, shortcut=False)
    for fine, felt in (("mention", True), ("faces", False)):
        net = Net(shaken(s), DWESettings(fine=fine, losses={"coarse": 0}))
        terms = net.query(given(drawn()))
        m = terms.found["mention"].detach().requires_grad_(True)
        loss = net.contrast(terms._replace(found={**terms.found, "mention": m}), len(MENTIONS))
        slope = torch.autograd.grad(loss, m, allow_unused=True)[0]
        assert (slope is not None and bool(slope.any())) == felt


# Triplets.


def test_triplets_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.5, 0.1, 0.8], [0.2, 0.3, 0.6, 0.0], [0.4, 0.4, 0.4, 0.4]], dtype=torch.float64)
    gold = torch.tensor([0, 1, -1])
    allowed = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]], dtype=torch.bool)
    beside = neighbours(gold, gold, allowed, 0)
    assert beside.tolist() == [1, 0, 0]
    # mention 0: the hardest is column 3, the other mention's gold is column 1; mention 1: column 0 is both
    first = ((0.8 - 0.9 + 0.5) + (0.5 - 0.9 + 0.5)) / 2
    second = 0.2 - 0.3 + 0.5
    assert float(triplet(scores, gold, allowed, beside, 1, 0.5)) == pytest.approx(first + second)
    # two hard ones: columns 3 and 1 of mention 0, the second being its neighbour as well; 0 and 3 of mention 1
    first = ((0.8 - 0.9 + 0.5) + 2 * (0.5 - 0.9 + 0.5)) / 3
    second = (2 * (0.2 - 0.3 + 0.5) + (0.0 - 0.3 + 0.5)) / 3
    assert float(triplet(scores, gold, allowed, beside, 2, 0.5)) == pytest.approx(first + second)


def test_nobody_to_be_told_apart_from_costs_nothing() -> None:
    scores = torch.zeros(2, 1, requires_grad=True)
    gold, allowed = torch.tensor([0, 0]), torch.ones(2, 1, dtype=torch.bool)
    beside = neighbours(gold, gold, allowed, 0)
    assert beside.tolist() == [-1, -1]
    loss = triplet(scores, gold, allowed, beside, 1, 0.5)
    loss.backward()
    assert loss.item() == 0 and not scores.grad.any()


def test_the_triplet_as_printed_rewards_the_wrong_entity() -> None:
    """max(0, Γ(g, gold) − Γ(g, other) + 0.5): its slope takes gold down and the other up."""
    ours, printed = (torch.tensor([[0.2, 0.6]], requires_grad=True) for _ in range(2))
    gold, allowed = torch.tensor([0]), torch.ones(1, 2, dtype=torch.bool)
    triplet(ours, gold, allowed, torch.tensor([-1]), 1, 0.5).backward()
    (printed[0, 0] - printed[0, 1] + 0.5).clamp(min=0).backward()
    assert ours.grad.tolist() == [[-1.0, 1.0]], "going down this slope, gold rises"
    assert printed.grad.tolist() == [[1.0, -1.0]], "going down this slope, gold falls"
    right, wrong = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    nobody = torch.tensor([-1])
    assert triplet(right, gold, allowed, nobody, 1, 0.5) < triplet(wrong, gold, allowed, nobody, 1, 0.5)
    costs = [max(0.0, float(each[0, 0] - each[0, 1]) + 0.5) for each in (right, wrong)]
    assert costs == [1.5, 0.0], "as printed, the wrong answer is free and the right one is not"


def test_the_neighbour_is_the_same_however_the_batch_is_shared() -> None:
    gold = torch.tensor([3, 3, -1, 0, 1])
    allowed = torch.ones(5, 4, dtype=torch.bool)
    allowed[1, 0] = False
    whole = neighbours(gold, gold, allowed, 0)
    assert whole.tolist() == [0, 1, 0, 1, 3]
    shares = [neighbours(gold[a:b], gold, allowed[a:b], a) for a, b in ((0, 3), (3, 5))]
    assert torch.cat(shares).tolist() == whole.tolist()


# The whole loss.


def inputs_of(items: Given, entities: Tensor, gold: list[int]) -> Inputs:
    b, c = len(gold), len(entities)
    allowed = torch.ones(b, c, dtype=torch.bool)
    columns = torch.tensor(gold)
    return Inputs(
        items, entities, torch.rand(b, c).double(), columns, columns, allowed, 0, sum(g >= 0 for g in gold), 1
    )


@pytest.mark.parametrize("ranking", ["triplet", "softmax"])
@pytest.mark.parametrize("fine", ["mention", "faces"])
def test_the_loss_is_the_weighted_sum(ranking: str, fine: str) -> None:
    s = DWESettings(
        width=D, heads=HEADS, fine=fine, ranking=ranking, losses={"fine": 0.5, "coarse": 2.0, "ranking": 3.0}
    )
    net = Net(shaken(s), s).double().eval()
    e = torch.nn.functional.normalize(torch.randn(6, DT, dtype=torch.float64), dim=-1)
    batch = inputs_of(given(drawn()), e, [0, 1, -1, 2])
    found, terms = net(batch), net.query(batch.mentions)
    scores = torch.cosine_similarity(terms.whole()[:, None], e[None], dim=-1) + net.names(batch.names)
    torch.testing.assert_close(found.scores, scores)

    def pairs(one: str, rows: list[int]) -> float:
        return msc_by_hand(terms.found[one][rows].tolist(), terms.found["objects"][rows].tolist(), 0.6)

    rows = {"mention": [0, 1, 2], "faces": [0, 2]}[fine]  # those that have both
    contrast = 0.5 * pairs(fine, rows) + 2.0 * pairs("text", [0, 1, 2])
    ranked = net.ranking(batch, scores).item() / 3
    if ranking == "softmax":
        chosen = [math.log(softmax((12.5 * scores[row]).tolist())[g]) for row, g in ((0, 0), (1, 1), (3, 2))]
        assert ranked == pytest.approx(-sum(chosen) / 3, **CLOSE)
    assert found.loss.item() == pytest.approx(contrast + 3.0 * ranked, **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: dict[str, object]) -> None:
    """The slope of the whole loss in random directions against differences."""
    s = DWESettings(width=D, heads=HEADS, fine="faces", ranking="softmax", **kind)
    net = Net(shaken(s), s).double().eval()
    e = torch.nn.functional.normalize(torch.randn(6, DT, dtype=torch.float64), dim=-1)
    batch = inputs_of(given(drawn()), e, [0, 1, -1, 2])
    net(batch).loss.backward()
    parameters = [p for p in net.parameters() if p.grad is not None]
    assert len(parameters) == sum(1 for _ in net.parameters()), "everything is learned"
    for seed in range(4):
        g = torch.Generator().manual_seed(seed)
        ways = [torch.randn(p.shape, generator=g, dtype=torch.float64) for p in parameters]
        slope = sum(float((p.grad * way).sum()) for p, way in zip(parameters, ways, strict=True))
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                for p, way in zip(parameters, ways, strict=True):
                    p.add_(step * way)
                values.append(float(net(batch).loss))
                for p, way in zip(parameters, ways, strict=True):
                    p.sub_(step * way)
        assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-6)


def test_untrained_it_is_the_cosine_of_the_frozen_encoder() -> None:
    net = Query(DT, WIDTHS, DWESettings(width=D, heads=HEADS)).double().eval()
    items = drawn()
    text = net(given(items))
    for row, (surface, own, _) in enumerate(items):
        assert text.parts["text"][row].tolist() == pytest.approx(surface if own is None else own)
    assert not text.parts["objects"].any() and not text.parts["faces"].any()
