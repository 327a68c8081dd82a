"""The classical descriptor: pinned values, robustness, what is absent, and what it is worth on real pictures."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from melink.errors import BadImage
from melink.features.classical import VERSION, Classical
from melink.features.descriptors import edges_block, layout, orientations, palette, to_lab


def flag(*colours: str, upright: bool = True) -> Image.Image:
    image = Image.new("RGB", (120, 80))
    draw = ImageDraw.Draw(image)
    for n, colour in enumerate(colours):
        step = (120 if upright else 80) / len(colours)
        a, b = round(n * step), round((n + 1) * step)
        draw.rectangle((a, 0, b, 80) if upright else (0, a, 120, b), fill=colour)
    return image


def changed(image: Image.Image, rng: random.Random) -> Image.Image:
    """Turn, crop, darken or lighten, resize and compress a picture a little."""
    image = image.rotate(rng.uniform(-6, 6), resample=Image.Resampling.BICUBIC, fillcolor=(rng.randrange(256),) * 3)
    w, h = image.size
    image = image.crop((int(w * rng.uniform(0, 0.08)), int(h * rng.uniform(0, 0.08)), int(w * rng.uniform(0.92, 1)), h))
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.75, 1.25))
    image = image.resize((max(16, int(w * rng.uniform(0.4, 1))), max(16, int(h * 0.7))))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=rng.randrange(30, 80))
    return Image.open(out).convert("RGB")


FLAGS = [flag("blue", "white", "red"), flag("green", "white", "red"), flag("red", "white", "blue", upright=False)]


PINNED = [0.01311, 0.11884, -0.03089, 0.14569, -0.04353, -0.00974, -0.06142]
PINNED_CELL = [-0.3541, 1.5838, -2.1572, 0.0, 0.0, 0.0]


def test_pinned_values() -> None:
    """Whoever changes the descriptor raises VERSION, so that stored features are not mixed with new ones."""
    features = Classical().encode([FLAGS[0]], tokens=True)
    assert VERSION == 1
    assert features.vectors.shape == (1, 367) and features.tokens is not None
    np.testing.assert_allclose(features.vectors[0, [0, 1, 2, 71, 200, 300, 366]], PINNED, atol=2e-4)
    np.testing.assert_allclose(features.tokens[0, 0, :6], PINNED_CELL, atol=2e-3)


def test_lab_of_known_colours() -> None:
    lab = to_lab([Image.new("RGB", (5, 5), colour) for colour in ("white", "black", "red", "blue")])[:, 0, 0]
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]  # CIE L*a*b*, D65
    np.testing.assert_allclose(lab, expected, atol=0.1)


def test_blocks_of_a_flat_grey_picture_say_nothing() -> None:
    grey = to_lab([Image.new("RGB", (64, 64), (119, 119, 119))])  # L = 50
    assert np.abs(layout(grey)).max() < 0.05
    assert np.abs(edges_block(orientations(grey))).max() == 0
    assert np.abs(palette(grey)).sum() < np.abs(palette(to_lab([FLAGS[0]]))).sum()


def test_orientations_are_where_the_edges_are() -> None:
    upright = orientations(to_lab([FLAGS[0]]))[0].sum((0, 1))
    across = orientations(to_lab([FLAGS[2]]))[0].sum((0, 1))
    assert upright.argmax() == 0 and across.argmax() == 4


def test_a_changed_picture_stays_nearest_to_itself() -> None:
    encoder, rng = Classical(), random.Random(0)
    originals = encoder.encode(FLAGS).vectors
    for n, image in enumerate(FLAGS):
        scores = encoder.encode([changed(image, rng) for _ in range(10)]).vectors @ originals.T
        assert (scores.argmax(1) == n).all() and scores[:, n].min() > 0.6
    unrelated = originals @ originals.T
    assert unrelated[0, 2] < 0.5


def test_absent_and_unreadable(tmp_path: Path) -> None:
    features = Classical().encode([None, FLAGS[0]], tokens=True)
    assert features.present.tolist() == [False, True]
    assert features.mask is not None and features.mask.sum(1).tolist() == [0, 16]
    assert not features.vectors[0].any()
    assert Classical().encode([None], tokens=True).vectors.shape == (1, 367)
    assert Classical().encode([]).vectors.shape == (0, 367)
    (tmp_path / "x.jpg").write_bytes(b"x")
    with pytest.raises(BadImage):
        Classical().encode([tmp_path / "x.jpg"])


@pytest.mark.data
@pytest.mark.slow
def test_finds_real_flags_and_portraits_again(shared_data: Path) -> None:
    with (shared_data / "images" / "index.csv").open(encoding="utf-8") as file:
        rows = [row["file"] for row in csv.DictReader(file)]
    encoder = Classical()
    for folder, most, least in (("/flags/", 248, 0.85), ("/us_politicians/", 80, 0.95)):
        paths = [shared_data / name for name in rows if folder in name][:most]
        pictures = [Image.open(path).convert("RGBA").convert("RGB") for path in paths]
        rng = random.Random(1)
        scores = encoder.encode([changed(p, rng) for p in pictures]).vectors @ encoder.encode(pictures).vectors.T
        found = float((scores.argmax(1) == np.arange(len(paths))).mean())
        assert found >= least, f"{folder}: {found:.3f}"
