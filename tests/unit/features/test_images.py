"""Reading pictures: every mode comes out as upright RGB, everything else as a BadImage with its reason."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from melink.errors import BadImage
from melink.features.images import DEFAULT, Limits, decode, load_image, to_rgb

RED, BLUE = (255, 0, 0), (0, 0, 255)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def halves(size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


def near(pixel: object, colour: tuple[int, int, int], tolerance: int = 6) -> bool:
    return bool(np.abs(np.array(pixel, int) - colour).max() <= tolerance)


def reason(data: bytes, limits: Limits = DEFAULT) -> str:
    with pytest.raises(BadImage) as caught:
        decode(data, "x", limits)
    assert caught.value.source == "x"
    return caught.value.reason


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_allowed_formats(form: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(saved(halves(), form))
    image = load_image(path)
    assert image.mode == "RGB" and image.size == (40, 20)
    assert near(image.getpixel((5, 10)), RED) and near(image.getpixel((35, 10)), BLUE)


@pytest.mark.parametrize("form", ["TIFF", "BMP", "PPM", "ICO"])
def test_other_formats_are_refused(form: str) -> None:
    assert reason(saved(halves((32, 32)), form)) == "format"


UPRIGHT = {1: "RB/RB", 2: "BR/BR", 3: "BR/BR", 4: "RB/RB", 5: "RR/BB", 6: "RR/BB", 7: "BB/RR", 8: "BB/RR"}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(saved(halves((64, 32)), "PNG", exif=exif), "x")
    assert image.size == ((64, 32) if orientation < 5 else (32, 64))
    w, h = image.size
    corners = [(2, 2), (w - 3, 2), (2, h - 3), (w - 3, h - 3)]
    letters = ["R" if near(image.getpixel(corner), RED) else "B" for corner in corners]
    assert f"{''.join(letters[:2])}/{''.join(letters[2:])}" == UPRIGHT[orientation]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_cost_the_picture() -> None:
    assert decode(saved(halves(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff"), "x").size == (40, 20)


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    grey = Image.new("LA", (8, 8), (0, 0))
    assert decode(saved(clear, "PNG"), "x").getpixel((0, 0)) == (255, 255, 255)
    assert near(decode(saved(half, "PNG"), "x").getpixel((0, 0)), (255, 127, 127), 1)
    assert decode(saved(grey, "PNG"), "x").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.filterwarnings("ignore:Palette images")
@pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
def test_palette_with_transparency(transparency: int | bytes) -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 0, 255] + [0] * 762)
    image.putpixel((7, 7), 1)
    plain = decode(saved(image, "PNG", transparency=transparency), "x")
    assert plain.getpixel((0, 0)) == (255, 255, 255) and plain.getpixel((7, 7)) == BLUE


def test_sixteen_bits_keep_the_upper_eight() -> None:
    deep = Image.fromarray(np.array([[0, 0x8000], [0xFF00, 0xFFFF]], dtype=np.uint16))
    plain = decode(saved(deep, "PNG"), "x")
    assert [plain.getpixel((x, y))[0] for y in range(2) for x in range(2)] == [0, 128, 255, 255]


def test_one_bit_cmyk_and_odd_modes() -> None:
    assert decode(saved(Image.new("1", (8, 8), 1), "PNG"), "x").getpixel((0, 0)) == (255, 255, 255)
    cyan = decode(saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=95), "x").getpixel((8, 8))
    assert near(cyan, (0, 255, 255), 12)
    assert to_rgb(Image.new("I", (2, 2), 70_000)).getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(Image.new("HSV", (2, 2))).mode == "RGB"


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_animation_gives_its_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    data = saved(frames[0], form, save_all=True, append_images=frames[1:], duration=100)
    assert near(decode(data, "x").getpixel((8, 8)), RED)


def test_large_pictures_are_reduced() -> None:
    for form in ("JPEG", "PNG"):
        image = decode(saved(halves((2400, 1600)), form), "x", Limits(side=512))
        assert image.size in {(800, 533), (600, 400), (1200, 800)} and min(image.size) >= 512
    assert decode(saved(halves((1000, 1000)), "PNG"), "x", Limits(side=512)).size == (1000, 1000)


def test_reasons(tmp_path: Path) -> None:
    assert reason(b"plain text") == "format"
    whole = saved(halves((200, 100)), "JPEG")
    assert reason(whole[:500]) == "corrupt"
    assert reason(saved(halves(), "PNG")[:40]) == "corrupt"
    assert reason(whole, Limits(pixels=19_999)) == "too_many_pixels"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8))
    assert reason(saved(noise, "PNG"), Limits(seconds=1e-5)) == "timeout"


def test_file_reasons(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "big").write_bytes(saved(halves(), "PNG"))
    os.mkfifo(tmp_path / "pipe")
    for name, limits, expected in [
        ("nowhere", Limits(), "missing"),
        (".", Limits(), "missing"),
        ("pipe", Limits(), "missing"),
        ("nul\0byte", Limits(), "missing"),
        ("empty", Limits(), "empty"),
        ("big", Limits(bytes=10), "too_large"),
    ]:
        with pytest.raises(BadImage) as caught:
            load_image(tmp_path / name, limits)
        assert caught.value.reason == expected, name


def test_bombs_are_refused_from_the_header_alone() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for side in (8_000, 12_000, 60_000):  # below, between and above the limits at which Pillow itself warns and fails
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
        assert reason(data) == "too_many_pixels"


def test_pillow_settings_stay_as_they_were() -> None:
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    decode(saved(halves(), "PNG"), "x", Limits(pixels=1000))
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before
