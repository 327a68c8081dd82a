"""``faces``: alignment and descriptor by hand, an ONNX file, a vision model, real portraits, crowds, odd pictures."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from detectors import save_rt_detr
from PIL import Image, ImageDraw

from melink.errors import ConfigError, InputError, NotFound, Problems
from melink.features.align import Template, aligned, eyes_of
from melink.features.cascades import EYES
from melink.features.detect import found
from melink.features.face_hog import HogFace
from melink.features.face_onnx import OnnxFace
from melink.features.images import load_image as read
from melink.features.load import load_image
from melink.features.part_table import read_parts
from melink.features.parts import PartEncoder
from melink.features.store import FeatureStore

cv2 = pytest.importorskip("cv2")


def part_encoder(spec: str) -> PartEncoder:
    encoder = load_image(spec)
    assert isinstance(encoder, PartEncoder)
    return encoder


@pytest.fixture(scope="module")
def portraits(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "images/us_politicians").glob("*_0.jpg"))[:10]


@pytest.mark.parametrize("turn", [0.0, 20.0, -35.0])
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.3])
def test_eyes_come_to_their_places(turn: float, scale: float) -> None:
    """A red and a blue dot where the eyes are, in a turned picture of any size."""
    angle = np.deg2rad(turn)
    middle, half = np.array([800.0, 700.0]), 30 * scale * np.array([np.cos(angle), np.sin(angle)])
    eyes = np.stack([middle - half, middle + half])
    picture = Image.new("RGB", (1600, 1400), "white")
    draw = ImageDraw.Draw(picture)
    for (x, y), colour in zip(eyes, ("red", "blue"), strict=True):
        reach = 6 * scale
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
    template = Template(80, 100, 0.4, 0.5)
    pixels = np.asarray(aligned(picture, eyes, template), float)
    for place in (0.25, 0.75):
        weight = 255 - pixels[..., 1]
        half_side = weight * ((np.arange(80) < 40) == (place < 0.5))
        centre = [(half_side * axis).sum() / half_side.sum() for axis in np.meshgrid(np.arange(80), np.arange(100))]
        assert centre == pytest.approx([80 * place - 0.5, 40 - 0.5], abs=0.8)
    left, right = pixels[40, 20], pixels[40, 60]
    assert left[0] > left[2] and right[2] > right[0]


def test_eyes_that_are_not_found_are_where_eyes_are() -> None:
    boxes = np.array([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])
    known = np.array([[[0.1, 0.2], [0.3, 0.2]], [[np.nan, np.nan]] * 2])
    eyes = eyes_of(found(boxes, np.array([0.9, 0.8]), np.zeros(2), known), (200, 100))
    np.testing.assert_allclose(eyes[0], [[20, 20], [60, 20]], atol=1e-4)
    np.testing.assert_allclose(eyes[1], [[100 + 100 * x, 100 * y] for x, y in EYES], atol=1e-4)


def test_descriptor_by_hand() -> None:
    """A step from dark to light between columns 31 and 32: energy across only, in the cells beside it."""
    grey = np.zeros((80, 64), np.uint8)
    grey[:, 32:] = 200
    vector = HogFace()([Image.fromarray(grey).convert("RGB")])[0].reshape(10, 8, 9)
    assert not vector[:, [0, 1, 2, 5, 6, 7]].any() and not vector[..., 1:].any()
    energy = 8 * 200.0  # one column of eight pixels in each of the cells
    block = np.sqrt(4 * energy**2) + 32  # four cells of a block have it
    inner = np.sqrt(min(energy / block, 0.3))
    np.testing.assert_allclose(vector[5, 3, 0], inner, rtol=1e-5)
    flat = HogFace()([Image.new("RGB", (64, 80), "grey")])
    assert flat.shape == (1, 720) and not flat.any()


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def value_info(name: str, *shape: int | str) -> bytes:
    dims = b"".join(field(1, field(1, each) if isinstance(each, int) else field(2, each)) for each in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def onnx(path: Path, weights: np.ndarray, count: int | str) -> Path:
    """Write the model y = flatten(x) W for pictures of 3 x 8 x 8, by the specification of ONNX."""
    flatten = field(1, "x") + field(2, "flat") + field(4, "Flatten")
    product = field(1, "flat") + field(1, "w") + field(2, "y") + field(4, "MatMul")
    dims = b"".join(field(1, side) for side in weights.shape)
    tensor = dims + field(2, 1) + field(8, "w") + field(9, weights.astype("<f4").tobytes())
    ends = field(11, value_info("x", count, 3, 8, 8)) + field(12, value_info("y", count, weights.shape[1]))
    graph = field(1, flatten) + field(1, product) + field(2, "g") + field(5, tensor) + ends
    path.write_bytes(field(1, 8) + field(8, field(2, 13)) + field(7, graph))
    return path


@pytest.mark.parametrize("count", ["n", 1])
def test_an_onnx_file_gives_what_its_model_gives(count: int | str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    draw = np.random.default_rng(0)
    weights = draw.normal(size=(192, 5)).astype(np.float32)
    face = OnnxFace(str(onnx(tmp_path / "face.onnx", weights, count)))
    assert (face.dim, face.template.width, face.template.height) == (5, 8, 8)
    noise = draw.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    pictures = [Image.fromarray(each) for each in noise]
    planes = noise.astype(np.float32).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(face(pictures), ((planes - 127.5) / 127.5).reshape(3, -1) @ weights, atol=1e-4)
    raw, unit = (OnnxFace(str(tmp_path / "face.onnx"), pixels) for pixels in ("raw", "unit"))
    np.testing.assert_allclose(raw(pictures), planes[:, ::-1].reshape(3, -1) @ weights, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(unit(pictures), planes.reshape(3, -1) / 255 @ weights, atol=1e-4)
    assert len({each.fingerprint for each in (face, raw, unit)}) == 3
    encoder = part_encoder(f"faces?model={tmp_path / 'face.onnx'}")
    assert encoder.dim == 5 and encoder.encode([Image.new("RGB", (60, 60))]).present.all()


def test_onnx_refusals(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "bad.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a model"):
        OnnxFace(str(tmp_path / "bad.onnx"))
    with pytest.raises(ConfigError, match="unknown pixels"):
        OnnxFace(str(tmp_path / "bad.onnx"), "bgr")
    with pytest.raises(NotFound, match=r"no such file"):
        load_image("faces?model=no-such/model/face.onnx")
    with pytest.raises(NotFound, match=r"no such file"):
        load_image("faces?model=./gone.onnx")
    with pytest.raises(NotFound, match="no-such/face"):
        load_image("faces?model=no-such/face")


def test_a_probability_of_a_half_is_asked_of_detectors_of_the_hub(tmp_path: Path) -> None:
    """Scores of this detector lie on both sides of a half; those of the cascades mean something else."""
    path = save_rt_detr(tmp_path)
    noise = np.random.default_rng(4).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    every, usual = (
        part_encoder(f"faces?detector={path}{rest}").find([Image.fromarray(noise)])[0] for rest in ("&score=0", "")
    )
    sure = every.scores >= 0.5
    assert 0 < sure.sum() < len(sure)
    assert usual.scores.tolist() == every.scores[sure].tolist()
    assert part_encoder("faces").fingerprint == part_encoder("faces?score=0").fingerprint


@pytest.mark.data
def test_a_vision_model_on_faces(portraits: list[Path], tiny_vit: Path, tmp_path: Path) -> None:
    encoder = part_encoder(f"faces?model={tiny_vit}")
    table = read_parts(FeatureStore(tmp_path), encoder, [str(path) for path in portraits[:2]])
    assert table.dim == 32 and table.lengths().tolist() == [1, 1]


@pytest.mark.data
def test_the_same_photograph_again(portraits: list[Path], tmp_path: Path) -> None:
    """Smaller, re-compressed, darker, beside somebody else: its face is nearer to its own than to any other."""
    encoder, store = part_encoder("faces"), FeatureStore(tmp_path / "features")
    known = read_parts(store, encoder, [str(path) for path in portraits])
    assert (known.lengths() == 1).all()
    again = []
    for place, path in enumerate(portraits):
        row = Image.new("RGB", (448, 260), "grey")
        row.paste(read(path).resize((190, 190)).point(lambda value: int(0.8 * value)), (10, 30))
        row.paste(read(portraits[place - 1]), (210, 20))
        row.save(tmp_path / f"{place}.jpg", quality=70)
        again.append(str(tmp_path / f"{place}.jpg"))
    seen = read_parts(store, encoder, again)
    assert (seen.lengths() == 2).all()
    vectors, places = seen.tokens()[0], seen.places()
    for row, own in enumerate(places):
        order = np.argsort([part.box[0] for part in own])
        nearest = (vectors[row][order] @ known.vectors().T).argmax(1)
        assert nearest.tolist() == [row, (row - 1) % len(portraits)]


@pytest.mark.data
def test_hundreds_of_faces(portraits: list[Path]) -> None:
    wall = Image.new("RGB", (12 * 64, 9 * 64))
    for place in range(108):
        wall.paste(read(portraits[place % 10]).resize((64, 64)), (64 * (place % 12), 64 * (place // 12)))
    every = part_encoder("faces?most=500").encode([wall], tokens=True)
    assert every.mask is not None and every.mask.sum() > 60
    some = part_encoder("faces").encode([wall], tokens=True)
    assert some.tokens is not None and some.tokens.shape[1] == 32
    assert every.tokens is not None
    np.testing.assert_allclose(some.tokens[0], every.tokens[0, :32], atol=1e-6)  # the surest ones


@pytest.mark.data
def test_upright_however_it_is_stored(portraits: list[Path], tmp_path: Path) -> None:
    """EXIF says that it lies on its side; and grey, and half transparent: the same face is found."""
    picture = read(portraits[0])
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    picture.convert("L").save(tmp_path / "grey.png")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    picture.save(tmp_path / "plain.png")
    table = read_parts(
        FeatureStore(tmp_path / "features"),
        part_encoder("faces"),
        [str(tmp_path / f"{name}.png") for name in ("plain", "turned", "grey", "alpha")],
    )
    assert table.lengths().tolist() == [1, 1, 1, 1]
    assert (table.vectors() @ table.vectors()[0] > 0.98).all()


def test_no_faces_are_no_tokens_and_cost_nothing_again(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "grey").save(tmp_path / "grey.png")
    (tmp_path / "corrupt.png").write_bytes(b"\x89PNG broken")
    store, encoder, problems = FeatureStore(tmp_path / "features"), part_encoder("faces"), Problems()
    items = [str(tmp_path / "grey.png"), None, str(tmp_path / "corrupt.png")]
    table = read_parts(store, encoder, items, problems)
    tokens, mask = table.tokens()
    assert tokens.shape == (3, 0, 720) and mask.shape == (3, 0)
    assert table.present.tolist() == [True, False, False] and not table.vectors().any()
    assert table.places() == [[], [], []] and problems.total == 1
    assert read_parts(store, encoder, items).encoded == 0


@pytest.mark.data
def test_dlib_knows_a_person_in_another_photograph(shared_data: Path, portraits: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    if find_spec("face_recognition_models") is None:
        pytest.skip("no weights of dlib: install melink[faces-dlib]")
    folder = shared_data / "images/us_politicians"
    seconds = [path for path in sorted(folder.glob("*_1.jpg")) if path.stem[:-2] in ("Q1431761", "Q549521")]
    own = [path.with_name(path.name.replace("_1", "_0")) for path in seconds]
    encoder = part_encoder("faces?model=dlib")
    table = read_parts(FeatureStore(tmp_path), encoder, [str(path) for path in (*seconds, *own, *portraits[:4])])
    assert table.dim == 128 and (table.lengths() == 1).all()
    vectors = table.vectors()
    assert (vectors[:2] @ vectors[2:].T).argmax(1).tolist() == [0, 1]
