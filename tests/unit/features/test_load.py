"""From what a user writes to an encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from melink import registry
from melink.errors import ConfigError, NotFound, NotInstalled
from melink.features import huggingface, minilm
from melink.features.catalogue import CARDS
from melink.features.load import load_image, load_pair, load_text, spec_of


def test_kind_is_found_from_the_configuration(tiny_bert: Path, tiny_vit: Path, tiny_clip: Path) -> None:
    assert load_text(str(tiny_bert)).modality == "text"
    assert load_image(str(tiny_vit)).modality == "image"
    text, image = load_pair(str(tiny_clip))
    assert (text.modality, image.modality) == ("text", "image") and text.space == image.space
    assert load_text(str(tiny_clip)).fingerprint == text.fingerprint
    assert load_image(f"hf-dual:{tiny_clip}").fingerprint == image.fingerprint


def test_options(tiny_bert: Path) -> None:
    plain, cls = load_text(str(tiny_bert)), load_text(f"hf-text:{tiny_bert}?pooling=cls&max_tokens=9")
    assert cls.fingerprint != plain.fingerprint and cls.sizes(["a" * 50]) == [9]


def test_an_embedded_encoder_takes_options() -> None:
    plain, cut = load_text("minilm"), load_text("minilm?max_tokens=40")
    assert cut.name == "minilm" and cut.sizes(["word " * 400]) == [40] and cut.fingerprint != plain.fingerprint
    assert load_text("minilm?max_tokens=256").fingerprint == plain.fingerprint


def test_options_of_a_dual_model(tiny_clip: Path) -> None:
    specs = [f"{tiny_clip}{query}" for query in ("", "?max_tokens=40", "?max_tokens=40&pad=keep", "?resize=squash")]
    pairs = [load_pair(spec) for spec in specs]
    for side in (0, 1):
        assert len({pair[side].fingerprint for pair in pairs}) == 4
    text, image = pairs[2]
    assert text.sizes(["a", None, "b" * 99]) == [40, 0, 40] and text.space == image.space
    assert load_text(f"{tiny_clip}?pad=mask&resize=own&max_tokens=77").fingerprint == pairs[0][0].fingerprint
    assert load_text(f"{tiny_clip}?max_tokens=500").sizes(["b" * 99]) == [77]  # the model has no more positions


def test_a_name_is_written_as_it_is_read(tiny_clip: Path) -> None:
    text = load_text(f"{tiny_clip}?max_tokens=40&pad=keep")
    again = load_text(spec_of(text.path, text.options))
    assert again.fingerprint == text.fingerprint and spec_of("minilm", {}) == "minilm"


def test_pairs(tiny_bert: Path) -> None:
    text, image = load_pair(f"{tiny_bert}+classical")
    assert text.dim == 32 and image.name == "classical" and text.space != image.space


@pytest.mark.parametrize(
    ("load", "spec", "error", "words"),
    [
        (load_text, "classical", ConfigError, "no text side"),
        (load_text, "", ConfigError, "minilm"),
        (load_text, "minilmm", NotFound, "did you mean 'minilm'"),
        (load_text, "hf-text", ConfigError, "hf-text:NAME"),
        (load_text, "minilm?colour=red", ConfigError, "known options"),
        (load_text, "minilm?max_tokens=few", ConfigError, "not a number"),
        (load_text, "minilm?max_tokens=2", ConfigError, "at least 3"),
        (load_text, "minilm?max_tokens=257", ConfigError, "at most 256"),
        (load_text, "minilm?pad=keep", ConfigError, "minilm does not take"),
        (load_image, "classical?resize=squash", ConfigError, "does not take"),
        (load_image, "classical?pooling=cls", ConfigError, "does not take"),
        (load_text, "nobody/such-a-model", NotFound, "local folder"),
    ],
)
def test_errors(load, spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        load(spec)


def test_wrong_values_of_a_dual_model(tiny_clip: Path, tiny_bert: Path) -> None:
    for query, words in (("pad=cut", "choose mask or keep"), ("resize=crop", "choose own or squash")):
        with pytest.raises(ConfigError, match=words):
            load_pair(f"{tiny_clip}?{query}")
    with pytest.raises(ConfigError, match="hf-dual does not take"):
        load_pair(f"{tiny_clip}?pooling=cls")
    with pytest.raises(ConfigError, match="hf-text does not take"):
        load_text(f"{tiny_bert}?resize=squash")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    with pytest.raises(NotInstalled, match=r"melink\[minilm\]"):
        load_text("minilm?device=cpu")  # with an option it is loaded anew
    monkeypatch.setattr(huggingface, "find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match=r"melink\[models\]"):
        load_text("some/model")


def test_the_catalogue_is_the_registry() -> None:
    assert [card.name for card in CARDS] == registry.names("encoder")
    for card in CARDS:
        if card.dim:
            encoder = load_text(card.name) if card.modality == "text" else load_image(card.name)
            assert (encoder.dim, encoder.token_dim, encoder.modality) == (card.dim, card.token_dim, card.modality)
            assert encoder.name == card.name
