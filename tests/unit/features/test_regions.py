"""``regions``: choosing among boxes by hand, real small detectors, cascades on real pictures, pictures that are odd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectors import save_detr, save_rt_detr, save_yolos
from PIL import Image
from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

from melink.errors import ConfigError, NotFound, Problems
from melink.features.detect import Choice, Grid, found, overlaps
from melink.features.detect_hf import HFDetector
from melink.features.images import load_image as read
from melink.features.load import load_image
from melink.features.part_table import read_parts
from melink.features.parts import PLACE, PartEncoder
from melink.features.regions import pixels
from melink.features.store import FeatureStore

SAVERS = {"yolos": save_yolos, "detr": save_detr, "rt_detr": save_rt_detr}
ODD = ((2000, 20), (20, 2000), (4000, 40), (2000, 1), (3000, 2), (300, 1), (1, 300), (15, 1), (20, 3), (3, 20), (1, 1))


def part_encoder(spec: str) -> PartEncoder:
    encoder = load_image(spec)
    assert isinstance(encoder, PartEncoder)
    return encoder


@pytest.fixture(scope="session", params=list(SAVERS))
def detector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SAVERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def yolos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_yolos(tmp_path_factory.mktemp("one-yolos"))


def noise(width: int, height: int, seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def test_overlap_by_hand() -> None:
    """Two boxes of area 0.25 that share 0.125: 0.125 / 0.375."""
    left, right = np.array([[0.0, 0.0, 0.5, 0.5]]), np.array([[0.25, 0.0, 0.75, 0.5], [0.5, 0.5, 1.0, 1.0]])
    np.testing.assert_allclose(overlaps(left, right), [[1 / 3, 0]], atol=1e-9)


def test_choice_by_hand() -> None:
    boxes = np.array(
        [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.51], [0, 0, 0.5, 0.5], [0.6, 0.6, 1.2, 1.0], [0.3, 0.3, 0.3, 0.9]]
    )
    every = found(boxes, np.array([0.5, 0.9, 0.8, 0.7, 0.99]), np.array([0, 0, 1, 1, 0]))
    assert every.scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.5])  # the box without width is gone
    assert every.boxes[2].tolist() == pytest.approx([0.6, 0.6, 1.0, 1.0])  # cut at the border
    labels = ("person", "dog")
    assert Choice().of(every, labels).scores.tolist() == pytest.approx([0.9, 0.8, 0.7])  # one person twice
    assert Choice(most=2).of(every, labels).scores.tolist() == pytest.approx([0.9, 0.8])
    assert Choice(least=0.75).of(every, labels).scores.tolist() == pytest.approx([0.9, 0.8])
    assert Choice(classes=("dog",)).of(every, labels).scores.tolist() == pytest.approx([0.8, 0.7])
    assert len(Choice(least=0.95).of(every, labels)) == 0


@pytest.mark.parametrize(("size", "count"), [((100, 100), 5), ((300, 100), 4), ((100, 200), 3), ((9000, 10), 9)])
def test_grid(size: tuple[int, int], count: int) -> None:
    (cells,) = Grid().find([Image.new("RGB", size)])
    assert len(cells) == count and not cells.scores.any()
    covered = np.zeros((40, 40))
    for left, top, right, bottom in (cells.boxes * 40).round().astype(int):
        covered[top:bottom, left:right] = 1
    assert covered.all()


def test_boxes_in_pixels_are_never_empty() -> None:
    assert pixels(np.array([0.25, 0.5, 0.75, 1.0], np.float32), (40, 20)) == (10, 10, 30, 20)
    assert pixels(np.array([0.999, 0.999, 1.0, 1.0], np.float32), (3, 3)) == (2, 2, 3, 3)
    assert pixels(np.array([0.5, 0.5, 0.5001, 0.5001], np.float32), (1, 1)) == (0, 0, 1, 1)


def test_detectors_of_the_hub(detector: Path) -> None:
    model = HFDetector(str(detector))
    assert model.labels == ("person", "dog", "flag")
    pictures = [noise(80, 60, 1), noise(60, 90, 2), noise(80, 60, 3)]
    together = model.find(pictures)
    assert all(len(own) for own in together)
    for picture, own in zip(pictures, together, strict=True):
        (alone,) = model.find([picture])
        np.testing.assert_allclose(own.boxes, alone.boxes, atol=1e-5)
        assert own.labels.tolist() == alone.labels.tolist()
        assert ((own.boxes >= 0) & (own.boxes <= 1)).all() and (own.scores >= 0.05).all()
        assert (np.diff(own.scores) <= 0).all()
    assert HFDetector(str(detector)).fingerprint == model.fingerprint


def test_detectors_of_the_hub_on_odd_pictures(detector: Path) -> None:
    """However long and thin: what little is left of it is looked at, or nothing is found; others are not affected."""
    model, square = HFDetector(str(detector)), noise(80, 80, 1)
    every = model.find([*(noise(*size, 2) for size in ODD), square])
    (alone,) = model.find([square])
    np.testing.assert_allclose(every[-1].boxes, alone.boxes, atol=1e-5)
    assert len(every) == len(ODD) + 1 and len(every[-1]) and len(every[ODD.index((1, 1))])
    if "rt_detr" in detector.name:
        assert all(len(own) for own in every), "pictures of any shape are squares to it"
    else:
        assert not len(every[ODD.index((300, 1))]) and not len(every[ODD.index((1, 300))])


def test_a_grid_where_a_picture_is_too_long_for_the_detector(tmp_path: Path) -> None:
    """Of 2000 by 20 pixels a processor of 800 and 1333 leaves 13, which YOLOS rounds down to none of its 16."""
    YolosImageProcessorPil().save_pretrained(save_yolos(tmp_path))
    encoder = part_encoder(f"regions?detector={tmp_path}&score=0.05&most=9")
    pictures = [noise(*size, 3) for size in ((2000, 20), (4000, 40), (2000, 1), (3000, 2), (1000, 20))]
    found = encoder.find(pictures)
    grid = encoder.labels.index("grid")
    assert [set(own.labels.tolist()) == {grid} for own in found] == [True] * 4 + [False]
    assert [len(own) for own in found[:4]] == [9] * 4
    assert encoder.encode(pictures, tokens=True).present.all()


def test_other_errors_of_a_processor_are_not_taken_for_nothing(yolos: Path) -> None:
    model = HFDetector(str(yolos))

    class Broken:
        size = model._processor.size

        def __call__(self, **_: Any) -> Any:
            raise ValueError("no such backend")

    model._processor = Broken()
    with pytest.raises(ValueError, match="no such backend"):
        model.find([noise(80, 60, 1)])


def test_a_probability_of_a_half_is_asked_of_detectors_of_the_hub(tmp_path: Path) -> None:
    """Scores of this detector lie on both sides of a half."""
    path = save_rt_detr(tmp_path)
    every, usual = (
        part_encoder(f"regions?detector={path}{rest}&fallback=none").find([noise(90, 60, 4)])[0]
        for rest in ("&score=0", "")
    )
    sure = every.scores >= 0.5
    assert 0 < sure.sum() < len(sure)
    assert usual.scores.tolist() == every.scores[sure].tolist()


def test_regions_by_a_detector_of_the_hub(yolos: Path) -> None:
    every = part_encoder(f"regions?detector={yolos}&score=0.05&fallback=none")
    assert every.labels == ("person", "dog", "flag") and every.token_dim == every.dim + PLACE
    pictures = [noise(80, 60, 1), noise(60, 90, 2)]
    features = every.encode(pictures, tokens=True)
    assert features.tokens is not None and features.mask is not None
    inner = load_image("classical")
    np.testing.assert_allclose(features.vectors, inner.encode(pictures).vectors, atol=1e-6)  # the whole picture
    seen = set(features.tokens[features.mask][:, -1].astype(int).tolist())
    first = features.tokens[0, 0]
    crop = pictures[0].crop(pixels(first[-PLACE : -PLACE + 4], pictures[0].size))
    np.testing.assert_allclose(first[:-PLACE], inner.encode([crop]).vectors[0], atol=1e-5)
    one = every.labels[min(seen)]
    few = part_encoder(f"regions?detector={yolos}&score=0.05&fallback=none&most=2&classes={one}")
    chosen = few.encode(pictures, tokens=True)
    assert chosen.tokens is not None and chosen.mask is not None and chosen.tokens.shape[1] <= 2
    assert set(chosen.tokens[chosen.mask][:, -1].astype(int).tolist()) == {min(seen)}
    assert few.fingerprint != every.fingerprint
    none = part_encoder(f"regions?detector={yolos}&score=1.0&fallback=none").encode(pictures, tokens=True)
    assert none.present.all() and none.mask is not None and none.mask.shape == (2, 0)


def test_grid_where_nothing_is_seen(yolos: Path) -> None:
    encoder = part_encoder(f"regions?detector={yolos}&score=1.0")
    features = encoder.encode([noise(80, 80, 1)], tokens=True)
    assert features.tokens is not None
    assert encoder.labels[int(features.tokens[0, 0, -1])] == "grid" and features.tokens[0, :, -2].max() == 0
    assert features.tokens.shape[1] == 5


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("regions?detector={yolos}&classes=cat", "person, dog, flag"),
        ("regions?detector={yolos}&score=2", "score lies in"),
        ("regions?fallback=full", "grid or none"),
        ("regions?pooling=cls", "melink encoders"),
        ("regions?encoder=minilm", "image"),
        ("regions?encoder=faces", "takes pictures apart itself"),
        ("faces?model=classical", "no model of faces"),
        ("faces?detector=opencv-people", "does not find faces"),
        ("faces?detector=grid", "does not find faces"),
    ],
)
def test_refusals(spec: str, words: str, yolos: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        load_image(spec.format(yolos=yolos))
    assert words in wrong.value.message + wrong.value.remedy


def test_unknown_detector() -> None:
    with pytest.raises(NotFound, match="no-such/detector"):
        load_image("regions?detector=no-such/detector")
    with pytest.raises(NotFound, match="unknown detector 'opencv-foo'"):  # at once: no hub has such names
        load_image("regions?detector=opencv-foo")


def test_regions_in_the_space_of_the_encoder(yolos: Path, tiny_clip: Path) -> None:
    encoder = load_image(f"regions?encoder={tiny_clip}&detector={yolos}&score=0.05")
    clip = load_image(str(tiny_clip))
    assert encoder.dim == clip.dim
    assert encoder.encode([noise(64, 64, 5)]).vectors @ clip.encode([noise(64, 64, 5)]).vectors.T > 0.999


def test_cascades_on_odd_pictures(tmp_path: Path) -> None:
    """Nothing to see, in every shape and mode: never an error, and a grid."""
    pytest.importorskip("cv2")
    whole = noise(120, 90, 7)
    Image.new("RGB", (1, 1), "red").save(tmp_path / "dot.png")
    noise(4000, 40, 1).save(tmp_path / "wide.png")
    noise(20, 3000, 2).save(tmp_path / "tall.png")
    noise(6000, 5000, 3).save(tmp_path / "large.jpg")
    whole.convert("L").save(tmp_path / "grey.png")
    whole.convert("RGBA").save(tmp_path / "alpha.png")
    whole.convert("P").save(tmp_path / "palette.gif")
    (tmp_path / "corrupt.jpg").write_bytes(b"\xff\xd8\xff" + b"not a picture" * 20)
    (tmp_path / "words.txt").write_text("not a picture")
    names = ["dot.png", "wide.png", "tall.png", "large.jpg", "grey.png", "alpha.png", "palette.gif"]
    bad = ["corrupt.jpg", "words.txt", "gone.png"]
    store, problems = FeatureStore(tmp_path / "features"), Problems()
    items = [*(str(tmp_path / name) for name in names), *(str(tmp_path / name) for name in bad), None]
    encoder = part_encoder("regions")
    table = read_parts(store, encoder, items, problems)
    assert table.present.tolist() == [True] * len(names) + [False] * 4
    assert table.encoded == len(names) and problems.total == 3
    assert dict(table.missing) == {"corrupt": 1, "format": 1, "missing": 1, "none": 1}
    assert table.lengths().tolist()[-4:] == [0] * 4 and (table.lengths()[: len(names)] > 0).all()
    again = read_parts(store, encoder, items)
    assert again.encoded == 0
    np.testing.assert_array_equal(again.tokens()[0], table.tokens()[0])


def test_reading_a_table(tmp_path: Path, picture: Callable[[str, int], str]) -> None:
    pytest.importorskip("cv2")
    paths = [picture("a.png", 1), None, picture("b.png", 2)]
    encoder = part_encoder("regions?detector=grid&most=3")
    table = read_parts(FeatureStore(tmp_path / "features"), encoder, paths)
    vectors, mask = table.tokens()
    assert vectors.shape == (3, 3, 367) and mask.sum(1).tolist() == [3, 0, 3] and len(table) == 3
    assert table.vectors([0]).shape == (1, 367) and table.dim == table.token_dim == 367
    places = table.places([2, 1])
    assert [len(own) for own in places] == [3, 0] and places[0][0].label == "grid"
    assert places[0][0].box == (0, 0, 0.5, 0.5)
    few, _ = table.tokens([2], most=1, dtype=np.float16)
    assert few.dtype == np.float16 and few.shape == (1, 1, 367)
    np.testing.assert_array_equal(few[0, 0], vectors[2, 0].astype(np.float16))


@pytest.mark.data
def test_people_in_real_pictures(shared_data: Path) -> None:
    pytest.importorskip("cv2")
    encoder = part_encoder("regions")
    portraits = [read(path) for path in sorted((shared_data / "images/us_politicians").glob("*.jpg"))[:12]]
    flags = [read(path) for path in sorted((shared_data / "images/flags").glob("*.png"))[:8]]
    seen = [own.labels.tolist() for own in encoder.find(portraits)]
    assert sum(labels == [0] for labels in seen) >= 11  # one person each
    assert sum(1 in own.labels for own in encoder.find(flags)) >= 7  # a grid
    row = Image.new("RGB", (3 * 224, 224))
    for place, portrait in enumerate(portraits[:3]):
        row.paste(portrait.resize((224, 224)), (224 * place, 0))
    (three,) = encoder.find([row])
    assert len(three) == 3
    middles = sorted(float(box[0] + box[2]) / 2 for box in three.boxes)
    np.testing.assert_allclose(middles, [1 / 6, 1 / 2, 5 / 6], atol=0.08)
