"""Certified ranking is brute force: same ids, order, scores and ranks of gold, whatever the weights and the bounds.

Two families. Numbers written by hand, exact in 32 bits, so that every comparison is strict; and MIMIC over real
encoders with its weights overwritten, compared with its equations in 64 bits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from melink.candidates.name_score import NameScorer
from melink.errors import InputError
from melink.features.load import load_image, load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.methods.base import Context, total
from melink.methods.matcher import EntityTerms, Key
from melink.methods.mimic import Mimic
from melink.methods.name_curve import KNOTS
from melink.methods.pairwise import Bounds
from melink.ranking import certified as engine
from melink.ranking import singly
from melink.ranking.certified import Ranking, certified
from melink.ranking.shortlist import shortlisted
from melink.records import Entity, Mention

TIES = {"optimistic": 0.0, "mean": 0.5, "pessimistic": 1.0}
CASES = 2_000
WEIGHTS = 100


# Numbers written by hand.


class Numbers:
    """Middles, remainders and bounds of every pair, as tables; counts the pairs that are scored singly."""

    device = "cpu"

    def __init__(self, middle: Tensor, rest: Tensor, reach: Tensor, low: Tensor, high: Tensor) -> None:
        self.middle, self.rest, self.reach, self.low, self.high = middle, rest, reach, low, high
        self.singly = 0

    def mentions(self, mentions: list[Mention]) -> Tensor:
        return torch.tensor([int(mention.id) for mention in mentions])

    def bounded(self, side: Tensor, rows: Tensor) -> Bounds:
        return Bounds(self.middle[side][:, rows], (self.reach if len(self.reach) == 1 else self.reach[side])[:, rows])

    def tightened(self, side: Tensor, m: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.low[side[m], rows], self.high[side[m], rows]

    def exactly(self, side: Tensor, m: int, rows: Tensor) -> Tensor:
        self.singly += len(rows)
        return self.rest[side[m], rows]

    def densely(self, side: Tensor, rows: Tensor) -> Tensor:
        return self.rest[side][:, rows]

    @property
    def keys(self) -> np.ndarray:
        """Totals in units of 1e-4, as whole numbers."""
        found: np.ndarray = np.rint((self.middle.double() + self.rest.double()).numpy() * 1e4).astype(np.int64)
        return found


class Places:
    """Stands for the kept terms of entities that are rows of a table."""

    def __init__(self, count: int, chunk: int) -> None:
        self.count, self.size = count, chunk

    def __len__(self) -> int:
        return self.count

    def chunks(self) -> Iterator[tuple[int, int]]:
        for start in range(0, self.count, self.size):
            yield start, min(start + self.size, self.count)

    def chunk(self, start: int, stop: int, light: bool = False, names: bool = True) -> Tensor:
        return torch.arange(start, stop)

    def some(self, rows: Tensor, fields: frozenset[str] | None = None, light: bool = False) -> Tensor:
        return rows


def pick(rng: np.random.Generator, *among: Any) -> Any:
    return among[int(rng.integers(len(among)))]


def numbers(rng: np.random.Generator, m: int, n: int) -> Numbers:
    """Draw totals, how they split, and how closely they are bounded; all on a grid that 32 bits hold exactly."""
    unit = pick(rng, 2.0**-13, 2.0**-10, 2.0**-4, 1.0)  # 1.2e-4 is the least that rounding to 1e-4 keeps apart
    totals = {
        "spread": lambda: rng.integers(-400, 400, (m, n)),
        "close": lambda: np.stack([rng.permutation(n) for _ in range(m)]),
        "ties": lambda: rng.integers(0, 3, (m, n)),
        "equal": lambda: np.full((m, n), 5),
    }[pick(rng, "spread", "close", "ties", "equal")]()
    size = pick(rng, 0, 1, 20, 1000)
    rest = rng.integers(-size, size + 1, (m, n))
    if pick(rng, True, False):  # the best hide behind low middles, the worst pose with high ones
        rest = np.where(totals > np.median(totals), size, -size)
    room = rng.integers(0, 1 + pick(rng, 0, 3, 100), (m, n))
    reach = np.abs(rest) + (room if pick(rng, True, False) else 0)
    if pick(rng, True, False, False):
        reach = reach + pick(rng, 1e6, 1e9)
    shared = reach.max(0, keepdims=True) if pick(rng, True, False) else reach
    loose = np.minimum(room * pick(rng, 0, 1), reach - np.abs(rest))
    low, high = pick(rng, (rest, rest), (rest - loose, rest + loose), (-reach, rest), (rest, reach), (-reach, reach))

    def table(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x.astype(np.float64) * unit).float()

    return Numbers(table(totals - rest), table(rest), table(shared), table(low), table(high))


def mentions_of(m: int) -> list[Mention]:
    return [Mention(str(n), "", "") for n in range(m)]


def rank_by_hand(keys: np.ndarray, gold: int, share: float) -> float:
    better = sum(int(key > keys[gold]) for key in keys)
    return 1 + better + share * (sum(int(key == keys[gold]) for key in keys) - 1)


def assert_by_hand(found: Ranking, keys: np.ndarray, gold: np.ndarray, k: int, ties: str, case: object) -> None:
    for m, own in enumerate(keys):
        best = sorted(range(len(own)), key=lambda row: (-own[row], row))[:k]
        assert found.rows[m].tolist() == best, (case, m)
        np.testing.assert_allclose(found.scores[m], own[best] / 1e4, atol=1e-5, rtol=1e-6, err_msg=str(case))
        if gold[m] < 0:
            assert np.isnan(found.ranks[m]), (case, m)
        else:
            assert found.ranks[m] == rank_by_hand(own, int(gold[m]), TIES[ties]), (case, m)


def tuned(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, n: int) -> None:
    """Set how eager the engine is, so that a few entities take every way through it."""
    monkeypatch.setattr(engine, "FEW", pick(rng, 0, 2, 64))
    monkeypatch.setattr(engine, "PROBE", pick(rng, 0, 1, 16))
    monkeypatch.setattr(engine, "DENSE", pick(rng, 0.3, 1.0, 0.02))
    monkeypatch.setattr(engine, "BUDGET", pick(rng, 1, 2 * n, 1 << 26))


def golds(rng: np.random.Generator, keys: np.ndarray) -> np.ndarray:
    """Draw golds: anywhere, none, the best, the worst."""
    return np.array([pick(rng, int(rng.integers(len(own))), -1, int(own.argmax()), int(own.argmin())) for own in keys])


def test_thousands_of_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    singly = fell_back = certain = 0
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        m, n = pick(rng, 1, 3), pick(rng, 1, 2, 5, 17, 40, 90)
        method, kept = numbers(rng, m, n), Places(n, pick(rng, 7, 1000))
        gold, ties = golds(rng, method.keys), pick(rng, *TIES)
        k = min(n, pick(rng, 1, 3, 16, n))
        tuned(monkeypatch, rng, n)
        found = certified(method, kept, mentions_of(m), gold, k, ties)
        assert_by_hand(found, method.keys, gold, k, ties, seed)
        assert found.pairs == m * n and len(found.scored) == m and max(found.scored) <= n
        singly, fell_back = singly + method.singly, fell_back + found.dense
        certain += sum(scored < n for scored in found.scored)
        if seed % 5 == 0:
            assert_by_hand(
                certified(method, kept, mentions_of(m), gold, k, ties, prune=False), method.keys, gold, k, ties, seed
            )
    assert singly and fell_back > CASES / 20 and certain > CASES / 6, "the cases must take every way"


def test_pruning_prunes_and_gold_far_down_is_counted_not_scored() -> None:
    rng = np.random.default_rng(0)
    n = 20_000
    rest = torch.from_numpy(rng.uniform(-0.1, 0.1, (4, n))).float()
    middle = torch.from_numpy(rng.normal(size=(4, n)) * 5).float()
    tenth = torch.full((1, n), 0.1)
    method = Numbers(middle, rest, tenth, -tenth.expand(4, n), tenth.expand(4, n))
    totals = torch.round(middle + rest, decimals=4).numpy()
    order = np.argsort(-totals, axis=1)
    gold = order[np.arange(4), [0, 5, 10_000, 19_999]]
    found = certified(method, Places(n, 4096), mentions_of(4), gold, 3)
    assert found.rows.tolist() == order[:, :3].tolist()
    assert found.ranks.tolist() == [1 + float((own > own[g]).sum()) for own, g in zip(totals, gold, strict=True)]
    assert found.dense == 0 and sum(found.scored) < 0.03 * found.pairs, found.scored
    assert method.singly == sum(found.scored)


def test_bounds_that_say_nothing_fall_back_to_everything() -> None:
    rng = np.random.default_rng(0)
    n = 2_000
    grid = torch.from_numpy(rng.integers(-3_000, 3_000, (3, n)) / 16).float()
    wide = torch.full((1, n), 1e6)
    method = Numbers(grid, -grid / 2, wide, -wide.expand(3, n), wide.expand(3, n))
    gold = np.array([-1, 7, 1_999])
    found = certified(method, Places(n, 512), mentions_of(3), gold, 16)
    assert found.dense == 3 and found.scored == [n] * 3
    assert_by_hand(found, method.keys, gold, 16, "mean", "wide")
    assert method.singly < 0.05 * found.pairs, "falling back must not have scored singly first"


def test_threads_rank_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    method, kept, threads = numbers(rng, 40, 90), Places(90, 50), torch.get_num_threads()
    gold = golds(rng, method.keys)
    monkeypatch.setattr(singly, "cores", lambda: 3)
    assert_by_hand(certified(method, kept, mentions_of(40), gold, 3), method.keys, gold, 3, "mean", "threads")
    assert torch.get_num_threads() == threads
    monkeypatch.setattr(method, "exactly", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        certified(method, kept, mentions_of(40), gold, 3)
    assert torch.get_num_threads() == threads


def test_more_wanted_than_there_is_and_nobody_asking() -> None:
    method = numbers(np.random.default_rng(1), 2, 5)
    assert certified(method, Places(5, 2), mentions_of(2), np.array([-1, -1]), 64).rows.shape == (2, 5)
    nobody = certified(method, Places(5, 2), [], np.zeros(0, dtype=np.int64), 3)
    assert nobody.rows.shape == (0, 3) and nobody.scored == [] and len(nobody.ranks) == 0
    with pytest.raises(InputError, match="tie rule"):
        certified(method, Places(5, 2), mentions_of(2), np.array([-1, -1]), 3, "best")


# MIMIC with overwritten weights.

WORDS = ("red", "brick", "tower", "of", "the", "northern", "town", "harbour", "river", "singer", "folk", "songs")
D = 12


def taken(terms: Any, rows: Tensor) -> Any:
    """Return the terms of some rows."""
    return type(terms)(*(taken(x, rows) if isinstance(x, Key) else x[rows] for x in terms))


class Held:
    """Terms of some entities in memory, with what a light reading leaves out left out."""

    def __init__(self, method: Mimic, terms: EntityTerms, view: Any) -> None:
        self.method, self.terms, self.view = method, terms, view

    def __len__(self) -> int:
        return len(self.view)

    def chunks(self) -> Iterator[tuple[int, int]]:
        for start in range(0, len(self), 50):
            yield start, min(start + 50, len(self))

    def chunk(self, start: int, stop: int, light: bool = False, names: bool = True) -> Any:
        view = self.view.slice(start, stop) if names else None
        return self.method.revived(self._part(torch.arange(start, stop), light), view)

    def some(self, rows: Tensor, fields: frozenset[str] | None = None, light: bool = False) -> Any:
        return self.method.revived(self._part(rows, light), None)

    def _part(self, rows: Tensor, light: bool) -> EntityTerms:
        part = taken(self.terms, rows)
        return part._replace(queries=part.queries[:, :0]) if light else part


class Bench(NamedTuple):
    methods: list[Mimic]
    mentions: list[Mention]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """48 entities and 12 mentions, half with a picture, one a side without text; a method for each way to add up."""
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("certified"), np.random.default_rng(0)

    def text(count: int) -> str:
        return " ".join(rng.choice(WORDS, count))

    def picture(name: str) -> str:
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / name)
        return str(folder / name)

    kb = KnowledgeBase.create(folder / "kb")
    kb.upsert(
        Entity(f"E{n:02}", text(1 + n % 2 if n else 0), description=text(n % 14) if n % 5 else "",
               images=(picture(f"e{n}.png"),) if n % 2 else ())
        for n in range(48)
    )  # fmt: skip
    mentions = [Mention(str(n), text(n), WORDS[n], image=picture(f"m{n}.png") if n % 3 else None) for n in range(12)]
    text_encoder, image_encoder = load_text("minilm"), load_image("classical")
    store = FeatureStore(kb.features_dir)

    def method(image: bool = True, **settings: Any) -> Mimic:
        context = Context(kb, store, text_encoder, image_encoder if image else None)
        read = {"entity_template": "{label} {description}", "mention_template": "{text}"}
        return Mimic.build(context, {"width": D, "tokens": 12, **read, **settings})

    return Bench(
        [
            method(),
            method(absent="neutral"),
            method(absent="neutral", names=True),
            method(names=True),
            method(image=False),
        ],
        mentions,
    )


def overwrite(method: Mimic, rng: np.random.Generator) -> str:
    """Give a method random weights, then up to three peculiarities; return which."""
    draw = torch.Generator().manual_seed(int(rng.integers(1 << 30)))

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    net: Any = method.module
    tglu = net.matcher.tglu
    along = noise(D)
    along -= along.mean()
    recipes: dict[str, Callable[[], Any]] = {
        "large gain": lambda: tglu.norm.weight.mul_(10.0 ** rng.uniform(0, 2)),
        "small gain": lambda: tglu.norm.weight.mul_(10.0 ** rng.uniform(-2, 0)),
        "large bias": lambda: tglu.norm.bias.copy_(30 * noise(D)),
        "identical values": lambda: (tglu.value.weight.zero_(), tglu.value.bias.copy_(3 * noise(D))),
        "alike values": lambda: (tglu.value.weight.mul_(0.05), tglu.value.bias.copy_(3 * noise(D))),
        "around the origin": lambda: (
            tglu.value.weight.copy_(torch.outer(along, noise(tglu.value.weight.shape[1]))),
            tglu.value.bias.zero_(),
        ),
        "bound met": lambda: (
            tglu.value.weight.copy_(torch.outer(along, noise(tglu.value.weight.shape[1]))),
            tglu.value.bias.zero_(),
            tglu.norm.weight.fill_(1.0),
            tglu.whole.weight.copy_(torch.outer(along, 0.1 * noise(tglu.whole.weight.shape[1]))),
            tglu.whole.bias.copy_(along),
        ),
        "sharp attention": lambda: tglu.query.weight.mul_(30),
        "attention alone": lambda: (net.matcher.norm_text.weight.mul_(0.05), net.matcher.norm_text.bias.mul_(0.05)),
    }
    with torch.no_grad():
        for parameter in net.matcher.parameters():
            size = 10.0 ** rng.uniform(-1, 0) / max(1, parameter.shape[-1]) ** 0.5
            parameter.copy_(noise(*parameter.shape) * size + (parameter.ndim == 1) * 0.5)
        chosen = [str(name) for name in rng.choice(list(recipes), int(rng.integers(0, 4)), replace=False)]
        for name in chosen:
            recipes[name]()
    return " + ".join(chosen) or "random"


def doubled(terms: Any) -> Any:
    """Return terms in 64 bits."""
    return type(terms)(
        *(doubled(x) if isinstance(x, Key) else x if x.dtype == torch.bool else x.double() for x in terms)
    )


def attended(method: Mimic, ours: Any, theirs: Any) -> np.ndarray:
    """Return S_T of every pair from its equation, one mention at a time; terms are in 64 bits."""
    net: Any = method.module
    norm = net.matcher.tglu.norm
    gain, bias = (x.detach().double().numpy() for x in (norm.weight, norm.bias))
    found = (ours.text @ theirs.text.T).numpy()
    queries, whole, there = theirs.queries.numpy(), theirs.whole.numpy(), theirs.mask.numpy()
    for m, mask in enumerate(ours.mask.numpy()):
        if not mask.any():
            continue
        keys, values = ours.keys[m].numpy()[mask], ours.values[m].numpy()[mask]
        logits = np.einsum("nid,jd->nij", queries, keys)
        odds = np.exp(logits - logits.max(2, keepdims=True))
        weights = odds / odds.sum(2, keepdims=True)
        for n in np.flatnonzero(there.any(1)):
            z = (weights[n][there[n]] @ values).mean(0)
            normed = (z - z.mean()) / np.sqrt(z.var() + norm.eps) * gain + bias
            found[m, n] += whole[n] @ normed
    return found / 2


def totals_of(method: Mimic, side: Any, held: Held) -> np.ndarray:
    """Return S of every pair in 64 bits, from the kept 16-bit terms."""
    net: Any = method.module
    ours, theirs, matcher = doubled(side.terms), doubled(held.terms), copy.deepcopy(net.matcher).double()
    text = attended(method, ours, theirs)
    if not matcher.pictures:
        return text
    with torch.inference_mode():
        image, cross, both = (x.numpy() for x in matcher.visual(ours, theirs))
    if method.config.absent == "average":
        found = np.where(both, (text + image + cross) / 3, text)
    else:
        neutral = matcher.neutral.detach().numpy()
        found = (text + np.where(both, image - neutral[0] + cross - neutral[1], 0)) / 3
    if net.names is not None:
        alike = NameScorer().score(side.names, held.chunk(0, len(held)).names)
        found = found + np.interp(alike, np.arange(KNOTS + 1) / KNOTS, net.names.points())
    return found


def assert_near(found: Ranking, totals: np.ndarray, gold: np.ndarray, ties: str, near: float, case: object) -> int:
    """Compare a ranking with totals that it may know to ``near``; return how many mentions left no doubt."""
    clear = 0
    for m, own in enumerate(totals):
        rows, scores, k = found.rows[m], found.scores[m], len(found.rows[m])
        order = np.argsort(-own, kind="stable")
        np.testing.assert_allclose(scores, own[rows], atol=near, rtol=0, err_msg=f"{case} mention {m}")
        np.testing.assert_allclose(scores, own[order[:k]], atol=near, rtol=0, err_msg=f"{case} mention {m}")
        assert len(set(rows.tolist())) == k, case
        assert np.lexsort((rows, -scores)).tolist() == list(range(k)), (case, m)
        if np.all(-np.diff(own[order[: k + 1]]) > 2 * near):
            assert rows.tolist() == order[:k].tolist(), (case, m)
            clear += 1
        if gold[m] >= 0:
            apart = own - own[gold[m]]
            doubt = int((np.abs(apart) <= 2 * near).sum()) - 1
            above = 1 + int((apart > 2 * near).sum())
            assert above <= found.ranks[m] <= above + doubt, (case, m)
            if not doubt:
                assert found.ranks[m] == above, (case, m)
    return clear


def assert_bounded(method: Mimic, side: Any, held: Held, case: object) -> None:
    """Check that attention's say lies within both bounds, widened as the engine widens them."""
    everybody = held.chunk(0, len(held))
    said, (_, reach) = method.densely(side, everybody), method.bounded(side, held.chunk(0, len(held), light=True))
    room = 1e-4 + engine.RELATIVE * reach.expand(said.shape)
    assert bool((said.abs() <= reach + room).all()), case
    for m, own in enumerate(said):
        low, high = method.tightened(side, m, held.some(torch.arange(len(held)), light=True))
        assert bool(((low - room[m] <= own) & (own <= high + room[m])).all()), (case, m)


