from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from melink.config import parse
from melink.errors import ConfigError, InputError, NotFound
from melink.methods.matcher import Seen
from melink.methods.neighbours import FILE, Bank, Neighbours, read_bank, write_bank
from melink.methods.optimise import Optimised, Optimiser, OptimiseSettings

DT, DTT, D, L, P = 7, 5, 6, 4, 3


def optimiser(**settings: Any) -> Optimiser:
    torch.manual_seed(0)
    return Optimiser(DT, DTT, D, L, P, OptimiseSettings(**settings)).double().eval()


class Sides:
    """Inputs of some mentions; the second has no picture."""

    def __init__(self, n: int = 5, seed: int = 1) -> None:
        made = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=made, dtype=torch.float64)

        self.text = torch.nn.functional.normalize(draw(n, DT) + 1, dim=1)
        self.tokens = draw(n, L, DTT)
        self.mask = torch.arange(L)[None] < torch.tensor([L, 2, 1, 3, 4] * n)[:n, None]
        self.seen = Seen(draw(n, D), draw(n, P, D), torch.tensor([True, False, True, True, True] * n)[:n])
        self.keys = torch.arange(n) + 1000 * seed

    def only(self, rows: list[int]) -> Sides:
        some = Sides(1)
        some.text, some.tokens, some.mask, some.keys = (
            each[rows] for each in (self.text, self.tokens, self.mask, self.keys)
        )
        some.seen = Seen(*(each[rows] for each in self.seen))
        return some

    def through(self, module: Optimiser, bank: Bank | None = None) -> Optimised:
        return module(self.text, self.tokens, self.mask, self.seen, bank, self.keys)  # type: ignore[no-any-return]

    def bank(self, module: Optimiser) -> Bank:
        rows = self.seen.seen
        assert module.neighbours is not None
        return module.neighbours.bank(self.text[rows], self.keys[rows], self.seen.whole[rows], self.seen.patches[rows])


def assert_same(first: Optimised, second: Optimised, places: float = 1e-12) -> None:
    for name in ("whole", "patches", "seen", "weights", "weights_local"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), atol=places, rtol=0, msg=name)


def test_settings_are_checked() -> None:
    assert parse(OptimiseSettings, {}) == OptimiseSettings()
    for wrong in ({"tau": 1.0}, {"layers": 0}, {"similarity": "other"}, {"train_graph": "all"}, {"none": 1}):
        with pytest.raises(ConfigError):
            parse(OptimiseSettings, wrong)


def test_weights_add_up_over_what_exists() -> None:
    found = Sides().through(optimiser(tau=0.01))
    for weights in (found.weights, found.weights_local):
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
        assert (weights[1, ..., 0] == 0).all() and (weights[1, ..., 1:] > 0).all()
        assert (weights[[0, 2, 3, 4]] > 0).all()
    assert found.seen.all()


@pytest.mark.parametrize("bank", [True, False])
def test_what_masks_exclude_may_be_anything(bank: bool) -> None:
    module, sides, others = optimiser().train(), Sides(), Sides(9, seed=2)
    kept = others.bank(module) if bank else None
    torch.manual_seed(5)
    before = sides.through(module, kept)
    sides.tokens = torch.where(sides.mask[..., None], sides.tokens, torch.nan)
    whole, patches = sides.seen.whole.clone(), sides.seen.patches.clone()
    whole[1], patches[1] = torch.nan, torch.inf
    sides.seen = Seen(whole, patches, sides.seen.seen)
    torch.manual_seed(5)
    after = sides.through(module, kept)
    assert_same(before, after, 0)
    assert before.loss == after.loss
    after.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def test_padding_changes_nothing() -> None:
    module, sides = optimiser(), Sides().only([1, 2])
    before = sides.through(module)
    sides.tokens, sides.mask = sides.tokens[:, :2], sides.mask[:, :2]
    assert_same(before, sides.through(module))
    sides.tokens = torch.cat([sides.tokens, torch.ones(2, 9, DTT, dtype=torch.float64)], 1)
    sides.mask = torch.cat([sides.mask, torch.zeros(2, 9, dtype=torch.bool)], 1)
    assert_same(before, sides.through(module))
    assert sides.through(module).loss == before.loss


