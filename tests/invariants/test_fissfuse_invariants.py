"""A candidate's scores are its own: whatever else is listed, pads it, or is missing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from melink.methods.fissfuse import Inputs, Net, lists_of
from melink.methods.fissfuse_net import FISSION, FUSION, IMAGE, FissFuseNet, Scores, Terms
from melink.methods.matcher import Read

WIDTHS = {"text": 6, "token": 5, "image": 4, "patch": 3}
PARTS = FISSION + FUSION
GARBAGE = (float("nan"), float("inf"), float("-inf"), 1e30, -7.0)
ABSENT = st.sampled_from(["average", "neutral"])
KINDS = st.sampled_from(
    [{}, {"heads": 4}, {"shared": False}, {"parts": FISSION}, {"parts": ("fission_text", "fusion_both")}]
)


def random_net(seed: int = 0, **options: object) -> FissFuseNet:
    """Return a network in 64 bits whose every parameter is random."""
    net, g = FissFuseNet(**{**WIDTHS, "d": 8, **options}), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=g) + (parameter == 1))
    return net.double().eval().requires_grad_(False)


@st.composite
def sides(draw, most: int = 6, least: int = 1, blank: bool = False) -> Read:
    """Draw a side: its sizes, lengths and which pictures exist; numbers come from a drawn seed."""
    n, longest, patches = draw(st.integers(least, most)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(0 if blank else 1, longest), min_size=n, max_size=n))
    seen = torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    tokens, rows = noise(n, longest, WIDTHS["token"]), noise(n, patches, WIDTHS["patch"])
    return Read(noise(n, WIDTHS["text"]), tokens, mask, noise(n, WIDTHS["image"]), rows, seen)


def taken(read: Read, rows: Tensor | slice | list[int]) -> Read:
    return Read(*(x[rows] for x in read))


def beside(side: Terms) -> Terms:
    return Terms(*(x[None] for x in side))


def scores_of(net: FissFuseNet, mentions: Read, entities: Read) -> Scores:
    """Return the scores of all pairs, [m n] each."""
    found = net(beside(net.mention(mentions)), beside(net.entity(entities)))
    return {part: score[0] for part, score in found.items()}


def total_of(net: FissFuseNet, mentions: Read, entities: Read) -> Tensor:
    both = mentions.seen[:, None] & entities.seen[None]
    return torch.stack(list(net.contributions(scores_of(net, mentions, entities), both).values())).sum(0)


def assert_same(found: Scores, expected: Scores, limit: float = 1e-9) -> None:
    assert found.keys() == expected.keys()
    for part, score in found.items():
        torch.testing.assert_close(score, expected[part], rtol=limit, atol=limit, msg=lambda m, p=part: f"{p}: {m}")


def cut(scores: Scores, rows: Tensor | slice | list[int], columns: Tensor | slice | list[int]) -> Scores:
    return {part: score[rows][:, columns] for part, score in scores.items()}


@given(sides(), sides(), KINDS)
@settings(max_examples=25, deadline=None)
def test_one_pair_at_a_time_is_all_pairs(mentions, entities, kind):
    net = random_net(**kind)
    whole = scores_of(net, mentions, entities)
    for b in range(len(mentions.text)):
        for c in range(len(entities.text)):
            one = scores_of(net, taken(mentions, [b]), taken(entities, [c]))
            assert_same(one, cut(whole, slice(b, b + 1), slice(c, c + 1)))


@given(sides(least=2, blank=True), sides(least=2, blank=True), KINDS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_permuting_candidates_permutes_the_scores(mentions, entities, kind, random):
    net = random_net(**kind)
    rows, columns = list(range(len(mentions.text))), list(range(len(entities.text)))
    random.shuffle(rows)
    random.shuffle(columns)
    moved = scores_of(net, taken(mentions, rows), taken(entities, columns))
    assert_same(moved, cut(scores_of(net, mentions, entities), rows, columns))


@given(sides(blank=True), sides(least=2, blank=True), KINDS, ABSENT, st.data())
@settings(max_examples=40, deadline=None)
def test_adding_a_candidate_changes_no_other_score(mentions, entities, kind, absent, data):
    net, n = random_net(absent=absent, **kind), len(entities.text)
    kept = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))
    fewer = taken(entities, kept)
    assert_same(scores_of(net, mentions, fewer), cut(scores_of(net, mentions, entities), slice(None), kept))
    torch.testing.assert_close(total_of(net, mentions, fewer), total_of(net, mentions, entities)[:, kept])


@given(sides(), sides(), KINDS, st.sampled_from(GARBAGE))
@settings(max_examples=40, deadline=None)
def test_what_was_not_read_changes_nothing(mentions, entities, kind, value):
    net = random_net(**kind)

    def polluted(read: Read) -> Read:
        tokens = torch.where(read.mask[..., None], read.tokens, value)
        image = torch.where(read.seen[:, None], read.image, value)
        patches = torch.where(read.seen[:, None, None], read.patches, value)
        return read._replace(tokens=tokens, image=image, patches=patches)

    assert_same(scores_of(net, polluted(mentions), polluted(entities)), scores_of(net, mentions, entities), limit=0.0)


@given(sides(blank=True), sides(blank=True), st.integers(0, 4), st.integers(0, 4), st.sampled_from(GARBAGE))
@settings(max_examples=40, deadline=None)
def test_padding_changes_nothing(mentions, entities, ours, theirs, value):
    def lengthened(read: Read, extra: int) -> Read:
        n = len(read.text)
        tokens = torch.cat([read.tokens, torch.full((n, extra, WIDTHS["token"]), value).double()], 1)
        return read._replace(tokens=tokens, mask=torch.cat([read.mask, torch.zeros(n, extra, dtype=torch.bool)], 1))

    net = random_net()
    long = scores_of(net, lengthened(mentions, ours), lengthened(entities, theirs))
    assert_same(long, scores_of(net, mentions, entities))


@given(sides(), sides(), ABSENT)
@settings(max_examples=25, deadline=None)
def test_without_pictures_only_texts_are_compared(mentions, entities, absent):
    net = random_net(absent=absent)
    blind = mentions._replace(seen=torch.zeros_like(mentions.seen))
    found = scores_of(net, blind, entities)
    assert not any(found[part].any() for part in IMAGE)
    there = [found[part] for part in PARTS if part not in IMAGE]
    count = len(there) if absent == "average" else len(PARTS)
    torch.testing.assert_close(total_of(net, blind, entities), torch.stack(there).sum(0) / count)
    both_blind = entities._replace(seen=torch.zeros_like(entities.seen))
    plain = random_net(absent=absent, image=None, patch=None)
    plain.load_state_dict({name: x for name, x in net.state_dict().items() if name in plain.state_dict()}, strict=False)
    narrow = {name: x for name, x in net.state_dict().items() if name in plain.state_dict()}
    assert narrow.keys() == plain.state_dict().keys()
    assert_same(
        scores_of(plain, mentions, entities),
        {part: s for part, s in scores_of(net, blind, both_blind).items() if part not in IMAGE},
    )


@given(sides(), sides(), ABSENT)
@settings(max_examples=25, deadline=None)
def test_a_picture_of_one_side_moves_no_comparison_of_texts(mentions, entities, absent):
    net = random_net(absent=absent)
    blind = mentions._replace(seen=torch.zeros_like(mentions.seen))
    every = entities._replace(seen=torch.ones_like(entities.seen))
    none = entities._replace(seen=torch.zeros_like(entities.seen))
    one, other = scores_of(net, blind, every), scores_of(net, blind, none)
    for part in ("fission_text", "fission_both"):  # the fusion branch reads each side's own picture into its text
        torch.testing.assert_close(one[part], other[part])


@given(sides(blank=True), sides(blank=True), ABSENT, st.sampled_from(["text", "tokens", "image", "patches", "all"]))
@settings(max_examples=40, deadline=None)
def test_blank_texts_and_zero_vectors_have_scores_and_gradients(mentions, entities, absent, zeroed):
    net = random_net(absent=absent).requires_grad_(True)
    names = ("text", "tokens", "image", "patches") if zeroed == "all" else (zeroed,)
    emptied = [r._replace(**{name: torch.zeros_like(getattr(r, name)) for name in names}) for r in (mentions, entities)]
    total = total_of(net, *emptied)
    assert total.isfinite().all()
    total.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@given(sides(blank=True), sides(blank=True), ABSENT)
@settings(max_examples=25, deadline=None)
def test_equal_candidates_tie(mentions, entities, absent):
    net, n = random_net(absent=absent), len(entities.text)
    twice = Read(*(torch.cat([x, x]) for x in entities))
    total = total_of(net, mentions, twice)
    torch.testing.assert_close(total[:, :n], total[:, n:], rtol=0, atol=1e-12)


@st.composite
def inputs(draw) -> Inputs:
    """Draw a batch of lists over some entities, with gold on them."""
    mentions, entities = draw(sides(most=4)), draw(sides(least=2, most=7))
    b, c = len(mentions.text), len(entities.text)
    allowed = torch.tensor(draw(st.lists(st.lists(st.booleans(), min_size=c, max_size=c), min_size=b, max_size=b)))
    gold = torch.tensor(draw(st.lists(st.integers(0, c - 1), min_size=b, max_size=b)))
    allowed[torch.arange(b), gold] = True
    columns, listed = (torch.from_numpy(x) for x in lists_of(allowed.numpy()))
    at = (columns == gold[:, None]).int().argmax(1)
    names = torch.rand(*columns.shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))).double()
    return Inputs(mentions, entities, columns, listed, names, at, columns, c, batch=b, world=1)


@given(inputs(), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_filler_on_a_list_changes_nothing(given_, extra):
    net = Net(random_net(), names=True).double().requires_grad_(False)
    filler = torch.zeros(len(given_.gold), extra, dtype=torch.int64)
    longer = given_._replace(
        lists=torch.cat([given_.lists, filler], 1),
        listed=torch.cat([given_.listed, filler.bool()], 1),
        names=torch.cat([given_.names, 1e3 * torch.ones_like(filler).double()], 1),
        columns=torch.cat([given_.columns, filler + torch.arange(extra) + given_.width], 1),
        width=given_.width + extra,
    )
    short, long = net(given_), net(longer)
    torch.testing.assert_close(long.loss, short.loss)
    torch.testing.assert_close(long.scores[:, : given_.width], short.scores)
    assert bool((long.scores[:, given_.width :] == float("-inf")).all())


@given(inputs(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_a_list_changes_nothing(given_, random):
    net, order = Net(random_net(), names=True).double().requires_grad_(False), list(range(given_.lists.shape[1]))
    random.shuffle(order)
    moved = given_._replace(
        lists=given_.lists[:, order],
        listed=given_.listed[:, order],
        names=given_.names[:, order],
        columns=given_.columns[:, order],
        gold=torch.tensor([order.index(place) for place in given_.gold.tolist()]),
    )
    there, then = net(given_), net(moved)
    torch.testing.assert_close(then.loss, there.loss)
    torch.testing.assert_close(then.scores, there.scores)


@given(inputs())
@settings(max_examples=30, deadline=None)
def test_a_batch_is_its_mentions(given_):
    net, b = Net(random_net(), names=True).double().requires_grad_(False), len(given_.gold)
    whole = net(given_)
    alone = [
        net(
            given_._replace(
                **{name: getattr(given_, name)[m : m + 1] for name in ("lists", "listed", "names", "gold", "columns")},
                mentions=taken(given_.mentions, [m]),
                batch=1,
            )
        )
        for m in range(b)
    ]
    torch.testing.assert_close(torch.cat([each.scores for each in alone]), whole.scores)
    torch.testing.assert_close(torch.stack([each.loss for each in alone]).mean(), whole.loss)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e4, 1e12])
def test_any_size_of_number_is_scored(scale, kind):
    net, g = random_net().to(kind), torch.Generator().manual_seed(1)
    shapes = (4, WIDTHS["text"]), (4, 3, WIDTHS["token"]), (4, WIDTHS["image"]), (4, 2, WIDTHS["patch"])
    text, tokens, image, patches = (scale * torch.randn(s, generator=g).to(kind) for s in shapes)
    read = Read(text, tokens, torch.ones(4, 3, dtype=torch.bool), image, patches, torch.ones(4, dtype=torch.bool))
    assert all(score.isfinite().all() for score in scores_of(net, read, read).values())
