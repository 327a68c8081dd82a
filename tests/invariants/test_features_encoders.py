"""What must hold for every encoder that works without a hub: batches, padding and order change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from melink.features.encoder import Encoder, Features
from melink.features.load import load_image, load_text

TEXTS = ["Georgia", None, "Georgia is a country in the Caucasus with its capital in Tbilisi.", "", "Peach State"]
PICTURES = [Image.effect_noise((40, 30), 80).convert("RGB"), None, Image.new("RGB", (64, 90), "red"), None,
            Image.radial_gradient("L").convert("RGB")]  # fmt: skip


@pytest.fixture(scope="module", params=["minilm", "classical"])
def case(request: pytest.FixtureRequest) -> tuple[Encoder, list[Any]]:
    return (load_text("minilm"), TEXTS) if request.param == "minilm" else (load_image("classical"), PICTURES)


def real(features: Features, row: int) -> np.ndarray:
    """The token vectors of one row, without padding."""
    assert features.tokens is not None and features.mask is not None
    return features.tokens[row][features.mask[row]]


def test_one_at_a_time_equals_all_at_once(case: tuple[Encoder, list[Any]]) -> None:
    encoder, items = case
    whole = encoder.encode(items, tokens=True)
    for row, item in enumerate(items):
        one = encoder.encode([item], tokens=True)
        np.testing.assert_allclose(one.vectors[0], whole.vectors[row], atol=2e-6)
        np.testing.assert_allclose(real(one, 0), real(whole, row), atol=2e-5)


def test_order_changes_nothing(case: tuple[Encoder, list[Any]]) -> None:
    encoder, items = case
    forward, backward = encoder.encode(items, tokens=True), encoder.encode(items[::-1], tokens=True)
    np.testing.assert_allclose(backward.vectors[::-1], forward.vectors, atol=2e-6)
    for row in range(len(items)):
        np.testing.assert_allclose(real(backward, len(items) - 1 - row), real(forward, row), atol=2e-5)


def test_absent_rows_are_masked_and_zero(case: tuple[Encoder, list[Any]]) -> None:
    encoder, items = case
    features = encoder.encode(items, tokens=True)
    assert features.present.tolist() == [True, False, True, False, True]
    assert features.tokens is not None and features.mask is not None
    assert not features.vectors[~features.present].any() and not features.mask[~features.present].any()
    assert not features.tokens[~features.mask].any()


def test_shapes_types_and_lengths(case: tuple[Encoder, list[Any]]) -> None:
    encoder, items = case
    features = encoder.encode(items, tokens=True)
    assert features.vectors.shape == (5, encoder.dim) and features.vectors.dtype == np.float32
    assert features.tokens is not None and features.tokens.shape[2] == encoder.token_dim
    np.testing.assert_allclose(np.linalg.norm(features.vectors[features.present], axis=1), 1, atol=1e-5)
    assert features.mask is not None and features.mask.sum(1).tolist() == encoder.sizes(items)
    plain = encoder.encode(items)
    assert plain.tokens is None and plain.mask is None
    np.testing.assert_allclose(plain.vectors, features.vectors, atol=1e-6)


def test_nothing_at_all(case: tuple[Encoder, list[Any]]) -> None:
    encoder, _ = case
    for items in ([], [None, None]):
        features = encoder.encode(items, tokens=True)
        assert features.vectors.shape == (len(items), encoder.dim) and not features.present.any()
        assert features.mask is not None and not features.mask.any()