@pytest.mark.parametrize("normalise", ["row", "sym", "none"])
@pytest.mark.parametrize("similarity", ["kernel", "dot", "cosine", "euclidean"])
def test_with_a_bank_a_mention_depends_on_itself_alone(similarity: str, normalise: str) -> None:
    module, sides = optimiser(similarity=similarity, normalise=normalise, tau=0.2, neighbours=3), Sides(11)
    bank = Sides(9, seed=2).bank(module)
    found = sides.through(module, bank)
    assert (found.weights[:, 2] > 0).any()
    for row in range(11):
        alone = sides.only([row]).through(module, bank)
        assert_same(alone, Optimised(*(each[[row]] for each in found[:-1]), found.loss))
    order = [3, 1, 4, 0, 2]
    assert_same(sides.only(order).through(module, bank), Optimised(*(each[order] for each in found[:-1]), found.loss))


def test_a_mention_of_the_bank_does_not_hear_from_itself() -> None:
    module, sides = optimiser(threshold=False, neighbours=4), Sides(5)
    bank = sides.bank(module)
    graph = module.neighbours
    assert graph is not None
    heard = graph.heard(sides.text, bank, sides.keys)
    assert heard.places.shape == (5, 4)
    for row, known in enumerate([0, None, 1, 2, 3]):
        weight = heard.weights[row][heard.places[row] == known] if known is not None else torch.zeros(1)
        assert (weight == 0).all()
    assert (heard.weights > 0).sum(1).tolist() == [3, 4, 3, 3, 3]
    strangers = graph.heard(sides.text, bank, sides.keys + 77)
    assert (strangers.weights > 0).all()
    torch.testing.assert_close(strangers.weights[0].max(), torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("normalise", ["row", "sym", "none"])
def test_a_bank_of_all_is_the_graph_of_the_batch(normalise: str) -> None:
    """Up to 16 bits: where the bank holds every other mention of the batch, both graphs are one."""
    module, sides = optimiser(normalise=normalise, tau=0.1, layers=3), Sides(40)
    sides.seen = sides.seen._replace(seen=torch.ones(40, dtype=torch.bool))
    module.neighbours.most = 40  # type: ignore[union-attr]
    assert_same(sides.through(module), sides.through(module, sides.bank(module)), 5e-3)


def test_who_has_no_picture_sends_nothing() -> None:
    module, sides = optimiser(threshold=False), Sides()
    before = sides.through(module)
    sides.text[1] = sides.text[0] * 0.9 + sides.text[1] * 0.1
    after = sides.through(module)
    rows = [0, 2, 3, 4]
    assert_same(*(Optimised(*(each[rows] for each in found[:-1]), found.loss) for found in (before, after)))
    assert not torch.equal(before.whole[1], after.whole[1])


def test_neighbours_exist_where_somebody_is_heard() -> None:
    sides = Sides()
    found = sides.through(optimiser(inter=False, tau=0.999))
    assert found.seen.tolist() == [True, False, True, True, True]
    assert (found.weights[1] == 0).all() and (found.whole[1] == 0).all() and (found.patches[1] == 0).all()
    assert (found.weights[0, [0, 2]] > 0).all()  # its own picture goes through the network
    assert sides.through(optimiser(inter=False, threshold=False)).seen.all()
    module = optimiser()
    nobody = Sides(4).only([1]).bank(module)
    assert len(nobody.text) == 0
    empty = sides.through(module, nobody)
    assert (empty.weights[:, 2] == 0).all() and empty.seen.all()
    torch.testing.assert_close(empty.weights.sum(1), torch.ones(5, dtype=torch.float64))


def test_nothing_switched_on_leaves_pictures_as_they_are() -> None:
    sides = Sides()
    found = sides.through(optimiser(inter=False, intra=False))
    there = sides.seen.seen
    torch.testing.assert_close(found.whole[there], sides.seen.whole[there])
    torch.testing.assert_close(found.patches[there], sides.seen.patches[there])
    assert found.seen.equal(there) and found.loss == 0


def test_switched_off_branches_have_no_tensors() -> None:
    def named(**settings: Any) -> set[str]:
        return {name.split(".")[0] for name in optimiser(**settings).state_dict()} - {"taught"}

    assert named() == {"generate", "generate_local", "neighbours", "fuse", "fuse_local"}
    assert named(inter=False) == {"neighbours", "fuse", "fuse_local"}
    assert named(intra=False) == {"generate", "generate_local", "fuse", "fuse_local"}
    assert "neighbours.threshold" not in optimiser(threshold=False).state_dict()
    assert not any("generated" in name for name in optimiser(inter=False).state_dict())


def test_the_loss_is_of_mentions_with_pictures() -> None:
    module, sides = optimiser(), Sides()
    alone = sum(float(sides.only([row]).through(module).loss.detach()) for row in (0, 2, 3, 4)) / 4
    assert float(sides.through(module).loss.detach()) == pytest.approx(alone)
    none = sides.only([1]).through(module).loss
    assert none == 0 and none.isfinite()


def test_without_any_picture_there_are_no_patches_to_read() -> None:
    module, sides = optimiser(), Sides().only([1, 1])
    before = sides.through(module)
    sides.seen = sides.seen._replace(patches=sides.seen.patches[:, :0])
    assert_same(before, sides.through(module))


def test_targets_are_held_fixed_unless_asked() -> None:
    for detach in (True, False):
        module, sides = optimiser(detach=detach), Sides()
        whole = sides.seen.whole.requires_grad_()
        loss = sides.through(module).loss
        (slope,) = torch.autograd.grad(loss, whole, allow_unused=True)
        assert (slope is None) == detach


def test_generation_is_drawn_in_training_only() -> None:
    module, sides = optimiser(), Sides()
    assert_same(sides.through(module), sides.through(module), 0)
    module.train()
    assert not torch.equal(sides.through(module).whole, sides.through(module).whole)


@pytest.mark.parametrize("bank", [True, False])
def test_the_threshold_learns(bank: bool) -> None:
    module, sides = optimiser(tau=0.4), Sides(8)
    found = sides.through(module, Sides(9, seed=2).bank(module) if bank else None)
    found.whole.square().sum().backward()
    assert module.neighbours is not None and module.neighbours.threshold is not None
    slope = module.neighbours.threshold.grad
    assert slope is not None and slope.isfinite() and slope != 0


def test_gradients_are_right() -> None:
    module, sides = optimiser(threshold=False, rho=1.0), Sides()
    bank = Sides(6, seed=2).bank(module)

    def run(text: Tensor, tokens: Tensor, whole: Tensor, patches: Tensor) -> tuple[Tensor, ...]:
        found = module(text, tokens, sides.mask, Seen(whole, patches, sides.seen.seen), bank)
        return found.whole, found.patches, found.loss

    module.settings = OptimiseSettings(detach=False, threshold=False)
    inputs = [each.requires_grad_() for each in (sides.text, sides.tokens, sides.seen.whole, sides.seen.patches)]
    assert torch.autograd.gradcheck(run, inputs)


def test_one_weight_for_all_patches() -> None:
    found = Sides().through(optimiser(local_weights="mention"))
    assert (found.weights_local == found.weights_local[:, :1]).all()
    by_token = Sides().through(optimiser()).weights_local
    assert not (by_token == by_token[:, :1]).all()


def test_a_bank_is_read_as_it_was_written(tmp_path: Path) -> None:
    module, sides = optimiser(), Sides()
    bank = Sides(9, seed=2).bank(module)
    assert bank.whole.shape == (2, 7, D) and bank.patches.shape == (2, 7, P, D) and bank.patches.dtype == torch.float16
    write_bank(bank, tmp_path)
    again = read_bank(tmp_path)
    assert all(a.equal(b) for a, b in zip(bank, again, strict=True))
    assert_same(sides.through(module, bank), sides.through(module, again), 0)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-9])
    with pytest.raises(InputError, match="train again"):
        read_bank(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(NotFound, match="--resume"):
        read_bank(tmp_path)


def test_blocks_of_a_bank_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    module, sides = optimiser(), Sides(30)
    whole = sides.bank(module)
    monkeypatch.setattr("melink.methods.neighbours.BLOCK", 7)
    for one, other in zip(whole, sides.bank(module), strict=True):
        torch.testing.assert_close(one, other)


def test_of_equally_alike_mentions_the_first_are_heard() -> None:
    graph = Neighbours(D, tau=None, most=2).double()
    text = torch.ones(6, DT, dtype=torch.float64)
    bank = graph.bank(text, torch.arange(6), torch.zeros(6, D), torch.zeros(6, P, D))
    assert graph.heard(text[:1], bank, None).places.tolist() == [[0, 1]]
    assert graph.heard(text[:1], bank, torch.tensor([0])).places.tolist() == [[1, 2]]


def test_a_generator_that_saw_no_picture_is_left_out() -> None:
    sides = Sides()
    whole = optimiser(intra=False)
    whole.taught.fill_(False)
    found = sides.through(whole)
    there = sides.seen.seen
    torch.testing.assert_close(found.whole[there], sides.seen.whole[there])
    assert found.seen.equal(there) and (found.weights[:, 1] == 0).all()
