"""MELOV's optimisation of pictures against its equations, one mention at a time in loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from melink.methods.matcher import Matcher, Read, Seen
from melink.methods.melov import MelovNet
from melink.methods.mimic import Inputs, losses
from melink.methods.neighbours import Bank, Neighbours
from melink.methods.optimise import BRANCHES, VAE, Fusion, LocalVAE, Optimised, Optimiser, OptimiseSettings

Vector = list[float]
Weights = dict[str, list]
"""The state dict as nested lists: what the loops read."""
CLOSE = {"rel": 1e-7, "abs": 1e-9}
SIMILARITIES = ("kernel", "dot", "cosine", "euclidean")
D = 4


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def distance(one: Vector, other: Vector) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))


def linear(w: Weights, name: str, x: Vector) -> Vector:
    return [dot(row, x) + b for row, b in zip(w[f"{name}.weight"], w[f"{name}.bias"], strict=True)]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def weights(module: torch.nn.Module) -> Weights:
    return {name: tensor.tolist() for name, tensor in module.state_dict().items()}


def shake(module: Any, seed: int = 0) -> Any:
    """Return a module in 64 bits whose every parameter is random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator))
    return module.double().eval()


# The graph.


def alike(kind: str, one: Vector, other: Vector, b: float) -> float:
    if kind == "kernel":
        return math.exp(-(distance(one, other) ** 2) / (2 * b * b))
    if kind == "euclidean":
        return 1 / (1 + distance(one, other))
    length = math.sqrt(dot(one, one) * dot(other, other)) if kind == "cosine" else 1.0
    return max(dot(one, other) / length, 0.0)


def bandwidth(texts: Sequence[Vector], edges: Sequence[tuple[int, int]], rho: float) -> float:
    return rho * sum(distance(texts[i], texts[j]) for i, j in edges) / max(len(edges), 1)


def cut(a: float, tau: float | None) -> float:
    return a if tau is None or a >= tau else 0.0


def scaled(a: Sequence[Vector], how: str) -> list[Vector]:
    """Return Â; rows that hear nothing stay 0."""
    degrees = [sum(row) for row in a]
    found = []
    for i, row in enumerate(a):
        if how == "row":
            found.append([x / degrees[i] if degrees[i] else 0.0 for x in row])
        elif how == "sym":
            found.append([x / math.sqrt(degrees[i] * degrees[j]) if x else 0.0 for j, x in enumerate(row)])
        else:
            found.append(list(row))
    return found


def convolved(w: Weights, name: str, layers: int, h: list[Vector], a_hat: Sequence[Vector]) -> list[Vector]:
    for level in range(layers):
        mixed = [[dot(row, column) for column in zip(*h, strict=True)] for row in a_hat]
        h = [[max(y, 0.0) for y in linear(w, f"{name}.layers.{level}", x)] for x in mixed]
    return h


@dataclass(frozen=True)
class World:
    """Mentions: t, projected pictures, which have one."""

    text: Tensor
    whole: Tensor
    patches: Tensor
    seen: Tensor

    @property
    def size(self) -> int:
        return len(self.text)

    def taken(self, rows: list[int]) -> World:
        return World(self.text[rows], self.whole[rows], self.patches[rows], self.seen[rows])


def world(n: int, seed: int, patches: int = 3) -> World:
    g = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    text, seen = noise(n, 5), torch.arange(n) % 4 != 3
    text = text / text.norm(dim=1, keepdim=True)
    return World(text, noise(n, D) * seen[:, None], noise(n, patches, D) * seen[:, None, None], seen)


def graph_by_hand(texts: list[Vector], seen: list[bool], kind: str, rho: float, tau: float | None) -> list[Vector]:
    n = range(len(texts))
    b = bandwidth(texts, [(i, j) for i in n for j in n if i != j and seen[i] and seen[j]], rho)
    return [
        [float(seen[i]) if i == j else cut(alike(kind, texts[i], texts[j], b), tau) * seen[j] for j in n] for i in n
    ]


def neighbours(**options: object) -> Neighbours:
    found = shake(Neighbours(D, **options))
    if found.threshold is not None:
        with torch.no_grad():
            found.threshold.fill_(math.log(0.45 / 0.55))
    return found


def tau_of(module: Neighbours) -> float | None:
    return None if module.threshold is None else sigmoid(module.threshold.item())


