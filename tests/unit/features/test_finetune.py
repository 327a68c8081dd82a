"""A text encoder that is trained in part: what moves, what it reads, and that it is read back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from melink.errors import ConfigError, NotFound
from melink.features import finetune
from melink.features.finetune import Blocks, TunableText
from melink.features.huggingface import HFText
from melink.features.minilm import weights

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
def test_it_reads_as_the_frozen_encoder_does(tiny_bert: Path, pooling: finetune.TextPooling) -> None:
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
        monkeypatch.setattr(finetune, "CPU_PIECE", 20)
        pieces = vectors(text, texts)
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole, pieces, atol=1e-5, rtol=0)


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
