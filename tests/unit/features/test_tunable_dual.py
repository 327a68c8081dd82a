"""A dual model and an image model with gradients: what they read, what moves, and that they are read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize
from transformers import BertTokenizer, SiglipConfig, SiglipModel
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from melink.errors import BadImage, ConfigError, Problems
from melink.features import sides
from melink.features.finetune import Blocks, TunableDual, TunableImage
from melink.features.huggingface import HFDual, HFImage, Pad
from melink.features.load import load_pair, spec_of
from melink.features.pixels import Resize

TEXTS = ["ann sings", "", "the red river of the north", "a"]
PICTURES = [Image.effect_noise((50, 40), 90).convert("RGB"), None, Image.new("RGB", (20, 30), "red")]


@pytest.fixture(scope="module")
def tiny_siglip(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("siglip")
    tokenizer = BertTokenizer.from_pretrained(tiny_bert, model_max_length=16)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    text = {**size, "vocab_size": len(tokenizer), "max_position_embeddings": 16}
    torch.manual_seed(3)
    SiglipModel(
        SiglipConfig(text_config=text, vision_config={**size, "image_size": 32, "patch_size": 8})
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def assert_reads_as_frozen(dual: TunableDual, frozen: HFDual) -> None:
    dual.eval()
    ids, pictures = dual.text.tokenize(TEXTS), dual.image.prepare(PICTURES)
    for side, given, features in (
        (dual.text, ids, frozen.text.encode(TEXTS, tokens=True)),
        (dual.image, pictures, frozen.image.encode(PICTURES, tokens=True)),
    ):
        with torch.no_grad():
            pooled, tokens, mask = side.both(given)
            assert torch.equal(pooled, side(given))
        np.testing.assert_allclose(pooled.numpy(), features.vectors, atol=1e-5)
        np.testing.assert_allclose(tokens.numpy(), features.tokens, atol=1e-5)
        assert features.mask is not None and (mask.numpy() == features.mask).all()
        assert (side.dim, side.token_dim) == (pooled.shape[1], tokens.shape[2])


@pytest.mark.parametrize(
    ("most", "pad", "resize"), [(None, "mask", "own"), (12, "keep", "own"), (12, "mask", "squash")]
)
def test_it_reads_as_the_frozen_encoder_does(
    tiny_clip: Path, most: int | None, pad: Pad, resize: Resize, monkeypatch: pytest.MonkeyPatch
) -> None:
    dual = TunableDual(str(tiny_clip), 1, most, pad, resize)
    frozen = HFDual(str(tiny_clip), max_tokens=most, pad=pad, resize=resize)
    assert_reads_as_frozen(dual, frozen)
    monkeypatch.setattr(sides, "CPU_PIECE", 20)  # texts and pictures go through one by one
    assert_reads_as_frozen(dual, frozen)


def test_siglip_too(tiny_siglip: Path) -> None:
    assert_reads_as_frozen(TunableDual(str(tiny_siglip), 1), HFDual(str(tiny_siglip)))
    assert_reads_as_frozen(TunableDual(str(tiny_siglip), 1, pad="keep"), HFDual(str(tiny_siglip), pad="keep"))


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_siglip"])
@pytest.mark.parametrize("blocks", [0, 1, "all"])
def test_which_weights_are_trained(name: str, blocks: Blocks, request: pytest.FixtureRequest) -> None:
    """Each side's last blocks; or everything that a feature depends on, each of which receives a gradient."""
    folder = request.getfixturevalue(name)
    dual = TunableDual(str(folder), blocks)
    trained = {name for name, parameter in dual.named_parameters() if parameter.requires_grad}
    assert not any("logit" in name for name in trained)
    last = "layers.1" if name == "tiny_clip" else "layers.0"
    if blocks == 1:
        assert all(last in name for name in trained)
        assert {name.split(".")[1] for name in trained} == {"text_model", "vision_model"}
    if blocks == "all":
        assert trained == {name for name, _ in dual.named_parameters() if "logit" not in name}
    if blocks == 0:
        assert not trained
        return
    texts, pictures = dual.text.both(dual.text.tokenize(TEXTS)), dual.image.both(dual.image.prepare(PICTURES))
    loss = sum((torch.randn_like(each) * each).sum() for pair in (texts, pictures) for each in pair[:2])
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    assert {name for name, parameter in dual.named_parameters() if parameter.grad is not None} == trained


def test_nothing_to_see_or_read_still_takes_part_in_a_step(tiny_clip: Path) -> None:
    dual = TunableDual(str(tiny_clip), "all")
    pictures = dual.image.prepare([None, None])
    assert pictures.pixels.shape == (0, 3, 32, 32)
    seen, patches, there = dual.image.both(pictures)
    read, _, _ = dual.text.both([[]])
    assert seen.shape == (2, 24) and patches.shape == (2, 17, 48) and not there.any() and not patches.any()
    (seen.sum() + dual.image(pictures).sum() + read.sum()).backward()
    trained = [p for p in dual.parameters() if p.requires_grad]
    assert all(p.grad is not None and not p.grad.any() for p in trained)


