"""A mention's vector is its own: whatever pads its sets, in whatever order they come, whoever else is in the batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from melink.errors import ConfigError
from melink.methods.dwe import DWESettings, Inputs, Net
from melink.methods.dwe_inputs import Given, Rows
from melink.methods.dwe_query import ASKED, Query

WIDTHS = {"regions": 3, "whole": 4, "faces": 5, "looks": 6, "identities": 6}
DT = 6
GARBAGE = (float("nan"), float("inf"), float("-inf"), 1e30, -7.0)
KINDS = st.sampled_from([{}, {"fusion": "concatenated"}, {"shortcut": False}, {"text": False}])


def random_query(widths: dict[str, int] = WIDTHS, seed: int = 0, **options: object) -> Query:
    """Return a network in 64 bits whose every parameter is random; equal names have equal values."""
    net = Query(DT, widths, DWESettings(width=8, heads=2, **options))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            g = torch.Generator().manual_seed(seed + sum(map(ord, name)))
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=g) + (parameter == 1))
    return net.double().eval().requires_grad_(False)


@st.composite
def mentions(draw, least: int = 1, most: int = 5) -> Given:
    """Draw mentions: how many rows each has of each kind, none at all included; numbers come from a drawn seed."""
    n = draw(st.integers(least, most))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    sets = {}
    for kind, width in WIDTHS.items():
        longest = 1 if kind == "whole" else draw(st.integers(0, 3))
        lengths = torch.tensor(draw(st.lists(st.integers(0, longest), min_size=n, max_size=n)))
        there = torch.arange(longest) < lengths[:, None]
        sets[kind] = Rows(torch.randn(n, longest, width, generator=g, dtype=torch.float64), there)
    read = torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    surface, text = torch.randn(2, n, DT, generator=g, dtype=torch.float64)
    alike = torch.rand(sets["identities"].there.shape, generator=g, dtype=torch.float64)
    return Given(surface, text * read[:, None], read, sets, alike)


def taken(given_: Given, rows: list[int]) -> Given:
    sets = {kind: Rows(own.vectors[rows], own.there[rows]) for kind, own in given_.sets.items()}
    return Given(given_.surface[rows], given_.text[rows], given_.read[rows], sets, given_.alike[rows])


def assert_close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@given(mentions(least=2), KINDS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_alone_as_in_company_and_in_any_order(all_, kind, random):
    net, order = random_query(**kind), list(range(len(all_.surface)))
    whole = net(all_).whole()
    random.shuffle(order)
    assert_close(net(taken(all_, order)).whole(), whole[order])
    for row in order:
        assert_close(net(taken(all_, [row])).whole()[0], whole[row])


@given(mentions(), KINDS, st.sampled_from(GARBAGE), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_padding_changes_nothing(all_, kind, value, extra):
    net, n = random_query(**kind), len(all_.surface)
    sets = {}
    for name, (vectors, there) in all_.sets.items():
        polluted = torch.where(there[..., None], vectors, value)
        more = torch.full((n, extra, vectors.shape[2]), value, dtype=torch.float64)
        sets[name] = Rows(torch.cat([polluted, more], 1), torch.cat([there, torch.zeros(n, extra).bool()], 1))
    alike = torch.cat([all_.alike, torch.full((n, extra), 0.5, dtype=torch.float64)], 1)
    found, expected = net(all_._replace(sets=sets, alike=alike)), net(all_)
    assert_close(found.whole(), expected.whole())
    for name, part in expected.parts.items():
        assert_close(found.parts[name], part)


@given(mentions(), KINDS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_sets_have_no_order(all_, kind, random):
    net, sets, alike = random_query(**kind), {}, all_.alike
    for name, (vectors, there) in all_.sets.items():
        order = list(range(vectors.shape[1]))
        random.shuffle(order)
        sets[name] = Rows(vectors[:, order], there[:, order])
        alike = alike[:, order] if name == "identities" else alike
    assert_close(net(all_._replace(sets=sets, alike=alike)).whole(), net(all_).whole())


@given(mentions(), KINDS, st.sampled_from(sorted(WIDTHS)))
@settings(max_examples=40, deadline=None)
def test_an_empty_set_is_as_if_it_had_never_been_asked(all_, kind, name):
    """Zero regions, zero faces, no picture: the same as a network that reads no such thing."""
    empty = Rows(all_.sets[name].vectors, torch.zeros_like(all_.sets[name].there))
    without = {other: rows for other, rows in all_.sets.items() if other != name}
    found = random_query(**kind)(all_._replace(sets={**all_.sets, name: empty}))
    narrow = random_query({other: width for other, width in WIDTHS.items() if other != name}, **kind)
    assert_close(found.whole(), narrow(all_._replace(sets=without)).whole())


@given(mentions(), KINDS)
@settings(max_examples=20, deadline=None)
def test_attention_is_shared_out_among_what_is_there(all_, kind):
    found = random_query(**kind)(all_)
    for name, weights in found.weights.items():
        sums = weights.sum(1)
        assert_close(sums, found.seen[name].double())
    for name in ("objects", "faces", "identity"):
        there = torch.cat([all_.sets[each].there for each in ASKED[name]], 1).any(1)
        assert found.seen[name].tolist() == there.tolist()
        assert not found.found[name][~there].any()


@given(mentions(), st.sampled_from(["mention", "faces"]), st.sampled_from(["triplet", "softmax"]))
@settings(max_examples=30, deadline=None)
def test_every_company_has_a_loss_and_gradients(all_, fine, ranking):
    s = DWESettings(width=8, heads=2, fine=fine, ranking=ranking)
    net = Net(random_query(), s).double()
    net.requires_grad_(True)
    b = len(all_.surface)
    entities = torch.nn.functional.normalize(torch.randn(b + 1, DT, dtype=torch.float64), dim=-1)
    gold = torch.arange(b)
    allowed = torch.ones(b, b + 1, dtype=torch.bool)
    step = net(Inputs(all_, entities, torch.rand(b, b + 1).double(), gold, gold, allowed, 0, b, 1))
    assert step.loss.isfinite()
    step.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@given(mentions(), mentions())
@settings(max_examples=20, deadline=None)
def test_who_has_no_picture_is_in_no_contrast(all_, others):
    """Mentions without objects add nothing to L_f and L_c, whatever they say."""
    s = DWESettings(width=8, heads=2)
    net, names = Net(random_query(), s).double().eval(), ("regions", "whole")
    blind = others._replace(sets={k: Rows(own.vectors, own.there & (k not in names)) for k, own in others.sets.items()})
    longest = {k: max(all_.sets[k].there.shape[1], blind.sets[k].there.shape[1]) for k in WIDTHS}

    def wide(g: Given) -> Given:
        return g._replace(
            sets={
                k: Rows(
                    torch.nn.functional.pad(own.vectors, (0, 0, 0, longest[k] - own.there.shape[1])),
                    torch.nn.functional.pad(own.there, (0, longest[k] - own.there.shape[1])),
                )
                for k, own in g.sets.items()
            },
            alike=None,
        )

    a, b = wide(all_), wide(blind)
    sets = {k: Rows(*(torch.cat(pair) for pair in zip(a.sets[k], b.sets[k], strict=True))) for k in WIDTHS}
    both = Given(*(torch.cat(pair) for pair in zip(a[:3], b[:3], strict=True)), sets)
    assert_close(net.contrast(net.query(both), len(both.surface)), net.contrast(net.query(all_), len(all_.surface)))


@pytest.mark.parametrize("heads", [3, 7])
def test_heads_divide_the_width(heads: int) -> None:
    with pytest.raises(ConfigError, match=f"heads={heads}"):
        Query(DT, WIDTHS, DWESettings(width=8, heads=heads))
