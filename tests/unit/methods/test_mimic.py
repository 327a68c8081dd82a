"""MIMIC as a method: through cached features and through the encoders, over whatever mentions and entities are like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from melink.errors import ConfigError, Problems
from melink.features.load import load_image, load_pair, load_text
from melink.features.store import FeatureStore
from melink.kb.store import KnowledgeBase
from melink.linker import assemble
from melink.methods.base import Context, total
from melink.methods.mimic import Mimic
from melink.methods.reading import QUIRKS
from melink.methods.trainable import Batch
from melink.ranking.rank import rank
from melink.records import Entity, Mention
from melink.runs import Run

SUBJECTS = ("singer of folk songs", "harbour of a northern town", "red brick tower", "river through the plain")
SMALL = {"width": 16, "tokens": 24, "sharpness": None}
Pair = Callable[[str], Context]


def drawn(folder: Path, name: str, seed: int) -> str:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((64, 64), Image.Resampling.BILINEAR).save(folder / name)
    return str(folder / name)


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    """Six entities: every second with a picture, one with nothing but a label."""
    folder = tmp_path_factory.mktemp("six")
    kb = KnowledgeBase.create(folder / "kb")
    kb.upsert(
        Entity(
            f"E{n}",
            f"Ann {n}",
            description=SUBJECTS[n % 4] if n < 5 else "",
            images=(drawn(folder, f"{n}.png", n),) if n % 2 else (),
        )
        for n in range(6)
    )
    return kb


@pytest.fixture(scope="module")
def pair(kb: KnowledgeBase, small_clip: Path, small_bert: Path) -> Pair:
    """Encoders over the knowledge base: ``dual``, ``quirks`` (as published code pads and squashes), or a pair."""
    known = {
        "dual": f"{small_clip}?max_tokens=30",
        "quirks": f"{small_clip}?{QUIRKS}",
        "bert+classical": f"{small_bert}+classical",
    }
    return cache(lambda name: Context(kb, FeatureStore(kb.features_dir), *load_pair(known[name])))


@pytest.fixture(scope="module")
def mentions(tmp_path_factory: pytest.TempPathFactory) -> list[Mention]:
    """Six mentions of the six entities, every third without a picture."""
    folder = tmp_path_factory.mktemp("asked")
    return [
        Mention(
            str(n),
            f"Ann {n} and the {SUBJECTS[n % 4]}" + " again" * n,
            f"Ann {n}",
            image=drawn(folder, f"{n}.png", n + 1) if n % 3 else None,
        )
        for n in range(6)
    ]


def built(context: Context, **settings: Any) -> Mimic:
    torch.manual_seed(1)
    method = Mimic.build(context, {**SMALL, **settings})
    method.start_training()
    return method


def batch(n: int = 6) -> Batch:
    return Batch(np.arange(n), np.arange(6), np.arange(n), np.ones((n, 6), dtype=bool))


def inside(method: Mimic, mentions: Sequence[Mention]) -> np.ndarray:
    """Return what the module that is trained says."""
    prepared = method.prepare(mentions, method.context.kb.view())
    with torch.no_grad():
        return method.module(method.collate(prepared, batch(len(mentions)))).scores.cpu().numpy()


def parts(method: Any, mentions: Sequence[Mention], where: np.ndarray | None = None) -> dict[str, np.ndarray]:
    return method.score(method.mentions(mentions), method.entities(method.context.kb.view()), where)


def scores(method: Any, mentions: Sequence[Mention]) -> np.ndarray:
    return total(parts(method, mentions))


def step(method: Mimic, mentions: Sequence[Mention]) -> None:
    """Train one step; gradients stay."""
    prepared = method.prepare(mentions, method.context.kb.view())
    mover = torch.optim.AdamW(method.groups(1e-3, 1e-2))
    method.module.train()
    found = method.module(method.collate(prepared, batch(len(mentions))))
    found.loss.backward()
    mover.step()
    method.module.eval()


def read_back(method: Mimic, folder: Path, **named: Any) -> Any:
    run = Run(method="mimic", settings=method.settings(), **{**named, **method.save(folder)})
    return assemble(run.model_copy(update={"folder": folder}), method.context.kb).method


def largest(parameters: Any) -> float:
    return max((float(p.grad.abs().max()) for p in parameters if p.grad is not None), default=0.0)


@pytest.mark.parametrize("name", ["dual", "quirks", "bert+classical"])
def test_features_that_are_kept_are_those_of_encoders_that_are_trained(
    name: str, pair: Pair, mentions: list[Mention]
) -> None:
    quirks = name == "quirks"
    frozen, tuned = (built(pair(name), tune=tune, reference_quirks=quirks) for tune in (0, 1))
    tuned.module.load_state_dict(frozen.module.state_dict(), strict=False)
    frozen.module.eval(), tuned.module.eval()
    expected = inside(frozen, mentions)
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(inside(tuned, mentions), expected, atol=5e-3)  # features are kept in 16 bits
    np.testing.assert_allclose(scores(frozen, mentions), expected, atol=5e-3)  # and so are entities
    bare = [replace(mention, image=None) for mention in mentions]
    np.testing.assert_allclose(inside(tuned, bare), inside(frozen, bare), atol=5e-3)


def test_both_towers_of_a_dual_model_learn(pair: Pair, mentions: list[Mention], tmp_path: Path) -> None:
    method = built(pair("dual"), tune="all")
    before = inside(method, mentions)
    step(method, mentions)
    model = method.module.encoders.dual.model
    for tower in (model.text_model, model.vision_model, model.text_projection, model.visual_projection):
        assert largest(tower.parameters()) > 0
    after = inside(method, mentions)
    assert np.abs(after - before).max() > 0.05
    again = read_back(method, tmp_path)
    np.testing.assert_allclose(scores(again, mentions), after, atol=5e-3)
    assert (tmp_path / "encoder" / "model.safetensors").is_file()
    assert again.context.text.fingerprint != method.context.text.fingerprint


def test_a_text_encoder_learns_beside_frozen_pictures(pair: Pair, mentions: list[Mention], tmp_path: Path) -> None:
    method = built(pair("bert+classical"), tune=1, names=True)
    step(method, mentions)
    layers = method.module.encoders.text_model.model.encoder.layer
    assert largest(layers[-1].parameters()) > 0 and largest(layers[0].parameters()) == 0
    assert largest(method.module.matcher.image_patch.parameters()) > 0 and largest([method.module.names.raw]) > 0
    again = read_back(method, tmp_path, image_encoder="classical")
    np.testing.assert_allclose(scores(again, mentions), inside(method, mentions), atol=5e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder", "model.safetensors"]


def test_names_are_a_part_of_their_own(pair: Pair, mentions: list[Mention]) -> None:
    context = pair("bert+classical")
    plain, named = built(context), built(context, names=True)
    named.module.load_state_dict(plain.module.state_dict(), strict=False)
    without, found = parts(plain, mentions), parts(named, mentions)
    assert "name" not in without and (found["name"].argmax(1) == np.arange(6)).all()
    for name, part in without.items():
        np.testing.assert_array_equal(part, found[name])
    entity = context.kb.view().entity(2)
    assert plain.explain(mentions[2], entity) == {} and named.explain(mentions[2], entity) != {}


def test_what_a_missing_picture_counts(pair: Pair, mentions: list[Mention]) -> None:
    context = pair("dual")
    average, neutral = (built(context, absent=absent) for absent in ("average", "neutral"))
    neutral.module.load_state_dict(average.module.state_dict())
    torch.nn.init.constant_(neutral.module.matcher.neutral, 0.5)
    one, other = parts(average, mentions), parts(neutral, mentions)
    both = np.array([[m % 3 > 0 and e % 2 == 1 for e in range(6)] for m in range(6)])
    for found in (one, other):
        assert (np.isfinite(found["image"]) == both).all() and (np.isfinite(found["cross"]) == both).all()
    np.testing.assert_allclose(one["text"], np.where(both, 1, 3) * other["text"], atol=2e-4)
    np.testing.assert_allclose(one["image"][both], other["image"][both] + 0.5 / 3, atol=2e-4)


def test_pictures_that_cannot_be_read_are_said_once_and_masked(
    pair: Pair, mentions: list[Mention], tmp_path: Path
) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    torn, lost = str(tmp_path / "torn.png"), str(tmp_path / "lost.png")
    odd = [replace(mentions[1], image=torn), replace(mentions[2], image=lost), replace(mentions[4], image=torn)]
    for tune in (0, 1):
        context = replace(pair("dual"), problems=Problems())
        method = built(context, tune=tune)
        method.module.eval()
        bare = [replace(mention, image=None) for mention in odd]
        for _ in range(2):
            np.testing.assert_array_equal(inside(method, odd), inside(method, bare))
        if not tune:
            np.testing.assert_array_equal(parts(method, odd)["text"], parts(method, bare)["text"])
        assert sorted(Path(found.file).name for found in context.problems.first) == ["lost.png", "torn.png"]


def test_texts_of_any_length(pair: Pair, mentions: list[Mention]) -> None:
    method = built(pair("bert+classical"), names=True)
    odd = [
        Mention("long", "word " * 10_000, "word"),
        Mention("blank", "somebody came", ""),
        Mention("empty", "", ""),
        *mentions[1:3],
    ]
    together = scores(method, odd)
    assert np.isfinite(together).all()
    for place, mention in enumerate(odd):
        np.testing.assert_allclose(scores(method, [mention])[0], together[place], atol=2e-4)
    found = rank(method, method.context.kb, odd, 6)
    assert [sorted(rows) for rows in found.rows.tolist()] == [list(range(6))] * 5


def test_without_an_image_encoder(pair: Pair, mentions: list[Mention], tmp_path: Path, small_bert: Path) -> None:
    method = built(replace(pair("bert+classical"), image=None), tune=1)
    step(method, mentions)
    assert set(parts(method, mentions)) == {"text"}
    again = read_back(method, tmp_path, image_encoder=None)
    assert again.context.image is None
    np.testing.assert_allclose(scores(again, mentions), inside(method, mentions), atol=5e-3)
    found = rank(again, again.context.kb, mentions, 6)
    np.testing.assert_allclose(found.scores, -np.sort(-scores(again, mentions), axis=1), atol=2e-4)


@pytest.mark.parametrize("absent", ["average", "neutral"])
def test_pairs_that_were_asked_for_are_scored_as_all_are(absent: str, pair: Pair, mentions: list[Mention]) -> None:
    method = built(pair("dual"), absent=absent)
    where = np.random.default_rng(3).random((6, 6)) < 0.4
    where[0] = False
    some, whole = parts(method, mentions, where), parts(method, mentions)
    assert some.keys() == whole.keys()
    for name, part in whole.items():
        np.testing.assert_allclose(some[name][where], part[where], atol=2e-4)
    assert np.abs((some["text"] - whole["text"])[~where]).max() > 1e-3  # left out, not hidden


def test_features_that_cannot_be_written(pair: Pair, mentions: list[Mention], monkeypatch: pytest.MonkeyPatch) -> None:
    context = pair("dual")
    method = built(context)
    method.warm(context.kb.view())
    expected, before = scores(method, mentions[:3]), context.store.content_hash()
    monkeypatch.setattr("melink.features.store.writable", lambda folder: folder != context.store.root)
    other = [replace(mention, text=f"{mention.text}, they say") for mention in mentions[:3]]
    assert np.isfinite(scores(method, other)).all()
    np.testing.assert_array_equal(scores(method, mentions[:3]), expected)
    assert context.store.content_hash() == before


@pytest.mark.parametrize("name", ["dual", "bert+classical"])
@pytest.mark.parametrize("tune", [0, 1])
def test_a_process_without_a_share(name: str, tune: int, pair: Pair, mentions: list[Mention]) -> None:
    """Two processes, one mention: the loss of both together is that of one alone."""
    method = built(pair(name), tune=tune)
    prepared = method.prepare(mentions[1:2], method.context.kb.view())
    alone = method.module(method.collate(prepared, batch(1)))
    shares = [method.module(method.collate(prepared, batch(1), rank, 2)) for rank in range(2)]
    assert shares[1].scores.shape == (0, 6)
    torch.testing.assert_close(sum(share.loss for share in shares) / 2, alone.loss)
    shares[1].loss.backward()


def test_errors_say_what_to_do(kb: KnowledgeBase, pair: Pair, small_clip: Path, small_bert: Path) -> None:
    store, keeping = FeatureStore(kb.features_dir), f"{small_clip}?{QUIRKS}"
    with pytest.raises(ConfigError, match="pad=keep"):
        Mimic.build(pair("dual"), {"reference_quirks": True})
    with pytest.raises(ConfigError, match="no empty picture"):
        Mimic.build(Context(kb, store, load_text(keeping), load_image("classical")), {"reference_quirks": True})
    with pytest.raises(ConfigError, match="--text-encoder"):
        Mimic.build(Context(kb, store, None, load_image("classical")), {})
    for image in (None, load_image("classical")):
        with pytest.raises(ConfigError, match="half of a dual model"):
            built(Context(kb, store, load_text(str(small_clip)), image), tune=1)
    with pytest.raises(ConfigError, match=r"2 blocks, not 7"):
        built(pair("bert+classical"), tune=7)


def test_half_of_a_dual_model_is_not_tuned_but_read(
    kb: KnowledgeBase, mentions: list[Mention], small_clip: Path, small_bert: Path, tmp_path: Path
) -> None:
    store, image = FeatureStore(kb.features_dir), str(small_clip)
    method = built(Context(kb, store, load_text(str(small_bert)), load_image(image)), tune=1)
    step(method, mentions)
    again = read_back(method, tmp_path, image_encoder=image)
    np.testing.assert_allclose(scores(again, mentions), inside(method, mentions), atol=5e-3)