def test_the_model_is_held_once(tiny_clip: Path) -> None:
    dual = TunableDual(str(tiny_clip), "all")
    assert all(name.startswith("model.") for name in dual.state_dict())
    dual.double()
    assert dual.text(dual.text.tokenize(["a"])).shape == (1, 24)
    assert dual.text.model is dual.image.model is dual.model


def test_saved_and_read_back(tiny_clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dual = TunableDual(str(tiny_clip), "all", 12, "keep", "squash")
    before = load_pair(spec_of(str(tiny_clip), dual.options))
    torch.manual_seed(0)
    ids, pictures = dual.text.tokenize(TEXTS), dual.image.prepare(PICTURES)
    optimizer = torch.optim.SGD([p for p in dual.parameters() if p.requires_grad], lr=0.1)
    (dual.text(ids)[0] @ dual.image(pictures)[0]).backward()
    optimizer.step()
    dual.save(tmp_path / "encoder")
    assert capfd.readouterr() == ("", "")
    text, image = load_pair(spec_of(str(tmp_path / "encoder"), dual.options))
    with torch.no_grad():
        np.testing.assert_allclose(dual.text(ids).numpy(), text.encode(TEXTS).vectors, atol=1e-5)
        np.testing.assert_allclose(dual.image(pictures).numpy(), image.encode(PICTURES).vectors, atol=1e-5)
    assert text.fingerprint != before[0].fingerprint and image.fingerprint != before[1].fingerprint
    assert text.space == image.space
    assert not [path for path in (tmp_path / "encoder").iterdir() if path.suffix in (".bin", ".pt", ".pkl")]
    assert_reads_as_frozen(
        TunableDual(str(tmp_path / "encoder"), 1), HFDual(str(tmp_path / "encoder"))
    )  # and trained on
    assert load_pair(str(tmp_path / "encoder"))[0].sizes(["a" * 99]) == [12]  # the limit is in the folder


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_an_image_model(tiny_vit: Path, tmp_path: Path, pooling: str) -> None:
    image = TunableImage(str(tiny_vit), "all", pooling).eval()
    pictures = image.prepare(PICTURES)
    features = HFImage(str(tiny_vit), pooling).encode(PICTURES, tokens=True)
    pooled, patches, mask = image.both(pictures)
    np.testing.assert_allclose(pooled.detach().numpy(), features.vectors, atol=1e-5)
    np.testing.assert_allclose(patches.detach().numpy(), features.tokens, atol=1e-5)
    assert features.mask is not None and (mask.numpy() == features.mask).all() and image.dim == image.token_dim == 32
    (pooled * torch.randn_like(pooled)).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in image.parameters())
    with torch.no_grad():
        image.model.embeddings.cls_token += 0.5
    image.save(tmp_path / "encoder")
    again = HFImage(str(tmp_path / "encoder"), pooling)
    with torch.no_grad():
        np.testing.assert_allclose(image(pictures).numpy(), again.encode(PICTURES).vectors, atol=1e-5)
    assert again.fingerprint != HFImage(str(tiny_vit), pooling).fingerprint


def test_gradients_equal_those_of_a_plain_call(tiny_clip: Path) -> None:
    dual = TunableDual(str(tiny_clip), 1).eval()
    pictures = dual.image.prepare(PICTURES)
    torch.manual_seed(0)
    by_whole, by_patch = torch.randn(2, 24), torch.randn(2, 17, 48)
    pooled, patches, mask = dual.image.both(pictures)
    ((pooled[pictures.seen] * by_whole).sum() + (patches[mask].view(2, 17, 48) * by_patch).sum()).backward()
    found = {name: p.grad.clone() for name, p in dual.named_parameters() if p.grad is not None}
    dual.zero_grad()
    out = dual.model.get_image_features(pictures.pixels)
    ((normalize(out.pooler_output, dim=-1) * by_whole).sum() + (out.last_hidden_state * by_patch).sum()).backward()
    assert found
    for name, parameter in dual.named_parameters():
        if name in found:
            torch.testing.assert_close(found[name], parameter.grad, atol=1e-4, rtol=1e-4)


def test_pictures_that_cannot_be_decoded(tiny_vit: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (20, 30), "red").save(good)
    bad.write_bytes(good.read_bytes()[:40])
    image, problems = TunableImage(str(tiny_vit), 1), Problems()
    for _ in range(2):
        pictures = image.prepare([bad, good, str(good)], problems)
        assert pictures.seen.tolist() == [False, True, True] and len(pictures.pixels) == 2
    assert sum(problems.counts.values()) == 1  # told once
    with pytest.raises(BadImage):
        image.prepare([bad])


def test_wrong_choices(tiny_clip: Path) -> None:
    with pytest.raises(ConfigError, match="choose mask or keep"):
        TunableDual(str(tiny_clip), 1, pad="cut")
    with pytest.raises(ConfigError, match="has 2 blocks, not 3"):
        TunableDual(str(tiny_clip), 3)
