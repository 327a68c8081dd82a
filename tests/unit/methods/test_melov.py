"""MELOV as a method: trained a few steps over real encoders, saved, read back, asked in any batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from melink.errors import ConfigError, NotFound
from melink.features.load import load_image, load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.linker import assemble
from melink.methods.base import Context, total
from melink.methods.melov import Melov, MelovNet
from melink.methods.neighbours import FILE
from melink.methods.trainable import Batch
from melink.records import Entity, Mention
from melink.runs import Run

SUBJECTS = ("singer of folk songs", "harbour of a northern town", "red brick tower", "river through the plain")
ABLATIONS: dict[str, dict[str, Any]] = {
    "full": {},
    "without inter": {"inter": False},
    "without intra": {"intra": False},
    "without threshold": {"threshold": False},
    "dot": {"similarity": "dot"},
    "cosine": {"similarity": "cosine"},
    "euclidean": {"similarity": "euclidean"},
    "filter": {"filter": 0.0},
    "bank while training": {"train_graph": "bank"},
}
SMALL = {"width": 16, "latent": 8, "tokens": 16}


@pytest.fixture
def context(make_kb: Callable[..., KnowledgeBase], picture: Callable[[str, int], str]) -> Context:
    kb = make_kb(
        *(
            Entity(f"E{n}", f"Ann {n}", description=SUBJECTS[n % 4], images=(picture(f"e{n}.png", n),) if n % 2 else ())
            for n in range(8)
        )
    )
    return Context(kb, FeatureStore(kb.features_dir), load_text("minilm"), load_image("classical"))


@pytest.fixture
def mentions(picture: Callable[[str, int], str]) -> list[Mention]:
    """Sixteen mentions, every third without a picture."""
    return [
        Mention(
            str(n),
            f"Ann {n % 8} and the {SUBJECTS[n % 4]}, number {n}",
            f"Ann {n % 8}",
            image=picture(f"m{n}.png", n % 8) if n % 3 else None,
        )
        for n in range(16)
    ]


def trained(context: Context, mentions: Sequence[Mention], **settings: Any) -> tuple[Melov, Any]:
    """Return the method after three steps, its bank refreshed, and what it was trained on."""
    torch.manual_seed(1)
    method = Melov.build(context, {**SMALL, **settings})
    assert isinstance(method, Melov)
    method.start_training()
    prepared = method.prepare(mentions, context.kb.view())
    mover = torch.optim.AdamW(method.groups(1e-4, 1e-2))
    method.refresh(prepared)
    for _ in range(3):
        method.module.train()
        mover.zero_grad()
        step = method.module(method.collate(prepared, whole(mentions)))
        step.loss.backward()
        assert step.loss.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in method.module.parameters())
        mover.step()
    method.refresh(prepared)
    method.module.eval()
    return method, prepared


def whole(mentions: Sequence[Mention]) -> Batch:
    n = len(mentions)
    return Batch(np.arange(n), np.arange(8), np.arange(n) % 8, np.ones((n, 8), dtype=bool))


def scores(method: Any, mentions: Sequence[Mention]) -> np.ndarray:
    return total(method.score(method.mentions(mentions), method.entities(method.context.kb.view())))


def read_back(method: Melov, folder: Path) -> Any:
    updates = method.save(folder)
    run = Run(method="melov", settings=method.settings(), **updates).model_copy(update={"folder": folder})
    return assemble(run, method.context.kb).method


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_mention_is_scored_alike_in_any_batch_and_for_ever(
    name: str, context: Context, mentions: list[Mention], tmp_path: Path
) -> None:
    method, prepared = trained(context, mentions, **ABLATIONS[name])
    together = scores(method, mentions)
    assert np.isfinite(together).all()
    inside = method.module(method.collate(prepared, whole(mentions))).scores.detach().numpy()
    np.testing.assert_allclose(together, inside, atol=2e-2)  # entities are kept in 16 bits
    for row in (0, 1, 5):
        np.testing.assert_allclose(scores(method, [mentions[row]])[0], together[row], atol=1.5e-4)
    np.testing.assert_allclose(scores(method, mentions[::-1]), together[::-1], atol=1.5e-4)
    again = read_back(method, tmp_path)
    np.testing.assert_array_equal(scores(again, mentions), together)
    assert (tmp_path / FILE).is_file() == (name != "without intra")


def test_evidence_says_what_a_picture_was_made_of(context: Context, mentions: list[Mention]) -> None:
    method, _ = trained(context, mentions, threshold=False)
    method.mentions(mentions)
    entity = context.kb.view().entity(1)
    seen, blind = (method.explain(mention, entity)["picture"] for mention in (mentions[1], mentions[0]))
    assert set(seen) == {"original", "generated", "neighbours"} and set(blind) == {"generated", "neighbours"}
    assert sum(seen.values()) == pytest.approx(1, abs=1e-3) and sum(blind.values()) == pytest.approx(1, abs=1e-3)
    stranger = Mention("x", "Ann 3 at the harbour", "Ann 3")
    assert method.explain(stranger, entity)["picture"] == method.explain(stranger, entity)["picture"]


def test_mentions_without_pictures_meet_the_pictures_of_entities(context: Context, mentions: list[Mention]) -> None:
    view = context.kb.view()
    for settings, there in (({}, True), ({"inter": False, "tau": 0.9999}, False), ({"filter": -1.0}, False)):
        method, _ = trained(context, mentions, **settings)
        parts = method.score(method.mentions([mentions[0], mentions[1]]), method.entities(view))
        assert np.isfinite(parts["image"][0, 1]) == there and np.isfinite(parts["image"][1, 1])
        assert np.isnan(parts["image"][:, 0]).all()  # the entity has none


def test_a_bank_holds_the_training_mentions_with_pictures(context: Context, mentions: list[Mention]) -> None:
    method, prepared = trained(context, mentions)
    bank = method.module.bank
    assert bank is not None and len(bank.text) == 10
    assert sorted(bank.keys.tolist()) == sorted(prepared.keys[[n for n in range(16) if n % 3]].tolist())
    assert len(set(prepared.keys.tolist())) == 16
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in method.module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    method.refresh(prepared)
    assert not torch.equal(method.module.bank.whole, bank.whole)


def test_a_saved_bank_is_that_of_the_saved_weights(context: Context, mentions: list[Mention], tmp_path: Path) -> None:
    """The best weights come back after the last refresh; what is written belongs to them."""
    method, _ = trained(context, mentions, tau=0.2)
    with torch.no_grad():
        for parameter in method.module.parameters():
            parameter.mul_(1.3)
    stale = scores(method, mentions)
    again = read_back(method, tmp_path)
    assert not np.array_equal(scores(again, mentions), stale)
    np.testing.assert_array_equal(scores(again, mentions), scores(method, mentions))


def test_an_unfinished_run_has_no_bank(context: Context, mentions: list[Mention], tmp_path: Path) -> None:
    method, _ = trained(context, mentions)
    method.save(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(NotFound, match="--resume"):
        Melov.build(Context(context.kb, context.store, context.text, context.image, tmp_path), method.settings())


def test_training_without_pictures_is_said_once(
    context: Context, mentions: list[Mention], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    bare = [Mention(m.id, m.text, m.surface) for m in mentions]
    with caplog.at_level(logging.WARNING):
        method, _ = trained(context, bare)
    assert [record.message for record in caplog.records if "no training mention has a picture" in record.message] != []
    assert sum("no training mention" in record.message for record in caplog.records) == 1
    assert method.explain(bare[0], context.kb.view().entity(1))["picture"] == {}  # nobody taught it to make one up
    before = scores(method, [bare[0], mentions[1]])
    np.testing.assert_array_equal(scores(read_back(method, tmp_path), [bare[0], mentions[1]]), before)


def test_a_filter_takes_pictures_away(context: Context, mentions: list[Mention]) -> None:
    method, _ = trained(context, mentions, filter=-1.0)
    assert isinstance(method.module, MelovNet)
    view = context.kb.view()
    parts = method.score(method.mentions(mentions), method.entities(view))["image"]
    assert np.isfinite(parts[:, 1]).tolist() == [n % 3 > 0 for n in range(16)]
    read = method.reader.read(method.reader.tables(method.read_mentions(mentions), [m.image for m in mentions]))
    alike = method.module.alike(read, method.module.matcher.project(read))[1::3].detach().numpy()
    cut = float(np.sort(alike)[2:4].mean())
    strict, _ = trained(context, mentions, filter=cut)
    strict.module.load_state_dict(method.module.state_dict())
    left = strict.score(strict.mentions(mentions[1::3]), strict.entities(view))["image"]
    assert np.isfinite(left[:, 1]).tolist() == (alike >= cut).tolist() and 0 < (alike >= cut).sum() < len(alike)
    assert strict.explain(mentions[1::3][int(alike.argmin())], view.entity(1))["picture"] == {}


def test_without_an_image_encoder_it_is_mimic(context: Context, mentions: list[Mention], tmp_path: Path) -> None:
    blind = Context(context.kb, context.store, context.text, None)
    method, prepared = trained(blind, mentions)
    assert method.module(method.collate(prepared, whole(mentions))).scores.shape == (16, 8)
    assert np.isfinite(scores(method, mentions)).all()
    assert method.explain(mentions[0], context.kb.view().entity(0)) == {}
    method.save(tmp_path)
    assert not (tmp_path / FILE).exists()


def test_there_is_nothing_published_to_imitate(context: Context) -> None:
    with pytest.raises(ConfigError, match="no published code"):
        Melov.build(context, {"reference_quirks": True})


def test_encoders_may_be_tuned_under_it(
    context: Context, mentions: list[Mention], small_bert: Path, tmp_path: Path
) -> None:
    store = FeatureStore(tmp_path / "features")
    tuned = Context(context.kb, store, load_text(str(small_bert)), context.image)
    method, prepared = trained(tuned, mentions, tune=1, threshold=False, train_graph="bank")
    assert method.module.bank is not None and len(method.module.bank.text) == 10
    inside = method.module(method.collate(prepared, whole(mentions))).scores.detach().numpy()
    again = read_back(method, tmp_path / "run")
    np.testing.assert_allclose(scores(again, mentions), inside, atol=2e-2)
