"""The feature store: encodes what is missing, once; absent, broken and duplicate items; tokens; several writers."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from melink.errors import BadRow, Problems, StoreError
from melink.features import work
from melink.features.encoder import Features
from melink.features.huggingface import HFDual, HFText
from melink.features.images import Limits
from melink.features.store import FeatureStore

TEXTS = ["georgia", None, "a much longer text about georgia", "", "georgia", "b"]


@pytest.fixture(scope="module")
def bert(tiny_bert: Path) -> HFText:
    return HFText(str(tiny_bert))


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Three pictures, one of them twice, one broken, one empty, one missing."""
    for n, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{n}.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "broken.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    (tmp_path / "empty.png").touch()
    return [str(tmp_path / f"{name}.png") for name in ("0", "1", "2", "copy", "broken", "empty", "nowhere")]


def test_rows_follow_the_items(tmp_path: Path, bert: HFText) -> None:
    table = FeatureStore(tmp_path).encode(bert, TEXTS, tokens=True)
    assert len(table) == 6 and table.encoded == 3
    assert table.present.tolist() == [True, False, True, False, True, True]
    assert table.missing == {"none": 1, "empty": 1}
    direct = bert.encode(TEXTS, tokens=True)
    np.testing.assert_allclose(table.vectors(), direct.vectors, atol=1e-3)
    tokens, mask = table.tokens()
    np.testing.assert_allclose(tokens, direct.tokens, atol=2e-3)
    assert direct.mask is not None and (mask == direct.mask).all()
    assert not table.vectors([1, 3]).any()


def test_rows_can_be_chosen(tmp_path: Path, bert: HFText) -> None:
    table = FeatureStore(tmp_path).encode(bert, TEXTS, tokens=True)
    whole = table.vectors()
    for rows in (slice(1, 4), [5, 0, 0], np.array([2]), np.array([], dtype=int), slice(0, 0)):
        assert (table.vectors(rows) == whole[rows]).all()
    tokens, mask = table.tokens([5, 1])
    assert tokens.shape == (2, 3, 32) and mask.tolist() == [[True] * 3, [False] * 3]
    assert table.tokens([])[0].shape == (0, 0, 32)


def test_tokens_can_be_cut_and_kept_in_16_bits(tmp_path: Path, bert: HFText) -> None:
    table = FeatureStore(tmp_path).encode(bert, TEXTS, tokens=True)
    whole, mask = table.tokens()
    assert table.lengths().tolist() == mask.sum(1).tolist() and table.lengths([2, 1]).tolist() == [mask[2].sum(), 0]
    half, same = table.tokens(dtype=np.float16)
    assert half.dtype == np.float16 and (half == whole).all() and (same == mask).all()
    cut, cut_mask = table.tokens([2, 5, 1], most=4)
    assert (cut == whole[[2, 5, 1], :4]).all() and cut_mask.sum(1).tolist() == [4, 3, 0]
    assert table.tokens([5], most=99)[0].shape == (1, 3, 32)
    assert table.tokens([2], most=0)[0].shape == (1, 0, 32)


def test_tokens_of_many_shards(tmp_path: Path, bert: HFText) -> None:
    """Rows in any order, from shards written one after another, are what the encoder gave."""
    texts = [f"{n} " + "word" * (n % 5) for n in range(24)]
    for start in range(0, 24, 4):
        FeatureStore(tmp_path).encode(bert, texts[start : start + 4], tokens=True)
    store = FeatureStore(tmp_path)
    table = store.encode(bert, [*texts, None], tokens=True)
    assert table.encoded == 0 and len(list(tmp_path.glob("*/*.safetensors"))) == 6
    rows = np.random.default_rng(0).integers(0, 25, 60)
    direct = bert.encode([[*texts, None][row] for row in rows], tokens=True)
    tokens, mask = table.tokens(rows)
    np.testing.assert_allclose(tokens, direct.tokens, atol=2e-3)
    assert direct.mask is not None and (mask == direct.mask).all() and not tokens[~mask].any()
    np.testing.assert_allclose(table.vectors(rows), direct.vectors, atol=1e-3)
    one_by_one = [table.tokens([row])[0][0] for row in rows]
    assert all((tokens[n][: len(own)] == own).all() for n, own in enumerate(one_by_one))