def test_mimic_with_any_weights(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    clear = fell_back = compared = certain = same = ranked = 0
    seen: set[str] = set()
    for seed in range(WEIGHTS):
        rng = np.random.default_rng(seed)
        method = bench.methods[seed % len(bench.methods)]
        case = (seed, overwrite(method, rng))
        seen.update(case[1].split(" + "))
        n = pick(rng, 1, 6, 48, 48, 130)
        rows = np.sort(rng.integers(0, 48, n)) if pick(rng, True, False) else rng.permutation(48)[:n]
        whole = method.context.kb.view()
        held = Held(method, taken(method.terms(whole), torch.from_numpy(rows)), whole.take(rows))
        n, side = len(held), method.mentions(bench.mentions)
        totals = totals_of(method, side, held)
        reach = float(method.bounded(side, held.chunk(0, n, light=True)).reach.max())
        if seed % 3 == 0:
            assert_bounded(method, side, held, case)
        near = 1e-4 + 2e-6 * max(reach, float(np.abs(totals).max()))
        gold, ties, k = golds(rng, totals), pick(rng, *TIES), min(n, pick(rng, 1, 3, 16, n))
        tuned(monkeypatch, rng, n)
        full = certified(method, held, bench.mentions, gold, k, ties, prune=False)
        found = certified(method, held, bench.mentions, gold, k, ties)
        assert_near(full, totals, gold, ties, near, case)
        clear += assert_near(found, totals, gold, ties, near, case)
        np.testing.assert_allclose(found.scores, full.scores, atol=1e-4 + near / 2, rtol=0, err_msg=str(case))
        same += int((found.rows == full.rows).all(1).sum())
        ranked += int(np.array_equal(found.ranks, full.ranks, equal_nan=True))
        brute = total(method.score(side, held.chunk(0, n)))
        np.testing.assert_allclose(brute, totals, atol=1e-4 + near, rtol=0, err_msg=str(case))
        fell_back, compared = fell_back + found.dense, compared + len(totals)
        certain += sum(scored < n for scored in found.scored)
    assert len(seen) == 10 and compared == 12 * WEIGHTS
    assert same > 0.99 * compared and ranked > 0.99 * WEIGHTS, "near ties may fall either way, rarely"
    assert clear > compared / 3 and fell_back > 30 and certain > 200, "the cases must take every way"


def test_mimic_by_shortlist(bench: Bench) -> None:
    recalls = []
    for seed, method in enumerate(bench.methods * 3):
        rng = np.random.default_rng(1000 + seed)
        case = (seed, overwrite(method, rng))
        view = method.context.kb.view()
        held, side = Held(method, method.terms(view), view), method.mentions(bench.mentions)
        totals, gold = totals_of(method, side, held), rng.integers(0, 48, 12)
        near = 1e-4 + 4e-6 * float(np.abs(totals).max() + method.bounded(side, held.chunk(0, 48)).reach.max())
        exact = certified(method, held, bench.mentions, gold, 5)
        everybody = shortlisted(method, held, bench.mentions, gold, 5, 48)
        assert_near(everybody, totals, gold, "mean", near, case)
        assert everybody.recall == np.mean(everybody.rows[:, 0] == exact.rows[:, 0])
        some = shortlisted(method, held, bench.mentions, gold, 5, 8)
        for m, own in enumerate(totals):
            np.testing.assert_allclose(some.scores[m], own[some.rows[m]], atol=near, rtol=0, err_msg=str(case))
        recalls.append(some.recall)
        assert some.recall == np.mean(some.rows[:, 0] == exact.rows[:, 0])
    assert min(recalls) < 1, "the shortlists must miss now and then"