@pytest.mark.parametrize("kind", SIMILARITIES)
@pytest.mark.parametrize("tau", [0.5, None])
@pytest.mark.parametrize("rho", [0.5, 1.0])
def test_the_graph_of_a_batch(kind: str, tau: float | None, rho: float) -> None:
    module, given = neighbours(similarity=kind, tau=tau, rho=rho), world(9, seed=1)
    found = module.within(given.text, given.seen)
    expected = graph_by_hand(given.text.tolist(), given.seen.tolist(), kind, rho, tau_of(module))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-7, atol=1e-12)
    away = found.detach().numpy()[:, given.seen.numpy()]
    assert (away == 0).any() == (tau is not None or kind in ("dot", "cosine"))


def test_the_starting_threshold_is_one_half() -> None:
    module = Neighbours(D)
    assert module.threshold is not None
    assert sigmoid(module.threshold.item()) == pytest.approx(0.5)
    assert (module.rho, module.softness, module.most, module.normalise) == (0.5, 0.05, 32, "row")
    assert len(module.whole.layers) == len(module.patch.layers) == 2


def test_the_gradient_of_the_threshold_is_straight_through() -> None:
    module, given = neighbours(similarity="cosine"), world(9, seed=2)
    text = given.text.clone().requires_grad_()
    weigh = torch.randn(9, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (weigh * module.within(text, given.seen)).sum().backward()
    assert module.threshold is not None and text.grad is not None
    tau, texts, seen = sigmoid(module.threshold.item()), given.text.tolist(), given.seen.tolist()
    by_tau = 0.0
    by_text = torch.zeros_like(given.text)
    for i, j in product(range(9), range(9)):
        if i == j or not seen[j]:
            continue
        a = dot(texts[i], texts[j])
        if a <= 0:
            continue  # held at 0
        s = sigmoid((a - tau) / 0.05)
        slope = s * (1 - s) / 0.05  # of the bracket
        by_tau += weigh[i, j].item() * a * -slope
        by_a = weigh[i, j].item() * ((a >= tau) + a * slope)
        for one, other in ((i, j), (j, i)):  # of a cosine of vectors of length 1
            by_text[one] += by_a * (given.text[other] - a * given.text[one])
    assert module.threshold.grad.item() == pytest.approx(by_tau * tau * (1 - tau), rel=1e-6)
    torch.testing.assert_close(text.grad, by_text, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", SIMILARITIES)
def test_equal_and_zero_texts_have_gradients(kind: str) -> None:
    module, given = neighbours(similarity=kind), world(6, seed=2)
    text = given.text.clone()
    text[0], text[1] = 0, text[2]
    a = module.within(text.requires_grad_(), given.seen)
    a.square().sum().backward()
    assert a.isfinite().all() and text.grad is not None and text.grad.isfinite().all()
    assert a[1, 2].item() == pytest.approx(dot(text[2].tolist(), text[2].tolist()) if kind == "dot" else 1.0, abs=1e-5)


@pytest.mark.parametrize("how", ["row", "sym", "none"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_features_of_a_batch(how: str, layers: int) -> None:
    module, given = neighbours(normalise=how, layers=layers, rho=1.0), world(9, seed=4)
    whole, patches, exists = module(given.text, given.whole, given.patches, given.seen, None)
    w = weights(module)
    a = graph_by_hand(given.text.tolist(), given.seen.tolist(), "kernel", 1.0, tau_of(module))
    hears = [sum(row) > 0 for row in a]
    assert exists.tolist() == hears
    expected = convolved(w, "whole", layers, given.whole.tolist(), scaled(a, how))
    by_place = [
        convolved(w, "patch", layers, given.patches[:, place].tolist(), scaled(a, how)) for place in range(3)
    ]  # fmt: skip
    for at, there in enumerate(hears):
        assert whole[at].tolist() == pytest.approx(expected[at] if there else [0.0] * D, **CLOSE)
        for place in range(3):
            row = by_place[place][at] if there else [0.0] * D
            assert patches[at, place].tolist() == pytest.approx(row, **CLOSE)
    assert any(hears[at] for at in range(9) if not given.seen[at])


# The bank.


def heard_by_hand(module: Neighbours, bank: Bank, text: Vector, key: int | None) -> dict[int, float]:
    """Return A of the R rows of a bank that are most alike, those with the mention's own key left out."""
    b, known = bank.bandwidth.item(), bank.text.tolist()
    others = [j for j in range(len(known)) if bank.keys[j].item() != key]
    found = {j: alike(module.similarity, text, known[j], b) for j in others}
    best = sorted(others, key=lambda j: (-found[j], j))[: module.most]
    return {j: cut(found[j], tau_of(module)) for j in best}


def share_by_hand(how: str, heard: dict[int, float], own: float, degrees: Vector) -> tuple[dict[int, float], float]:
    """Return Â of the neighbours and of the mention itself."""
    degree = sum(heard.values()) + own
    if how == "row":
        return {j: a / degree for j, a in heard.items()}, own / degree
    if how == "sym":
        return {j: a / math.sqrt(degree * degrees[j]) for j, a in heard.items()}, own / degree
    return heard, own


def a_bank(module: Neighbours, n: int = 14) -> Bank:
    given = world(4 * n, seed=7)
    given = given.taken(given.seen.nonzero()[:n, 0].tolist())
    keys = torch.arange(n) // 2 + 100  # two mentions of each text, or near enough
    return module.float().bank(given.text.float(), keys, given.whole.float(), given.patches.float())


BANKS = pytest.mark.parametrize(
    ("how", "kind", "most", "tau"),
    [
        ("row", "kernel", 5, 0.5),
        ("row", "kernel", 32, None),
        ("sym", "cosine", 5, 0.5),
        ("none", "dot", 4, None),
        ("row", "euclidean", 3, 0.5),
        ("sym", "kernel", 5, 0.5),
    ],
)


@BANKS
def test_what_a_bank_holds(how: str, kind: str, most: int, tau: float | None) -> None:
    module = neighbours(normalise=how, similarity=kind, most=most, tau=tau, rho=1.0, layers=3)
    bank, w = a_bank(module), weights(module)
    texts, n = bank.text.tolist(), len(bank.text)
    apart = [(i, j) for i in range(n) for j in range(n) if i != j]
    assert bank.bandwidth.item() == pytest.approx(bandwidth(texts, apart, 1.0), rel=1e-5)
    heard = [heard_by_hand(module, bank, texts[i], bank.keys[i].item()) for i in range(n)]
    degrees = [1 + sum(each.values()) for each in heard]
    assert bank.degree.tolist() == pytest.approx(degrees, rel=1e-5)
    assert len(bank.whole) == len(bank.patches) == 3  # one for each layer: what it is fed
    for level, i in product(range(2), range(n)):
        a, own = share_by_hand(how, heard[i], 1.0, degrees)
        for name, kept in (("whole", bank.whole[:, :, None]), ("patch", bank.patches)):
            for place in range(kept.shape[2]):
                h = kept[level, :, place].tolist()
                mixed = [sum(a[j] * h[j][x] for j in a) + own * h[i][x] for x in range(D)]
                expected = [max(y, 0.0) for y in linear(w, f"{name}.layers.{level}", mixed)]
                assert kept[level + 1, i, place].tolist() == pytest.approx(expected, rel=2e-3, abs=2e-3)


@BANKS
def test_what_a_mention_hears_from_a_bank(how: str, kind: str, most: int, tau: float | None) -> None:
    module = neighbours(normalise=how, similarity=kind, most=most, tau=tau, rho=1.0)
    bank, given = a_bank(module), world(8, seed=8)
    module.double()
    w, keys = weights(module), torch.tensor([100, -1, 103, -1, -1, 999, 106, 101])
    whole, patches, exists = module(given.text, given.whole, given.patches, given.seen, bank, keys)
    for i in range(8):
        heard = heard_by_hand(module, bank, given.text[i].tolist(), keys[i].item())
        own = float(given.seen[i])
        assert exists[i].item() is (sum(heard.values()) + own > 0)
        if not exists[i]:
            assert not whole[i].any() and not patches[i].any()
            continue
        a, itself = share_by_hand(how, heard, own, bank.degree.tolist())
        rows = [("whole", bank.whole, given.whole[i], whole[i])]
        rows += [("patch", bank.patches[:, :, x], given.patches[i, x], patches[i, x]) for x in range(3)]
        for name, levels, first, found in rows:
            h = first.tolist()
            for level in range(2):
                known = levels[level].tolist()
                mixed = [sum(a[j] * known[j][x] for j in a) + itself * h[x] for x in range(D)]
                h = [max(y, 0.0) for y in linear(w, f"{name}.layers.{level}", mixed)]
            assert found.tolist() == pytest.approx(h, rel=1e-6, abs=1e-6)


def test_a_bank_never_makes_a_score_depend_on_the_batch() -> None:
    module = neighbours(most=4)
    bank, given = a_bank(module), world(8, seed=8)
    module.double()
    together = module(given.text, given.whole, given.patches, given.seen, bank)
    for i in range(8):
        one = given.taken([i])
        alone = module(one.text, one.whole, one.patches, one.seen, bank)
        for found, expected in zip(alone, together, strict=True):
            torch.testing.assert_close(found[0], expected[i], rtol=1e-12, atol=1e-12)


def test_nobody_hears_from_an_empty_bank() -> None:
    module = neighbours()
    bank, given = a_bank(module, 0), world(5, seed=8)
    module.double()
    whole, patches, exists = module(given.text, given.whole, given.patches, given.seen, bank)
    assert not exists.any() and not whole.any() and not patches.any()


# The generator.

TEXT, TOKEN, LATENT, TOKENS, PATCHES = 5, 6, 3, 4, 3


def vae_by_hand(w: Weights, name: str, x: Vector, clamp: float = 10.0) -> tuple[Vector, float]:
    """Return what is generated without noise, and the divergence."""
    mu = linear(w, f"{name}mean", x)
    logvar = [min(max(s, -clamp), clamp) for s in linear(w, f"{name}logvar", x)]
    kl = -0.5 * sum(1 + s - m * m - math.exp(s) for m, s in zip(mu, logvar, strict=True))
    return linear(w, f"{name}decode", mu), kl


def local_by_hand(
    w: Weights, name: str, tokens: list[Vector], mask: list[bool], clamp: float = 10.0
) -> tuple[list[Vector], float]:
    """Return the generated patches and the mean divergence of real tokens, of the first that are read."""
    rows, shifts = w[f"{name}sequence.weight"], w[f"{name}sequence.bias"]
    read = {
        place: vae_by_hand(w, f"{name}vae.", token, clamp)
        for place, (token, real) in enumerate(zip(tokens, mask, strict=True))
        if real and place < len(rows[0])
    }
    width = len(w[f"{name}vae.decode.bias"])
    patches = [
        [sum(row[place] * read[place][0][x] for place in read) + shift for x in range(width)]
        for row, shift in zip(rows, shifts, strict=True)
    ]
    return patches, sum(kl for _, kl in read.values()) / max(len(read), 1)


@dataclass(frozen=True)
class Texts:
    """Token vectors of mentions with garbage in the padding."""

    tokens: Tensor
    mask: Tensor


def texts(n: int, longest: int, seed: int = 20) -> Texts:
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(longest) < (torch.arange(n) % longest + 1)[:, None]
    tokens = torch.randn(n, longest, TOKEN, generator=g, dtype=torch.float64)
    return Texts(torch.where(mask[..., None], tokens, math.nan), mask)


def test_the_generator_by_hand() -> None:
    vae, given = shake(VAE(TEXT, D, LATENT, 10.0)), world(6, seed=10)
    w = weights(vae)
    found, kl = vae(given.text)
    assert set(w) == {f"{layer}.{part}" for layer in ("mean", "logvar", "decode") for part in ("weight", "bias")}
    for at, text in enumerate(given.text.tolist()):
        expected, divergence = vae_by_hand(w, "", text)
        assert found[at].tolist() == pytest.approx(expected, **CLOSE)
        assert kl[at].item() == pytest.approx(divergence, **CLOSE)
    assert (kl > 0).all()


@pytest.mark.parametrize("bound", [0.5, 10.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_log_variance_is_held(bound: float, sign: int) -> None:
    vae, given = shake(VAE(TEXT, D, LATENT, bound)), world(6, seed=10)
    with torch.no_grad():
        vae.logvar.bias += 1000 * sign
    w = weights(vae)
    _, kl = vae(given.text)
    for at, text in enumerate(given.text.tolist()):
        mu = linear(w, "mean", text)
        held = sign * bound
        assert kl[at].item() == pytest.approx(-0.5 * sum(1 + held - m * m - math.exp(held) for m in mu), **CLOSE)


def test_in_training_it_draws() -> None:
    vae, given = shake(VAE(TEXT, D, LATENT, 10.0)).train(), world(6, seed=10)
    w = weights(vae)
    torch.manual_seed(3)
    found, kl = vae(given.text)
    torch.manual_seed(3)
    noise = torch.randn(6, LATENT, dtype=torch.float64).tolist()
    for at, text in enumerate(given.text.tolist()):
        mu, logvar = linear(w, "mean", text), linear(w, "logvar", text)
        z = [m + math.exp(s / 2) * e for m, s, e in zip(mu, logvar, noise[at], strict=True)]
        assert found[at].tolist() == pytest.approx(linear(w, "decode", z), **CLOSE)
        assert kl[at].item() == pytest.approx(vae_by_hand(w, "", text)[1], **CLOSE)
    assert not torch.isclose(found, vae(given.text)[0]).any()
    assert torch.equal(vae.eval()(given.text)[0], vae(given.text)[0])


@pytest.mark.parametrize("longest", [1, 3, TOKENS, TOKENS + 3])
def test_the_generator_of_patches_by_hand(longest: int) -> None:
    module, given = shake(LocalVAE(TOKEN, D, LATENT, 10.0, TOKENS, PATCHES)), texts(2 * longest, longest)
    found, kl = module(given.tokens, given.mask)
    w = weights(module)
    assert found.shape == (2 * longest, PATCHES, D) and torch.tensor(w["sequence.weight"]).shape == (PATCHES, TOKENS)
    for at in range(2 * longest):
        expected, divergence = local_by_hand(w, "", given.tokens[at].tolist(), given.mask[at].tolist())
        for place in range(PATCHES):
            assert found[at, place].tolist() == pytest.approx(expected[place], **CLOSE)
        assert kl[at].item() == pytest.approx(divergence, **CLOSE)


def test_a_text_without_tokens_generates_numbers() -> None:
    module, given = shake(LocalVAE(TOKEN, D, LATENT, 10.0, TOKENS, PATCHES)), texts(3, TOKENS)
    found, kl = module(given.tokens, torch.zeros_like(given.mask))
    torch.testing.assert_close(found, module.sequence.bias[None, :, None].expand(3, PATCHES, D))
    assert not kl.any()


# Fusion and the whole.


def share_of(w: Weights, name: str, x: Vector) -> float:
    hidden = [max(y, 0.0) for y in linear(w, f"{name}.0", x)]
    return sigmoid(linear(w, f"{name}.2", hidden)[0])


def fused_by_hand(w: Weights, name: str, branches: dict[str, Vector], read: dict[str, Vector]) -> tuple[Vector, Vector]:
    """Return the fused vector and α in the order of the branches; weights are made from ``read``."""
    raw = {branch: share_of(w, f"{name}.{branch}", read[branch]) for branch in branches}
    alpha = {branch: value / sum(raw.values()) for branch, value in raw.items()}
    fused = [sum(alpha[branch] * branches[branch][x] for branch in branches) for x in range(D)]
    return fused, [alpha.get(branch, 0.0) for branch in BRANCHES]


def rows_of(given: World, spoken: Texts, seen: Tensor) -> tuple[Tensor, Tensor, Tensor, Seen]:
    return given.text, spoken.tokens, spoken.mask, Seen(given.whole, given.patches, seen)


def optimiser(**settings: object) -> Optimiser:
    made = OptimiseSettings(**{"latent": LATENT, "rho": 1.0, **settings})
    found = shake(Optimiser(TEXT, TOKEN, D, TOKENS, PATCHES, made), seed=30)
    if found.neighbours is not None and found.neighbours.threshold is not None:
        with torch.no_grad():
            found.neighbours.threshold.fill_(0.1)
    return found


ABLATIONS = pytest.mark.parametrize(
    "settings",
    [
        {},
        {"inter": False},
        {"intra": False},
        {"inter": False, "intra": False},
        {"threshold": False, "similarity": "cosine"},
        {"local_weights": "mention", "clamp": 0.3},
        {"normalise": "sym", "layers": 1, "similarity": "euclidean"},
    ],
)


@ABLATIONS
@pytest.mark.parametrize("banked", [False, True])
def test_the_optimised_picture(settings: dict[str, Any], banked: bool) -> None:
    module, given, spoken = optimiser(**settings), world(9, seed=11), texts(9, TOKENS + 1)
    bank = None
    if banked and module.neighbours is not None:
        bank = a_bank(module.neighbours)
        module.double()
    found = module(*rows_of(given, spoken, given.seen), bank)
    w, clamp = weights(module), module.settings.clamp
    heard: Any = (None, None, [False] * 9)
    if module.neighbours is not None:
        heard = module.neighbours(given.text, given.whole, given.patches, given.seen, bank)  # by hand above
    losses = []
    for at in range(9):
        whole: dict[str, Vector] = {}
        local: dict[str, list[Vector]] = {}
        if given.seen[at]:
            whole["original"], local["original"] = given.whole[at].tolist(), given.patches[at].tolist()
        if module.settings.inter:
            whole["generated"], kl = vae_by_hand(w, "generate.", given.text[at].tolist(), clamp)
            spoke = spoken.tokens[at].tolist(), spoken.mask[at].tolist()
            local["generated"], kl_local = local_by_hand(w, "generate_local.", *spoke, clamp)
            if given.seen[at]:
                off = distance(whole["original"], whole["generated"]) ** 2
                pairs = zip(local["original"], local["generated"], strict=True)
                losses.append(off + kl + sum(distance(a, b) ** 2 for a, b in pairs) / PATCHES + kl_local)
        if heard[2][at]:
            whole["neighbours"], local["neighbours"] = heard[0][at].tolist(), heard[1][at].tolist()
        assert found.seen[at].item() is bool(whole)
        if not whole:
            assert not found.whole[at].any() and not found.patches[at].any() and not found.weights[at].any()
            continue
        expected, alpha = fused_by_hand(w, "fuse", whole, whole)
        assert found.whole[at].tolist() == pytest.approx(expected, **CLOSE)
        assert found.weights[at].tolist() == pytest.approx(alpha, **CLOSE)
        means = {branch: [sum(column) / PATCHES for column in zip(*x, strict=True)] for branch, x in local.items()}
        for place in range(PATCHES):
            here = {branch: x[place] for branch, x in local.items()}
            read = means if module.settings.local_weights == "mention" else here
            expected, alpha = fused_by_hand(w, "fuse_local", here, read)
            assert found.patches[at, place].tolist() == pytest.approx(expected, **CLOSE)
            assert found.weights_local[at, place].tolist() == pytest.approx(alpha, **CLOSE)
    assert found.loss.item() == pytest.approx(sum(losses) / max(len(losses), 1), **CLOSE)


@ABLATIONS
def test_weights_are_shares(settings: dict[str, Any]) -> None:
    module, given, spoken = optimiser(**settings), world(9, seed=11), texts(9, TOKENS)
    found = module(*rows_of(given, spoken, given.seen))
    for weight in (found.weights, found.weights_local.flatten(0, 1)):
        there = found.seen if len(weight) == 9 else found.seen.repeat_interleave(PATCHES)
        torch.testing.assert_close(weight.sum(-1), there.double())
    assert not found.weights[~given.seen, 0].any() and (found.weights[given.seen, 0] > 0).all()


def test_shares_of_very_small_sigmoids() -> None:
    fusion = shake(Fusion(D, True, True)).float()
    branches = [torch.ones(2, D), 2 * torch.ones(2, D), 3 * torch.ones(2, D)]
    with torch.no_grad():
        for name in BRANCHES:
            getattr(fusion, name)[2].bias.fill_(-200.0)
    found, alpha = fusion(branches, torch.tensor([[True, True, True], [False, True, False]]))
    assert found.isfinite().all()
    torch.testing.assert_close(alpha.sum(-1), torch.ones(2))
    torch.testing.assert_close(found[1], branches[1][1])


def test_pictures_that_are_not_there_may_hold_anything() -> None:
    module, given, spoken = optimiser(), world(9, seed=11), texts(9, TOKENS)
    clean = module(*rows_of(given, spoken, given.seen))
    noisy = World(
        given.text,
        torch.where(given.seen[:, None], given.whole, math.nan),
        torch.where(given.seen[:, None, None], given.patches, math.inf),
        given.seen,
    )
    for one, other in zip(clean, module(*rows_of(noisy, spoken, given.seen)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("detach", [True, False])
def test_the_target_is_held_fixed(detach: bool) -> None:
    module, given, spoken = optimiser(detach=detach), world(9, seed=11), texts(9, TOKENS)
    whole, patches = given.whole.clone().requires_grad_(), given.patches.clone().requires_grad_()
    found = module(given.text, spoken.tokens, spoken.mask, Seen(whole, patches, given.seen))
    if detach:
        assert all(g is None for g in torch.autograd.grad(found.loss, (whole, patches), allow_unused=True))
        return
    w, n = weights(module), int(given.seen.sum())
    by_whole, by_patch = torch.autograd.grad(found.loss, (whole, patches))
    for at in range(9):
        scale = 2 * float(given.seen[at]) / n
        generated = vae_by_hand(w, "generate.", given.text[at].tolist())[0]
        local = local_by_hand(w, "generate_local.", spoken.tokens[at].tolist(), spoken.mask[at].tolist())[0]
        off = [scale * (a - b) for a, b in zip(given.whole[at].tolist(), generated, strict=True)]
        assert by_whole[at].tolist() == pytest.approx(off, **CLOSE)
        for place in range(PATCHES):
            pairs = zip(given.patches[at, place].tolist(), local[place], strict=True)
            assert by_patch[at, place].tolist() == pytest.approx([scale / PATCHES * (a - b) for a, b in pairs], **CLOSE)


@pytest.mark.parametrize("settings", [{"threshold": False, "detach": False}, {"intra": False}])
def test_gradients_of_the_optimiser_by_differences(settings: dict[str, Any]) -> None:
    module, given, spoken = optimiser(**settings), world(5, seed=12), texts(5, 2)
    names, values = zip(*module.named_parameters(), strict=True)

    def everything(*x: Tensor) -> tuple[Tensor, ...]:
        own, (whole, patches) = dict(zip(names, x[: len(names)], strict=True)), x[len(names) :]
        seen = Seen(whole, patches, given.seen)
        found: Optimised = torch.func.functional_call(module, own, (given.text, spoken.tokens, spoken.mask, seen))
        return found.whole, found.patches, found.weights, found.weights_local, *([found.loss] * (not fixed))

    fixed = module.settings.detach  # then the loss is not the one whose gradient is taken
    free = [x.detach().clone().requires_grad_() for x in (*values, given.whole, given.patches)]
    assert torch.autograd.gradcheck(everything, free, fast_mode=True)


def test_padding_never_teaches() -> None:
    module, given, spoken = optimiser(), world(9, seed=11), texts(9, TOKENS)
    found = module(*rows_of(given, spoken, given.seen))
    (found.loss + found.whole.sum() + found.patches.square().sum()).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any() or name.startswith("fuse"), name  # a ReLU may be shut


def test_what_the_settings_start_from() -> None:
    settings = OptimiseSettings()
    assert (settings.latent, settings.layers, settings.generated_loss) == (64, 2, 0.001)
    assert (settings.clamp, settings.detach, settings.rho, settings.tau) == (10.0, True, 0.5, 0.5)
    assert (settings.softness, settings.normalise, settings.neighbours) == (0.05, "row", 32)
    assert (settings.similarity, settings.inter, settings.intra, settings.threshold) == ("kernel", True, True, True)
    assert (settings.filter, settings.local_weights) == (None, "token")


# MIMIC's matcher over optimised pictures.

PICTURE = 5


def net(shared: bool = False, **settings: object) -> MelovNet:
    made = OptimiseSettings(**{"latent": LATENT, "rho": 1.0, "neighbours": 3, **settings})
    matcher = Matcher(TEXT, TOKEN, PICTURE, PICTURE, D)
    return shake(MelovNet(matcher, False, Optimiser(TEXT, TOKEN, D, TOKENS, PATCHES, made), shared), seed=40)


def reading(n: int, seed: int) -> Read:
    given, spoken = world(n, seed), texts(n, TOKENS, seed)
    g = torch.Generator().manual_seed(seed + 1000)
    image, patches = (torch.randn(n, *shape, PICTURE, generator=g, dtype=torch.float64) for shape in ((), (PATCHES,)))
    tokens = torch.where(spoken.mask[..., None], spoken.tokens, 0.0)
    return Read(given.text, tokens, spoken.mask, image, patches, given.seen)


def fill(module: MelovNet) -> None:
    """Give a net a bank of twelve mentions, known by 0 to 11."""
    module.bank = module.new_bank([(Read(*(x[rows] for x in reading(12, 51))), torch.arange(12)[rows])
                                   for rows in (slice(0, 5), slice(5, 12))])  # fmt: skip


def test_the_bank_of_a_net_holds_projected_pictures() -> None:
    module, read = net(), reading(12, 51)
    fill(module)
    w, rows = weights(module), read.seen.nonzero()[:, 0].tolist()
    assert module.bank is not None and module.bank.keys.tolist() == rows
    torch.testing.assert_close(module.bank.text.double(), read.text[rows], rtol=1e-6, atol=1e-6)
    for at, row in enumerate(rows):
        expected = linear(w, "matcher.image_whole", read.image[row].tolist())
        assert module.bank.whole[0, at].tolist() == pytest.approx(expected, rel=2e-3, abs=2e-3)
        for place in range(PATCHES):
            expected = linear(w, "matcher.image_patch", read.patches[row, place].tolist())
            assert module.bank.patches[0, at, place].tolist() == pytest.approx(expected, rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("settings", [{}, {"inter": False}, {"intra": False}, {"generated_loss": 0.5}])
def test_a_step_is_that_of_the_matcher_over_optimised_pictures(settings: dict[str, Any]) -> None:
    module, mentions, entities = net(**settings), reading(6, 52), reading(4, 53)
    if module.optimiser.neighbours is not None:
        fill(module)
    gold, allowed = torch.tensor([0, 1, 2, 3, 0, -1]), torch.ones(6, 4, dtype=torch.bool)
    with torch.no_grad():
        step = module(Inputs(mentions, entities, None, gold, allowed, 5, 1))
        seen = module.matcher.project(mentions)
        found = module.optimiser(mentions.text, mentions.tokens, mentions.mask, seen, module.bank)  # by hand above
        plain = Matcher(TEXT, TOKEN, D, D, D).double()  # projects nothing
        state = module.matcher.state_dict()
        for name in ("image_whole", "image_patch"):
            state[f"{name}.weight"], state[f"{name}.bias"] = torch.eye(D), torch.zeros(D)
        plain.load_state_dict(state)
        terms = plain.mention(mentions._replace(image=found.whole, patches=found.patches, seen=found.seen))
        scores = module.matcher(terms, module.matcher.entity(entities))
        total = module.matcher.combine(scores)
        torch.testing.assert_close(step.scores, total)
        expected = losses(total, scores, gold, allowed) / 5 + module.optimiser.settings.generated_loss * found.loss
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-9)
    if module.optimiser.settings.inter:
        assert found.seen.all() and torch.equal(scores.both, entities.seen.expand(6, 4))


@pytest.mark.parametrize(("training", "graph"), [(False, "batch"), (False, "bank"), (True, "batch"), (True, "bank")])
def test_which_graph_is_asked(training: bool, graph: str) -> None:
    module, read = net(train_graph=graph, inter=False).train(training), reading(6, 52)
    fill(module)
    found, seen = module.optimised(read), module.matcher.project(read)
    bank = None if training and graph == "batch" else module.bank
    expected = module.optimiser(read.text, read.tokens, read.mask, seen, bank)
    other = module.optimiser(read.text, read.tokens, read.mask, seen, module.bank if bank is None else None)
    assert torch.equal(found.whole, expected.whole) and not torch.isclose(found.whole, other.whole).all()


def test_a_mention_of_the_bank_does_not_hear_from_itself() -> None:
    module, read = net(inter=False), reading(12, 51)
    fill(module)
    known, strange = module.optimised(read, torch.arange(12)), module.optimised(read)
    rows = read.seen.nonzero()[:, 0].tolist()
    neighbours, seen = module.optimiser.neighbours, module.matcher.project(read)
    assert neighbours is not None and module.bank is not None
    for row in rows:
        others = [at for at, key in enumerate(module.bank.keys.tolist()) if key != row]
        rest = Bank(*(x[others] if name in ("text", "keys", "degree") else x if name == "bandwidth" else x[:, others]
                      for name, x in module.bank._asdict().items()))  # fmt: skip
        expected = neighbours(read.text, seen.whole, seen.patches, read.seen, rest)[0][row]
        given = neighbours(read.text, seen.whole, seen.patches, read.seen, module.bank, torch.arange(12))[0][row]
        torch.testing.assert_close(given, expected)
    assert not torch.isclose(known.whole[rows], strange.whole[rows]).all()


@pytest.mark.parametrize("shared", [True, False])
def test_the_filter_by_hand(shared: bool) -> None:
    module, mentions, entities = net(shared, filter=0.1), reading(12, 54), reading(4, 53)
    w, kept = weights(module), []
    for at in range(12):
        one, other = mentions.text[at].tolist(), mentions.image[at].tolist()
        if not shared:
            one = linear(w, "matcher.cmfu.text", normed(w, "matcher.norm_text", one))
            local = [linear(w, "matcher.image_patch", row) for row in mentions.patches[at].tolist()]
            shown = [linear(w, "matcher.cmfu.patch", normed(w, "matcher.norm_patch", row)) for row in local]
            other = [sum(column) / PATCHES for column in zip(*shown, strict=True)]
        cosine = dot(one, other) / math.sqrt(dot(one, one) * dot(other, other))
        kept.append(bool(mentions.seen[at]) and cosine >= 0.1)
    assert 0 < sum(kept) < int(mentions.seen.sum())
    gold, allowed = torch.zeros(12, dtype=torch.int64), torch.ones(12, 4, dtype=torch.bool)
    garbled = mentions._replace(image=torch.where(mentions.seen[:, None], mentions.image, math.nan))
    step = module(Inputs(garbled, entities, None, gold, allowed, 12, 1))
    blind = mentions._replace(seen=torch.tensor(kept))
    scores = module.matcher(module.matcher.mention(blind), module.matcher.entity(entities))
    total = module.matcher.combine(scores)
    torch.testing.assert_close(step.scores, total)
    torch.testing.assert_close(step.loss, losses(total, scores, gold, allowed) / 12)


def normed(w: Weights, name: str, x: Vector) -> Vector:
    middle = sum(x) / len(x)
    spread = math.sqrt(sum((a - middle) ** 2 for a in x) / len(x) + 1e-5)
    return [g * (a - middle) / spread + b for a, g, b in zip(x, w[f"{name}.weight"], w[f"{name}.bias"], strict=True)]
