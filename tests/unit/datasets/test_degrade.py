"""Poor pictures: what stays, what goes, and that equal arguments give equal pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageStat

from melink.datasets.degrade import FAMILIES, SEVERITIES, degraded, replaced, retaken
from melink.errors import InputError

ALL = [name for names in FAMILIES.values() for name in names]
POOR = [name for name in ALL if name not in ("swap", "drop")]


def drawn(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A picture with coarse shapes and fine grain."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 226, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.NEAREST)
    grain = rng.integers(-20, 21, (size[1], size[0], 3))
    return Image.fromarray((np.asarray(coarse, dtype=np.int64) + grain).clip(0, 255).astype(np.uint8))


def away(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of pixels, squashed to one size."""
    sides = [np.asarray(each.resize((32, 32)), dtype=np.float64) for each in (one, other)]
    return float(np.abs(sides[0] - sides[1]).mean())


@pytest.mark.parametrize("how", ALL)
def test_severity_0_changes_nothing(how):
    picture = drawn(1)
    assert degraded(picture, how, 0, 3, drawn(2)).tobytes() == picture.tobytes()


@pytest.mark.parametrize("how", POOR)
def test_higher_severities_are_farther_away(how):
    """On the mean of several pictures: a single noisy one may be lucky."""
    far = [
        np.mean([away(drawn(s), degraded(drawn(s), how, v, s, drawn(s + 50))) for s in range(8)]) for v in SEVERITIES
    ]
    assert far == sorted(far) and len(set(far)) == len(far)


@pytest.mark.parametrize("how", ALL)
def test_equal_arguments_give_equal_pixels_and_leave_the_picture_alone(how):
    picture, other = drawn(1), drawn(2)
    before = picture.tobytes(), other.tobytes()
    one, two = (degraded(picture, how, 3, 9, other) for _ in range(2))
    assert (one is None) == (two is None) and (one is None or one.tobytes() == two.tobytes())
    assert (picture.tobytes(), other.tobytes()) == before


@pytest.mark.parametrize("how", ["noise", "small", "crop", "cover"])
def test_another_seed_draws_anew(how):
    one, two = (degraded(drawn(1), how, 3, seed, drawn(2)) for seed in (0, 1))
    assert one.tobytes() != two.tobytes()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
@pytest.mark.parametrize("how", ALL)
def test_any_picture_becomes_rgb(how, mode):
    found = degraded(drawn(1).convert(mode), how, 2, 4, drawn(2).convert(mode))
    assert found is None or (found.mode == "RGB" and found.size[0] > 0)


@pytest.mark.parametrize("how", ALL)
def test_one_pixel_survives(how):
    found = degraded(Image.new("RGB", (1, 1), "red"), how, 4, 0, Image.new("RGB", (1, 1), "blue"))
    assert found is None or found.size == (1, 1)


def test_pixelated_blocks_are_flat():
    found = np.asarray(degraded(drawn(1, (96, 96)), "pixelate", 4, 0))
    blocks = found.reshape(3, 32, 3, 32, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert len(np.unique(blocks[:, 0, :, 0].reshape(9, 3), axis=0)) == 9


def test_noise_has_the_stated_sd_and_no_bias():
    found = np.asarray(degraded(Image.new("RGB", (200, 200), (128, 128, 128)), "noise", 1, 5), dtype=np.float64)
    # sd 60, cut at 0 and 255: a normal variable cut 2.12 sd away on both sides has 0.970 of its sd
    assert abs(found.mean() - 128) < 0.5
    assert abs(found.std() - 58.2) < 0.3


@pytest.mark.parametrize(("severity", "share"), [(1, 0.85), (2, 0.7), (3, 0.5), (4, 0.35)])
def test_the_person_takes_the_stated_room(severity, share):
    red, blue = Image.new("RGB", (200, 100), (255, 0, 0)), Image.new("RGB", (50, 50), (0, 0, 255))
    small = degraded(red, "small", severity, 7, blue)
    assert small.size == red.size
    assert ImageStat.Stat(small).mean[0] / 255 == pytest.approx(share**2, abs=0.01)
    assert degraded(red, "crop", severity, 7).size == (round(200 * share), round(100 * share))
    covered = degraded(red, "cover", severity, 7, blue)
    assert 1 - ImageStat.Stat(covered).mean[0] / 255 == pytest.approx(0.2 * severity, abs=0.01)


def test_what_is_replaced_is_nested_and_as_frequent_as_stated():
    for how in ("swap", "drop"):
        gone = np.array([[replaced(how, severity, seed) for severity in SEVERITIES] for seed in range(2000)])
        assert (gone[:, :-1] <= gone[:, 1:]).all()
        np.testing.assert_allclose(gone.mean(0), [0, 0.25, 0.5, 0.75, 1], atol=0.03)


def test_swap_and_drop_do_what_replaced_says():
    picture, other = drawn(1), drawn(2)
    for seed in range(20):
        swapped = degraded(picture, "swap", 2, seed, other)
        assert swapped.tobytes() == (other if replaced("swap", 2, seed) else picture).tobytes()
        assert (degraded(picture, "drop", 2, seed) is None) == replaced("drop", 2, seed)


def test_a_retake_is_the_same_picture_but_not_the_same_pixels():
    picture = drawn(1, (200, 160))
    one, two = retaken(picture, 0), retaken(picture, 1)
    assert one.tobytes() == retaken(picture, 0).tobytes() != two.tobytes()
    assert 0.87 * 200 <= one.width <= 0.98 * 200 and one.width < 200
    assert 0 < away(picture, one) < away(picture, drawn(2, (200, 160)))


def test_refusals_say_what_to_do():
    with pytest.raises(InputError, match="choose one of: blur, pixelate"):
        degraded(drawn(1), "smear", 1, 0)
    with pytest.raises(InputError, match="choose 0 to 4"):
        degraded(drawn(1), "blur", 5, 0)
    for how in ("small", "cover", "swap"):
        with pytest.raises(InputError, match="pass other="):
            degraded(drawn(1), how, 4, 0)
