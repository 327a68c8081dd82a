"""The embedded text encoder: the packaged weights, called as their authors call them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from melink.features.minilm import MiniLM, weights

TEXTS = ["Georgia is a country in the Caucasus.", "Tbilisi is its capital.", "word " * 400]


@pytest.fixture(scope="module")
def encoder() -> MiniLM:
    return MiniLM()


def test_equals_a_plain_call(encoder: MiniLM) -> None:
    model, tokenizer = AutoModel.from_pretrained(weights()), AutoTokenizer.from_pretrained(weights())
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    pooled = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    np.testing.assert_allclose(encoder.encode(TEXTS).vectors, pooled.numpy(), atol=1e-5)


def test_card(encoder: MiniLM) -> None:
    assert (encoder.name, encoder.modality, encoder.dim, encoder.token_dim) == ("minilm", "text", 384, 384)
    assert encoder.sizes(["a cat", "word " * 400, None, " "]) == [4, 256, 0, 0]
    assert encoder.space == f"text:{encoder.fingerprint}"


def test_meaning(encoder: MiniLM) -> None:
    """Values as sentence-transformers gives them for the same model, to two places."""
    cat, kitten, bond = encoder.encode(["a cat sleeps", "a kitten is napping", "government bond yields rose"]).vectors
    assert cat @ kitten > 0.6 and abs(cat @ bond) < 0.15


def test_no_chatter(capfd: pytest.CaptureFixture[str]) -> None:
    MiniLM().encode(["x"])
    assert capfd.readouterr() == ("", "")
