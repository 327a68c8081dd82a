"""The matcher scores a pair by that pair alone, whatever stands beside it, pads it or is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from melink.methods import matcher as module
from melink.methods.base import total as rounded
from melink.methods.matcher import Matcher, Read, Scores, picked
from melink.ranking.ranks import rank_of

WIDTHS = {"text": 6, "token": 5, "image": 4, "patch": 3}
UNITS = ("text", "image", "cross")
ABSENT = st.sampled_from(["average", "neutral"])
GARBAGE = (float("nan"), float("inf"), float("-inf"), 1e30, -7.0)


def random_matcher(seed: int = 0, pictures: bool = True, **options: object) -> Matcher:
    """Return a matcher in 64 bits whose every parameter is random."""
    widths = WIDTHS if pictures else WIDTHS | {"image": None, "patch": None}
    matcher, g = Matcher(**widths, d=8, **options), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in matcher.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=g) + (parameter == 1))
    return matcher.double().eval().requires_grad_(False)


@st.composite
def sides(draw, most: int = 6, least: int = 1, blank: bool = False, holes: bool = False) -> Read:
    """Draw a side: its sizes, lengths and which pictures exist; numbers come from a drawn seed."""
    n, longest, patches = draw(st.integers(least, most)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(0 if blank else 1, longest), min_size=n, max_size=n))
    seen = torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    if holes:
        mask = torch.stack([row[torch.randperm(longest, generator=g)] for row in mask])

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    tokens, rows = noise(n, longest, WIDTHS["token"]), noise(n, patches, WIDTHS["patch"])
    return Read(noise(n, WIDTHS["text"]), tokens, mask, noise(n, WIDTHS["image"]), rows, seen)


def taken(read: Read, rows: Tensor | slice | list[int]) -> Read:
    return Read(*(x[rows] for x in read))


def joined(one: Read, other: Read) -> Read:
    return Read(*(torch.cat(both) for both in zip(one, other, strict=True)))


def scores_of(matcher: Matcher, mentions: Read, entities: Read) -> Scores:
    return matcher(matcher.mention(mentions), matcher.entity(entities))


def total_of(matcher: Matcher, mentions: Read, entities: Read) -> Tensor:
    return matcher.combine(scores_of(matcher, mentions, entities))


def assert_same(found: Scores, expected: Scores, exact: bool = False) -> None:
    limit = 0.0 if exact else 1e-9
    for name in UNITS:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=limit, atol=limit)
    assert torch.equal(found.both, expected.both)


def cut(scores: Scores, rows: Tensor | slice, columns: Tensor | slice) -> Scores:
    return Scores(*(x[rows][:, columns] for x in scores))


def polluted(read: Read, value: float) -> Read:
    """Return a side with a value wherever nothing was read."""
    tokens = torch.where(read.mask[..., None], read.tokens, value)
    image = torch.where(read.seen[:, None], read.image, value)
    return read._replace(tokens=tokens, image=image, patches=torch.where(read.seen[:, None, None], read.patches, value))


def lengthened(read: Read, extra: int, value: float) -> Read:
    n = len(read.text)
    tokens = torch.cat([read.tokens, torch.full((n, extra, read.tokens.shape[2]), value).double()], 1)
    return read._replace(tokens=tokens, mask=torch.cat([read.mask, torch.zeros(n, extra, dtype=torch.bool)], 1))


@given(sides(), sides())
@settings(max_examples=25, deadline=None)
def test_one_pair_at_a_time_is_all_pairs(mentions, entities):
    matcher = random_matcher()
    whole = scores_of(matcher, mentions, entities)
    for b in range(len(mentions.text)):
        for c in range(len(entities.text)):
            one = scores_of(matcher, taken(mentions, [b]), taken(entities, [c]))
            assert_same(one, cut(whole, slice(b, b + 1), slice(c, c + 1)))


@given(sides(most=9), sides(most=9), st.integers(1, 9), st.integers(1, 9), ABSENT)
@settings(max_examples=25, deadline=None)
def test_chunks_are_the_whole(mentions, entities, block, size, absent):
    matcher = random_matcher(absent=absent)
    ours = [taken(mentions, slice(at, at + block)) for at in range(0, len(mentions.text), block)]
    theirs = [taken(entities, slice(at, at + size)) for at in range(0, len(entities.text), size)]
    tiles = torch.cat([torch.cat([total_of(matcher, m, e) for e in theirs], 1) for m in ours])
    torch.testing.assert_close(tiles, total_of(matcher, mentions, entities), rtol=1e-9, atol=1e-9)
    swapped = [matcher.combine(scores_of(matcher, mentions, e)) for e in reversed(theirs)]
    torch.testing.assert_close(torch.cat(swapped[::-1], 1), tiles, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(3, 200), (70, 30), (200, 9)])
@pytest.mark.parametrize("room", [1, 700])
def test_a_batch_too_large_for_one_block_is_its_chunks(shape, room, monkeypatch):
    monkeypatch.setattr(module, "CACHE", room)
    monkeypatch.setattr(module, "GROUP", 5)
    matcher, g = random_matcher(), torch.Generator().manual_seed(5)

    def ragged(n: int, longest: int) -> Read:
        def noise(*size: int) -> Tensor:
            return torch.randn(*size, generator=g, dtype=torch.float64)

        mask = torch.arange(longest) < torch.randint(0, longest + 1, (n, 1), generator=g)
        seen = torch.randint(0, 2, (n,), generator=g).bool()
        rows = noise(n, 2, WIDTHS["patch"])
        return Read(
            noise(n, WIDTHS["text"]), noise(n, longest, WIDTHS["token"]), mask, noise(n, WIDTHS["image"]), rows, seen
        )

    mentions, entities = ragged(shape[0], 15), ragged(shape[1], 12)
    ours, theirs = matcher.mention(mentions), matcher.entity(entities)
    whole = matcher(ours, theirs)
    monkeypatch.undo()
    for first in range(0, shape[0], 50):
        rows = torch.arange(first, min(first + 50, shape[0]))
        for start in range(0, shape[1], 40):
            columns = torch.arange(start, min(start + 40, shape[1]))
            assert_same(matcher(picked(ours, rows), picked(theirs, columns)), cut(whole, rows, columns))


@given(sides(least=2, blank=True), sides(least=2, blank=True), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_permuting_either_side_permutes_the_scores(mentions, entities, random):
    matcher = random_matcher()
    rows, columns = list(range(len(mentions.text))), list(range(len(entities.text)))
    random.shuffle(rows)
    random.shuffle(columns)
    moved = scores_of(matcher, taken(mentions, rows), taken(entities, columns))
    assert_same(moved, cut(scores_of(matcher, mentions, entities), torch.tensor(rows), torch.tensor(columns)))


@given(sides(), sides(), st.sampled_from(GARBAGE), ABSENT)
@settings(max_examples=40, deadline=None)
def test_what_was_not_read_changes_nothing(mentions, entities, value, absent):
    matcher = random_matcher(absent=absent)
    clean, dirty = (
        scores_of(matcher, mentions, entities),
        scores_of(matcher, polluted(mentions, value), polluted(entities, value)),
    )
    assert_same(dirty, clean, exact=True)
    assert torch.equal(matcher.combine(dirty), matcher.combine(clean))


@given(sides(), sides(), st.integers(0, 4), st.integers(0, 4), st.sampled_from(GARBAGE))
@settings(max_examples=40, deadline=None)
def test_longer_padding_changes_nothing(mentions, entities, ours, theirs, value):
    matcher = random_matcher()
    long = scores_of(matcher, lengthened(mentions, ours, value), lengthened(entities, theirs, value))
    assert_same(long, scores_of(matcher, mentions, entities))


@given(sides(holes=True), sides(holes=True))
@settings(max_examples=40, deadline=None)
def test_it_is_the_mask_that_says_what_is_padding(mentions, entities):
    """Tokens may be masked out on the left or in the middle: the order of what is left is all that stays."""
    matcher = random_matcher()
    packed = []
    for read in (mentions, entities):
        order = torch.argsort(~read.mask, dim=1, stable=True)
        tokens = torch.gather(read.tokens, 1, order[..., None].expand_as(read.tokens))
        packed.append(read._replace(tokens=tokens, mask=torch.gather(read.mask, 1, order)))
    assert_same(scores_of(matcher, mentions, entities), scores_of(matcher, *packed))


@given(sides(blank=True), sides(blank=True), ABSENT)
@settings(max_examples=25, deadline=None)
def test_equal_entities_tie(mentions, entities, absent):
    matcher, n = random_matcher(absent=absent), len(entities.text)
    total = total_of(matcher, mentions, joined(entities, entities))
    torch.testing.assert_close(total[:, :n], total[:, n:], rtol=0, atol=1e-12)
    alone = total_of(matcher, taken(mentions, [0]), taken(entities, [0] * 7))
    torch.testing.assert_close(alone, alone[:, :1].expand(1, 7), rtol=0, atol=1e-12)


@given(sides(blank=True), sides(blank=True), ABSENT, st.sampled_from(["text", "tokens", "image", "patches", "all"]))
@settings(max_examples=40, deadline=None)
def test_blank_texts_and_zero_vectors_have_scores_and_gradients(mentions, entities, absent, zeroed):
    matcher = random_matcher(absent=absent).requires_grad_(True)
    names = ("text", "tokens", "image", "patches") if zeroed == "all" else (zeroed,)
    emptied = [r._replace(**{name: torch.zeros_like(getattr(r, name)) for name in names}) for r in (mentions, entities)]
    for value in GARBAGE:
        scores = scores_of(matcher, *(polluted(read, value) for read in emptied))
        total = matcher.combine(scores)
        assert all(getattr(scores, name).isfinite().all() for name in UNITS) and total.isfinite().all()
        matcher.zero_grad()
        total.square().sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in matcher.parameters())


@given(sides(blank=True), sides(blank=True))
@settings(max_examples=25, deadline=None)
def test_a_blank_text_leaves_the_global_score(mentions, entities):
    matcher = random_matcher()
    found = scores_of(matcher, mentions, entities).text
    blank = ~(mentions.mask.any(1)[:, None] & entities.mask.any(1)[None])
    whole = [torch.nn.functional.layer_norm(r.text, (WIDTHS["text"],), *matcher.norm_text.parameters()) for r in
             (mentions, entities)]  # fmt: skip
    torch.testing.assert_close(found[blank], (whole[0] @ whole[1].T / 2)[blank])


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e4, 1e15])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_any_size_of_number_is_scored(scale, kind):
    matcher, g = random_matcher().to(kind), torch.Generator().manual_seed(1)
    shapes = (4, WIDTHS["text"]), (4, 3, WIDTHS["token"]), (4, WIDTHS["image"]), (4, 2, WIDTHS["patch"])
    text, tokens, image, patches = (scale * torch.randn(s, generator=g).to(kind) for s in shapes)
    read = Read(text, tokens, torch.ones(4, 3, dtype=torch.bool), image, patches, torch.ones(4, dtype=torch.bool))
    for scores in (scores_of(matcher, read, read), scores_of(matcher, taken(read, [0]), taken(read, [0, 0, 0]))):
        assert all(getattr(scores, name).isfinite().all() for name in UNITS)


@given(sides(), sides(), ABSENT)
@settings(max_examples=25, deadline=None)
def test_without_pictures_only_texts_are_compared(mentions, entities, absent):
    matcher = random_matcher(absent=absent)
    blind = mentions._replace(seen=torch.zeros_like(mentions.seen))
    found, seeing = scores_of(matcher, blind, entities), scores_of(matcher, mentions, entities)
    assert not found.both.any() and not found.image.any() and not found.cross.any()
    torch.testing.assert_close(found.text, seeing.text, rtol=0, atol=0)
    torch.testing.assert_close(matcher.combine(found), found.text if absent == "average" else found.text / 3)
    plain = random_matcher(pictures=False, absent=absent)
    plain.load_state_dict({name: x for name, x in matcher.state_dict().items() if name in plain.state_dict()})
    texts = scores_of(plain, mentions, entities)
    torch.testing.assert_close(texts.text, found.text, rtol=0, atol=0)
    assert torch.equal(plain.combine(texts), texts.text)


@given(sides(), sides(least=2, most=8), st.booleans(), st.data())
@settings(max_examples=25, deadline=None)
def test_a_constant_scorer_earns_chance(mentions, entities, quirks, data):
    matcher = random_matcher(absent="neutral", quirks=quirks)
    with torch.no_grad():
        for layer in matcher.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.zero_()
                layer.bias.zero_()
            elif isinstance(layer, torch.nn.LayerNorm):
                layer.weight.zero_()
        matcher.neutral.copy_(torch.cat([x.flatten() for x in silent(matcher)]))
    total, n = rounded({"all": total_of(matcher, mentions, entities).numpy()}), len(entities.text)
    gold = data.draw(st.lists(st.integers(0, n - 1), min_size=len(total), max_size=len(total)))
    assert [rank_of(row, column) for row, column in zip(total, gold, strict=True)] == [(n + 1) / 2] * len(total)


def silent(matcher: Matcher) -> tuple[Tensor, Tensor]:
    """Return S_V and S_C of a pair with pictures."""
    ones = torch.ones(1, 1, dtype=torch.bool)
    shapes = (1, WIDTHS["text"]), (1, 1, WIDTHS["token"]), (1, WIDTHS["image"]), (1, 1, WIDTHS["patch"])
    text, tokens, image, patches = (torch.ones(shape, dtype=torch.float64) for shape in shapes)
    scores = scores_of(matcher, *[Read(text, tokens, ones, image, patches, ones[0])] * 2)
    return scores.image, scores.cross


@given(sides(), sides(least=2, most=8))
@settings(max_examples=25, deadline=None)
def test_zero_weights_without_biases_score_nothing(mentions, entities):
    matcher = random_matcher()
    with torch.no_grad():
        for parameter in matcher.parameters():
            parameter.zero_()
    total = total_of(matcher, mentions, entities)
    assert not total.any()
    assert {rank_of(row, 0) for row in total.numpy()} == {(len(entities.text) + 1) / 2}
    assert np.isfinite(total.numpy()).all()