def test_second_run_encodes_nothing(tmp_path: Path, bert: HFText) -> None:
    first = FeatureStore(tmp_path)
    assert first.lacking(bert, TEXTS) == 3
    before = first.encode(bert, TEXTS).vectors()
    second = FeatureStore(tmp_path)
    table = second.encode(bert, TEXTS[::-1])
    assert table.encoded == 0 and second.lacking(bert, TEXTS) == 0
    assert (table.vectors() == before[::-1]).all()
    assert second.encode(bert, [*TEXTS, "new"]).encoded == 1


def test_tokens_are_added_when_asked_for(tmp_path: Path, bert: HFText) -> None:
    store = FeatureStore(tmp_path)
    plain = store.encode(bert, TEXTS)
    with pytest.raises(StoreError, match="tokens=True"):
        plain.tokens()
    assert store.lacking(bert, TEXTS, tokens=True) == 3
    assert store.encode(bert, TEXTS, tokens=True).encoded == 3
    assert store.encode(bert, TEXTS, tokens=False).encoded == 0
    np.testing.assert_allclose(store.encode(bert, TEXTS).vectors(), plain.vectors(), atol=1e-3)


def test_encoders_are_kept_apart(tmp_path: Path, bert: HFText, tiny_clip: Path) -> None:
    store = FeatureStore(tmp_path)
    assert store.encode(bert, ["a"]).vectors().shape == (1, 32)
    assert store.encode(HFDual(str(tiny_clip)).text, ["a"]).vectors().shape == (1, 24)
    assert len(list(tmp_path.glob("text-*/encoder.json"))) == 2


def test_broken_pictures_are_masked_counted_and_named(tmp_path: Path, tiny_clip: Path, pictures: list[str]) -> None:
    encoder = HFDual(str(tiny_clip)).image
    for fresh in (True, False):
        problems = Problems()
        items = [*pictures, None, pictures[4]]
        table = FeatureStore(tmp_path / "store").encode(encoder, items, tokens=True, problems=problems)
        assert table.present.tolist() == [True] * 4 + [False] * 5
        assert table.missing == {"corrupt": 2, "empty": 1, "missing": 1, "none": 1}
        assert sum(table.missing.values()) + table.present.sum() == len(items)
        assert problems.counts == {"image corrupt": 1, "image empty": 1, "image missing": 1}
        assert {Path(problem.file).stem for problem in problems.first} == {"broken", "empty", "nowhere"}
        assert table.encoded == (3 if fresh else 0)
        assert table.tokens()[1].sum(1).tolist() == [17] * 4 + [0] * 5
    with pytest.raises(BadRow):
        FeatureStore(tmp_path / "store").encode(encoder, pictures, problems=Problems(strict=True))


def test_a_mended_picture_is_tried_again(tmp_path: Path, tiny_clip: Path, pictures: list[str]) -> None:
    encoder, store = HFDual(str(tiny_clip)).image, FeatureStore(tmp_path / "store")
    assert store.encode(encoder, pictures).missing["corrupt"] == 1
    Image.new("RGB", (40, 30), "white").save(pictures[4])
    assert store.encode(encoder, pictures).missing == {"empty": 1, "missing": 1}


def test_other_limits_try_again(tmp_path: Path, tiny_clip: Path, pictures: list[str]) -> None:
    encoder = HFDual(str(tiny_clip)).image
    strict = FeatureStore(tmp_path / "store", Limits(pixels=100)).encode(encoder, pictures[:3])
    assert strict.missing == {"too_many_pixels": 3} and not strict.present.any()
    assert FeatureStore(tmp_path / "store").encode(encoder, pictures[:3]).present.all()


def test_a_timeout_is_never_remembered(tmp_path: Path, tiny_clip: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8))
    noise.save(tmp_path / "noise.png")
    encoder, limits = HFDual(str(tiny_clip)).image, Limits(seconds=1e-5)
    store = FeatureStore(tmp_path / "store", limits)
    assert store.encode(encoder, [tmp_path / "noise.png"]).missing == {"timeout": 1}
    assert store.lacking(encoder, [tmp_path / "noise.png"]) == 1


