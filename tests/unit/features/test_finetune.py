"""A text encoder that is trained in part: what moves, what it reads, and that it is read back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from melink.errors import ConfigError, NotFound
from melink.features import sides
from melink.features.finetune import Blocks, TunableDual, TunableImage, TunableText, twin
from melink.features.huggingface import HFText
from melink.features.load import load_image, load_pair, load_text
from melink.features.minilm import weights
from melink.features.readout import TextPooling

TEXTS = ["ann sings", "a", "", "the red river of the north", "  ", "ann sings"]


def vectors(text: TunableText, texts: list[str]) -> torch.Tensor:
    return text.eval()(text.tokenize(texts))


@pytest.mark.parametrize(
    ("blocks", "expected"), [(0, set()), (1, {"layer.1"}), (2, {"layer.0", "layer.1"}), ("all", None)]
)
def test_which_blocks_are_trained(tiny_bert: Path, blocks: Blocks, expected: set[str] | None) -> None:
    text = TunableText(str(tiny_bert), blocks)
    moved = {name for name, parameter in text.named_parameters() if parameter.requires_grad}
    assert not any("pooler" in name for name in moved)
    if expected is None:
        assert any("word_embeddings" in name for name in moved)
    else:
        assert {next(each for each in ("layer.0", "layer.1", name) if each in name) for name in moved} == expected
    if blocks == 0:
        return
    vectors(text, TEXTS).sum().backward()
    assert {name for name, parameter in text.named_parameters() if parameter.grad is not None} == moved


def test_a_step_moves_only_what_is_trained(tiny_bert: Path) -> None:
    text = TunableText(str(tiny_bert), 1)
    before = {name: parameter.clone() for name, parameter in text.named_parameters()}
    (vectors(text, TEXTS) @ torch.randn(text.dim)).sum().backward()
    torch.optim.SGD([p for p in text.parameters() if p.requires_grad], lr=1.0).step()
    for name, parameter in text.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad or "key.bias" in name, name


def test_more_blocks_than_there_are(tiny_bert: Path) -> None:
    with pytest.raises(ConfigError, match="has 2 blocks, not 3") as wrong:
        TunableText(str(tiny_bert), 3)
    assert "settings.tune" in wrong.value.remedy
    with pytest.raises(NotFound):
        TunableText("/nowhere/at-all")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_it_reads_as_the_frozen_encoder_does(tiny_bert: Path, pooling: TextPooling) -> None:
    text, frozen = TunableText(str(tiny_bert), 1, pooling), HFText(str(tiny_bert), pooling)
    with torch.no_grad():
        found = vectors(text, TEXTS).numpy()
    np.testing.assert_allclose(found, frozen.encode(TEXTS).vectors, atol=1e-5)
    assert not found[[2, 4]].any()  # nothing was read


def test_saved_and_read_back(tiny_bert: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = TunableText(str(tiny_bert), 1, "mean", 12)
    with torch.no_grad():
        for parameter in text.parameters():
            parameter += 0.05 * torch.randn_like(parameter) * parameter.requires_grad
    long = [*TEXTS, "a text of more than twelve pieces"]
    with torch.no_grad():
        found = vectors(text, long).numpy()
    text.save(tmp_path / "encoder")
    assert capfd.readouterr() == ("", "")  # no bars
    again = HFText(str(tmp_path / "encoder"), "mean", 12)
    np.testing.assert_allclose(found, again.encode(long).vectors, atol=1e-5)
    assert again.fingerprint != HFText(str(tiny_bert), "mean", 12).fingerprint
    assert (tmp_path / "encoder" / "model.safetensors").is_file()
    assert not [path for path in (tmp_path / "encoder").iterdir() if path.suffix in (".bin", ".pt", ".pkl")]
    deeper = TunableText(str(tmp_path / "encoder"), "all", "mean", 12)  # and trained on
    with torch.no_grad():
        np.testing.assert_allclose(found, vectors(deeper, long).numpy(), atol=1e-6)


def test_long_texts_are_cut(tiny_bert: Path) -> None:
    text = TunableText(str(tiny_bert), 1, max_tokens=8)
    assert [len(own) for own in text.tokenize(["abcdefghijkl", "ab", ""])] == [8, 4, 0]
    assert TunableText(str(tiny_bert), 1, max_tokens=500).max_tokens == 64  # the model has no more positions
    assert vectors(TunableText(str(tiny_bert), 1, max_tokens=500), ["a " * 300]).isfinite().all()


def test_how_texts_are_cut_into_pieces_changes_nothing(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TunableText(str(tiny_bert), 1)
    texts = ["ab" * n for n in (9, 1, 14, 2, 2, 7)] + [""]
    with torch.no_grad():
        whole = vectors(text, texts)
        alone = torch.cat([vectors(text, [each]) for each in texts])
        monkeypatch.setattr(sides, "CPU_PIECE", 20)
        pieces = vectors(text, texts)
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole, pieces, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_both_are_what_the_frozen_encoder_gives(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, pooling: TextPooling
) -> None:
    text, frozen = TunableText(str(tiny_bert), 1, pooling), HFText(str(tiny_bert), pooling).encode(TEXTS, tokens=True)
    ids = text.eval().tokenize(TEXTS)
    for piece in (4096, 30):
        monkeypatch.setattr(sides, "CPU_PIECE", piece)
        with torch.no_grad():
            pooled, tokens, mask = text.both(ids)
            assert torch.equal(pooled, text(ids))
        np.testing.assert_allclose(tokens.numpy(), frozen.tokens, atol=1e-5)
        assert frozen.mask is not None and (mask.numpy() == frozen.mask).all()
        assert not tokens[~mask].any()
    assert (text.dim, text.token_dim) == (32, 32)


def test_gradients_flow_through_both(tiny_bert: Path) -> None:
    """The same gradient as that of a plain call of the model, one text at a time."""
    text = TunableText(str(tiny_bert), "all").eval()
    torch.manual_seed(0)
    by_text, by_token = torch.randn(len(TEXTS), 32), torch.randn(len(TEXTS), 64, 32)
    ids = text.tokenize(TEXTS)
    pooled, tokens, mask = text.both(ids)
    ((pooled * by_text).sum() + (tokens * by_token[:, : tokens.shape[1]] * mask[..., None]).sum()).backward()
    found = {name: p.grad.clone() for name, p in text.named_parameters() if p.grad is not None}
    text.zero_grad()
    for own, of_text, of_token in zip(ids, by_text, by_token, strict=True):
        if own:
            hidden = text.model(input_ids=torch.tensor([own])).last_hidden_state[0]
            unit = torch.nn.functional.normalize(hidden.mean(0), dim=0)
            ((unit * of_text).sum() + (hidden * of_token[: len(own)]).sum()).backward()
    assert "model.embeddings.word_embeddings.weight" in found
    for name, parameter in text.named_parameters():
        if name in found:
            torch.testing.assert_close(found[name], parameter.grad, atol=1e-3, rtol=1e-3)


def test_both_of_nothing(tiny_bert: Path) -> None:
    text = TunableText(str(tiny_bert), 1)
    pooled, tokens, mask = text.both([[], []])
    assert pooled.requires_grad and not pooled.any()
    assert tokens.shape == (2, 0, 32) and mask.shape == (2, 0)


def test_a_twin_is_made_of_a_frozen_encoder(tiny_bert: Path, tiny_vit: Path, tiny_clip: Path) -> None:
    bert = load_text(f"{tiny_bert}?pooling=cls&max_tokens=9")
    text = twin(bert, 1)
    assert isinstance(text, TunableText) and text.options == bert.options == {"pooling": "cls", "max_tokens": 9}
    with torch.no_grad():
        np.testing.assert_allclose(vectors(text, TEXTS).numpy(), bert.encode(TEXTS).vectors, atol=1e-5)
    assert isinstance(twin(load_image(str(tiny_vit)), 1), TunableImage)
    for side in load_pair(f"{tiny_clip}?max_tokens=12&pad=keep"):
        assert isinstance(twin(side, 1), TunableDual) and side.kind == "dual" and side.path == str(tiny_clip)
    minilm = load_text("minilm?max_tokens=40")
    assert minilm.kind == "text" and twin(minilm, 1).options == {"pooling": "mean", "max_tokens": 40}
    with pytest.raises(ConfigError, match="classical cannot be tuned"):
        twin(load_image("classical"), 1)


def test_half_of_a_dual_model_is_refused(tiny_clip: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be tuned") as wrong:
        TunableText(str(tiny_clip), 1)
    assert "settings.tune=0" in wrong.value.remedy
    with pytest.raises(ConfigError, match="cannot be tuned"):
        TunableImage(str(tiny_clip), 1)


@pytest.mark.parametrize("texts", [[], [""], ["", " "]])
def test_nothing_to_read_still_takes_part_in_a_step(tiny_bert: Path, texts: list[str]) -> None:
    text = TunableText(str(tiny_bert), 1)
    found = vectors(text, texts)
    assert found.shape == (len(texts), 32) and not found.any() and found.requires_grad
    found.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in text.parameters() if p.requires_grad)


def test_the_embedded_encoder_can_be_tuned() -> None:
    text = TunableText(str(weights()), 3, "mean", 64)
    names = {name for name, parameter in text.named_parameters() if parameter.requires_grad}
    assert {name.split("layer.")[1].split(".")[0] for name in names} == {"3", "4", "5"} and text.dim == 384
