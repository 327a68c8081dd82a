"""Hugging Face encoders give what a plain call of the model gives, whatever the batch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertTokenizer,
    CLIPModel,
    ResNetConfig,
    ResNetModel,
    SiglipConfig,
    SiglipModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from melink.errors import ConfigError, InputError, NotFound
from melink.features.huggingface import HFDual, HFImage, HFText

TEXTS = ["georgia", "a much longer text about georgia", "b"]
PICTURES = [Image.effect_noise((50, 40), 90).convert("RGB"), Image.new("RGB", (20, 30), "red")]


def unit(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_text_equals_a_plain_call(tiny_bert: Path, pooling: str) -> None:
    model, tokenizer = AutoModel.from_pretrained(tiny_bert), AutoTokenizer.from_pretrained(tiny_bert)
    features = HFText(str(tiny_bert), pooling).encode(TEXTS, tokens=True)
    assert features.tokens is not None and features.mask is not None
    for n, text in enumerate(TEXTS):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        pooled = hidden.mean(1) if pooling == "mean" else hidden[:, 0]
        np.testing.assert_allclose(features.vectors[n], unit(pooled)[0], atol=1e-5)
        np.testing.assert_allclose(features.tokens[n][features.mask[n]], hidden[0].numpy(), atol=1e-5)
        assert not features.tokens[n][~features.mask[n]].any()


def test_clip_equals_a_plain_call(tiny_clip: Path) -> None:
    model, tokenizer = CLIPModel.from_pretrained(tiny_clip), AutoTokenizer.from_pretrained(tiny_clip)
    both = HFDual(str(tiny_clip))
    pixels = CLIPImageProcessorPil.from_pretrained(tiny_clip)(PICTURES, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        ids = tokenizer(TEXTS, padding=True, return_tensors="pt")
        out = model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], pixel_values=pixels)
        patches = model.vision_model(pixel_values=pixels).last_hidden_state
    text, image = both.text.encode(TEXTS), both.image.encode(PICTURES, tokens=True)
    np.testing.assert_allclose(text.vectors, out.text_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(image.vectors, out.image_embeds.numpy(), atol=1e-5)
    assert image.tokens is not None and image.mask is not None and image.mask.all()
    np.testing.assert_allclose(image.tokens, patches.numpy(), atol=1e-5)
    assert (both.text.dim, both.text.token_dim, both.image.dim, both.image.token_dim) == (24, 32, 24, 48)
    assert both.text.space == both.image.space and both.text.fingerprint != both.image.fingerprint
    assert both.text.max_tokens == 77 and both.text.sizes(["a" * 500]) == [77]


def test_padding_kept_as_published_code_kept_it(tiny_clip: Path) -> None:
    model, tokenizer = CLIPModel.from_pretrained(tiny_clip), AutoTokenizer.from_pretrained(tiny_clip)
    kept = HFDual(str(tiny_clip), max_tokens=12, pad="keep").text.encode([*TEXTS, None, " "], tokens=True)
    inputs = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=12, return_tensors="pt")
    with torch.no_grad():
        out = model.get_text_features(**inputs)
    assert kept.tokens is not None and kept.mask is not None and kept.tokens.shape == (5, 12, 32)
    np.testing.assert_allclose(kept.tokens[:3], out.last_hidden_state.numpy(), atol=1e-5)
    np.testing.assert_allclose(kept.vectors[:3], unit(out.pooler_output), atol=1e-5)
    assert kept.mask[:3].all() and not kept.mask[3:].any() and not kept.tokens[3:].any()
    plain = HFDual(str(tiny_clip), max_tokens=12).text.encode(TEXTS)
    np.testing.assert_allclose(kept.vectors[:3], plain.vectors, atol=1e-5)


def test_pictures_squashed_not_cropped(tiny_clip: Path) -> None:
    model, processor = CLIPModel.from_pretrained(tiny_clip), CLIPImageProcessorPil.from_pretrained(tiny_clip)
    squashed = [picture.resize((32, 32), Image.Resampling.LANCZOS) for picture in PICTURES]
    plain = np.stack([np.asarray(picture, dtype=np.float32) for picture in squashed]) / 255
    pixels = ((plain - processor.image_mean) / processor.image_std).transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = unit(model.get_image_features(torch.tensor(pixels, dtype=torch.float32)).pooler_output)
    found = HFDual(str(tiny_clip), resize="squash").image.encode(PICTURES).vectors
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - HFDual(str(tiny_clip)).image.encode(PICTURES).vectors).max() > 1e-3


def test_a_blank_picture(tiny_clip: Path, tiny_vit: Path) -> None:
    model = CLIPModel.from_pretrained(tiny_clip)
    with torch.no_grad():
        out = model.get_image_features(torch.zeros(1, 3, 32, 32))
    vector, patches = HFDual(str(tiny_clip)).image.blank()
    np.testing.assert_allclose(vector, unit(out.pooler_output)[0], atol=1e-5)
    np.testing.assert_allclose(patches, out.last_hidden_state[0].numpy(), atol=1e-5)
    vector, none = HFImage(str(tiny_vit)).blank(tokens=False)
    assert vector.shape == (32,) and none is None


def test_siglip_pads_every_text_to_the_limit(tiny_bert: Path, tmp_path: Path) -> None:
    tokenizer = BertTokenizer.from_pretrained(tiny_bert, model_max_length=16)
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 16,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64,
        "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    torch.manual_seed(3)
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    both = HFDual(str(tmp_path))
    ids = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=16, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = unit(model.get_text_features(input_ids=ids).pooler_output)
    features = both.text.encode(TEXTS, tokens=True)
    np.testing.assert_allclose(features.vectors, expected, atol=1e-5)
    assert both.text.sizes(["a", None]) == [16, 0]
    assert features.mask is not None and features.mask[2].sum() == 3  # the padding is there, but not as tokens


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_image_equals_a_plain_call(tiny_vit: Path, pooling: str) -> None:
    model = AutoModel.from_pretrained(tiny_vit)
    pixels = ViTImageProcessorPil.from_pretrained(tiny_vit)(PICTURES, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        out = model(pixel_values=pixels)
    hidden = out.last_hidden_state
    pooled = {"cls": hidden[:, 0], "mean": hidden.mean(1), "pooler": out.pooler_output}[pooling]
    encoder = HFImage(str(tiny_vit), pooling)
    np.testing.assert_allclose(encoder.encode(PICTURES).vectors, unit(pooled), atol=1e-5)
    assert encoder.sizes([PICTURES[0], None]) == [17, 0]


def test_a_convolutional_map_is_patches(tmp_path: Path) -> None:
    torch.manual_seed(4)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    features = HFImage(str(tmp_path)).encode(PICTURES, tokens=True)
    assert features.tokens is not None and features.tokens.shape == (2, 16, 16)
    mean = features.tokens.mean(1)
    np.testing.assert_allclose(features.vectors, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)


def test_fingerprint_follows_what_matters(tiny_bert: Path, tmp_path: Path) -> None:
    same = Path(shutil.copytree(tiny_bert, tmp_path / "same"))
    other = Path(shutil.copytree(tiny_bert, tmp_path / "other"))
    weights = load_file(other / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][0, 0] += 0.5
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    base = HFText(str(tiny_bert)).fingerprint
    assert HFText(str(same)).fingerprint == base
    assert len({base, HFText(str(other)).fingerprint, HFText(str(same), "cls").fingerprint}) == 3
    assert HFText(str(same), max_tokens=8).fingerprint != base


def test_missing_weights_are_refused_unless_unused(tiny_bert: Path, tmp_path: Path) -> None:
    def without(part: str) -> Path:
        folder = Path(shutil.copytree(tiny_bert, tmp_path / part))
        weights = {key: value for key, value in load_file(folder / "model.safetensors").items() if part not in key}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    headless = without("pooler")
    assert HFText(str(headless)).fingerprint == HFText(str(headless)).fingerprint
    with pytest.raises(InputError, match="lacks"):
        HFText(str(without("layer.1")))


def test_no_chatter(tiny_bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    HFText(str(tiny_bert)).encode(TEXTS)
    assert capfd.readouterr() == ("", "")


def test_errors_say_what_to_do(tmp_path: Path, tiny_bert: Path, tiny_vit: Path) -> None:
    with pytest.raises(NotFound, match="local folder"):
        HFText("nobody/such-a-model")
    with pytest.raises(NotFound, match="could not be loaded"):
        HFImage(str(tmp_path))
    with pytest.raises(ConfigError, match="choose mean or cls"):
        HFText(str(tiny_bert), "max")
    with pytest.raises(ConfigError, match="choose auto"):
        HFImage(str(tiny_vit), "max")