class Counting:
    """An encoder of word counts that remembers the batches it was given."""

    name, modality, dim, token_dim, space, fingerprint = "counting", "text", 2, 1, "counting", "c" * 64
    batch, workers = 60, 1

    def __init__(self, workers: int = 1, fail_at: str = "") -> None:
        self.seen: list[list[str]] = []
        self.workers = workers
        self.fail_at = fail_at
        self.threads: set[int] = set()

    def sizes(self, items: Sequence[str]) -> list[int]:
        return [len(item) for item in items]

    def encode(self, items: Sequence[str], tokens: bool = False) -> Features:
        self.threads.add(threading.get_ident())
        if self.fail_at in items:
            raise RuntimeError("the power is gone")
        self.seen.append(list(items))
        vectors = np.array([[len(item), 1e9] for item in items], dtype=np.float32)
        return Features(vectors, np.ones(len(items), dtype=bool))


WORDS = ["x" * (n % 50 + 1) + str(n) for n in range(300)]


def test_batches_are_by_length_and_within_the_budget(tmp_path: Path) -> None:
    encoder = Counting()
    table = FeatureStore(tmp_path).encode(encoder, WORDS)
    assert table.encoded == 300 and sum(map(len, encoder.seen)) == 300
    lengths = [[len(item) for item in batch] for batch in encoder.seen]
    assert all(max(own) * len(own) <= 60 or len(own) == 1 for own in lengths)
    assert [n for own in lengths for n in own] == sorted(map(len, WORDS))
    assert (table.vectors()[:, 0] == [len(word) for word in WORDS]).all()
    assert (table.vectors()[:, 1] == 65504).all(), "what overflows 16 bits becomes the largest number"


def test_work_that_stops_half_way_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BLOCK", 500)
    whole = Counting()
    FeatureStore(tmp_path / "whole").encode(whole, WORDS)
    victim = sorted(WORDS, key=len)[200]
    broken = Counting(fail_at=victim)
    with pytest.raises(RuntimeError, match="power"):
        FeatureStore(tmp_path / "broken").encode(broken, WORDS)
    rest = Counting()
    table = FeatureStore(tmp_path / "broken").encode(rest, WORDS)
    assert 0 < table.encoded < 300
    assert all(batch in whole.seen for batch in rest.seen), "the rest is cut into the same batches"
    hashes = [FeatureStore(tmp_path / name).content_hash() for name in ("whole", "broken")]
    assert hashes[0] == hashes[1]


def test_several_workers_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BLOCK", 500)
    FeatureStore(tmp_path / "one").encode(Counting(), WORDS)
    many = Counting(workers=3)
    FeatureStore(tmp_path / "many").encode(many, WORDS)
    assert threading.get_ident() not in many.threads
    assert FeatureStore(tmp_path / "one").content_hash() == FeatureStore(tmp_path / "many").content_hash()


def test_writers_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "BLOCK", 100)
    errors: list[BaseException] = []

    def write(start: int) -> None:
        try:
            store = FeatureStore(tmp_path / "shared")
            for n in range(0, 120, 10):
                store.encode(Counting(), WORDS[start + n : start + n + 60])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 60, 120, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert FeatureStore(tmp_path / "shared").encode(Counting(), WORDS[:280]).encoded == 0
    FeatureStore(tmp_path / "alone").encode(Counting(), WORDS[:290])
    FeatureStore(tmp_path / "shared").encode(Counting(), WORDS[:290])
    assert FeatureStore(tmp_path / "shared").content_hash() == FeatureStore(tmp_path / "alone").content_hash()


def test_many_small_calls_are_merged(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    for word in WORDS[:40]:
        store.encode(Counting(), [word])
    assert len(list(tmp_path.rglob("*.safetensors"))) < 20
    assert FeatureStore(tmp_path).encode(Counting(), WORDS[:40]).encoded == 0


@pytest.mark.parametrize("whose", ["the file system's", "ours"])
def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    root = tmp_path / "store"
    before = FeatureStore(root).encode(Counting(), ["a"]).vectors()
    if whose == "ours":
        monkeypatch.setattr("melink.kb.disk.os.access", lambda path, mode: not Path(path).is_relative_to(root))
    elif os.geteuid() == 0:
        pytest.skip("the superuser may write anywhere")
    else:
        root.chmod(0o500)
    files = sorted(root.rglob("*"))
    store = FeatureStore(root)
    assert np.array_equal(store.encode(Counting(), ["a"]).vectors(), before)
    table = store.encode(Counting(), ["a", "b"])
    assert table.present.all() and np.array_equal(table.vectors([0]), before)
    assert store.encode(Counting(), ["b"]).encoded == 0
    assert sorted(root.rglob("*")) == files
