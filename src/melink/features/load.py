"""From what a user writes to an encoder: a registered name, a Hugging Face name, or a local folder.

minilm                             the embedded text encoder
classical                          the embedded image encoder
openai/clip-vit-base-patch32       found out from its configuration: dual, vision or text
./my-bert?pooling=cls              options after a question mark: pooling, max_tokens, pad, resize, device
regions?encoder=classical&most=5   parts of a picture: encoder, detector, classes, score, most, fallback, device
faces?model=dlib                   faces: model, detector, classes, score, most, pixels, device
hf-text:NAME, hf-image:NAME, hf-dual:NAME      when the configuration alone does not tell
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from melink import registry
from melink.errors import ConfigError, NotFound
from melink.features.encoder import Encoder

_OPTIONS: Final = {
    "pooling": str, "max_tokens": int, "pad": str, "resize": str, "device": str,
    "encoder": str, "detector": str, "classes": str, "score": float, "most": int, "fallback": str,
    "model": str, "pixels": str,
}  # fmt: skip
_FEWEST: Final = 3
"""Tokens that hold a start, an end and something between."""


def load_text(spec: str) -> Encoder:
    """Load a text encoder.

    Args:
        spec: See the module.

    Raises:
        NotFound: Unknown name, or the hub cannot be reached.
        NotInstalled: An extra is missing.
        ConfigError: It has no text side, or an option is wrong.
    """
    return _side(spec, _load(spec), "text")


def load_image(spec: str) -> Encoder:
    """Load an image encoder; otherwise as :func:`load_text`."""
    return _side(spec, _load(spec), "image")


def load_pair(spec: str) -> tuple[Encoder, Encoder]:
    """Load a text and an image encoder.

    Args:
        spec: A dual model, or ``TEXT+IMAGE`` such as ``minilm+classical``.
    """
    text, plus, image = spec.partition("+")
    if plus:
        return load_text(text), load_image(image)
    both = _load(spec)
    return _side(spec, both, "text"), _side(spec, both, "image")


def spec_of(path: str, options: Mapping[str, Any]) -> str:
    """Write an encoder's path and options as a user would: ``./my-clip?max_tokens=40&pad=keep``."""
    return f"{path}?{urlencode(options)}" if options else path


def _side(spec: str, loaded: Any, modality: str) -> Encoder:
    side: Encoder | None = getattr(loaded, modality, None)
    if side is not None:
        return side
    if getattr(loaded, "modality", None) != modality:
        other = "minilm" if modality == "text" else "classical"
        raise ConfigError(
            f"{spec!r} has no {modality} side", f"name a {modality} encoder, such as {other}, or a dual one"
        )
    encoder: Encoder = loaded
    return encoder


def _load(spec: str) -> Any:
    head, _, query = spec.partition("?")
    options = _options(spec, query)
    if not head:
        raise ConfigError("no encoder named", f"choose one of {', '.join(registry.names('encoder'))}, or a model name")
    kind, colon, path = head.partition(":")
    if colon and kind in registry.names("encoder"):
        return _make(spec, kind, [path], options)
    if head in registry.names("encoder"):
        if head.startswith("hf-"):
            raise ConfigError(f"{head!r} needs a model", f"write {head}:NAME or {head}:FOLDER")
        return _make(spec, head, [], options) if options else _embedded(head)
    return _make(spec, _kind(head), [head], options)


@cache
def _embedded(name: str) -> Any:
    """Load an embedded encoder once: its weights cannot change while the program runs."""
    return _make(name, name, [], {})


def _make(spec: str, kind: str, arguments: list[str], options: dict[str, Any]) -> Any:
    try:
        return registry.load("encoder", kind)(*arguments, **options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise ConfigError(f"{spec!r}: {kind} does not take that option", "see melink encoders") from error


def _kind(path: str) -> str:
    """Find out from its configuration what a model is."""
    from melink.features.huggingface import hub, need_torch

    need_torch()
    from transformers import AutoConfig

    if "/" not in path and not Path(path).exists():
        raise NotFound.among("encoder", path, registry.names("encoder"))
    with hub(path):
        config = AutoConfig.from_pretrained(path)
    if hasattr(config, "text_config") and hasattr(config, "vision_config"):
        return "hf-dual"
    return "hf-image" if hasattr(config, "num_channels") or hasattr(config, "patch_size") else "hf-text"


def _options(spec: str, query: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _OPTIONS:
            raise ConfigError(f"{spec!r}: unknown option {key!r}", f"known options are: {', '.join(_OPTIONS)}")
        try:
            options[key] = _OPTIONS[key](value)
        except ValueError as error:
            raise ConfigError(
                f"{spec!r}: {key}={value!r} is not a number", "write for example max_tokens=64"
            ) from error
    if options.get("max_tokens", _FEWEST) < _FEWEST:
        raise ConfigError(f"{spec!r}: max_tokens must be at least {_FEWEST}", "write for example max_tokens=64")
    return options
