"""Hugging Face models by name or local path: text, vision, and dual (CLIP, SigLIP) encoders.

Only ``safetensors`` weights are read and no remote code is run. A checkpoint that lacks weights which the features
depend on is refused: the library would fill them with random numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal

from melink.errors import ConfigError, InputError, NotFound, NotInstalled
from melink.features.encoder import FORMAT
from melink.features.pixels import Pixels, Resize
from melink.features.readout import (
    ImagePooling,
    TextPooling,
    dual_image_readout,
    dual_text_readout,
    image_pooling,
    image_readout,
    padded_when_trained,
    text_readout,
)
from melink.features.towers import ImageTower, Origin, Padding, TextTower

Pad = Literal["mask", "keep"]
"""Whether the hidden states of padding are masked, or kept as if they were tokens."""


class HFText(TextTower):
    """A text encoder such as BERT or a sentence-transformer.

    Args:
        path: Hub name or local folder.
        pooling: ``mean`` of all token vectors, or the first one (``cls``).
        max_tokens: Longer texts are cut; by default what the model allows.
        device: ``cpu``, ``cuda`` …; by default the accelerator when there is one.
        name: What reports call it; ``path`` when not given.

    Raises:
        NotInstalled: torch or transformers is missing.
        NotFound: No such model here, and the hub cannot be reached.
    """

    def __init__(
        self,
        path: str,
        pooling: TextPooling = "mean",
        max_tokens: int | None = None,
        device: str | None = None,
        name: str | None = None,
    ) -> None:
        if pooling not in ("mean", "cls"):
            raise ConfigError(f"{path}: unknown pooling {pooling!r} for text", "choose mean or cls")
        device = device or best_device()
        model, missing = load_model(path, device)
        tokenizer = load_tokenizer(path)
        limit = max_tokens or token_limit(tokenizer, model.config)
        preprocessing = {"tokenizer": tokenizer_state(tokenizer), "pooling": pooling, "max_tokens": limit}
        print_ = fingerprint(model, preprocessing, missing)
        super().__init__(
            name or path,
            tokenizer,
            text_readout(model, pooling),
            device,
            limit,
            "longest",
            print_,
            f"text:{print_}",
            Origin(path, "text", {"pooling": pooling, "max_tokens": limit}),
        )


class HFImage(ImageTower):
    """A vision encoder such as ViT, DINOv2 or ResNet.

    Args:
        path: Hub name or local folder.
        pooling: ``cls`` (first vector), ``mean``, ``pooler`` (the model's own), or ``auto`` (by architecture).
        device: As for :class:`HFText`.
        name: As for :class:`HFText`.

    Raises:
        NotInstalled: torch or transformers is missing.
        NotFound: No such model here, and the hub cannot be reached.
    """

    def __init__(
        self, path: str, pooling: ImagePooling = "auto", device: str | None = None, name: str | None = None
    ) -> None:
        if pooling not in ("auto", "cls", "mean", "pooler"):
            raise ConfigError(f"{path}: unknown pooling {pooling!r} for pictures", "choose auto, cls, mean or pooler")
        device = device or best_device()
        model, missing = load_model(path, device)
        processor = load_processor(path)
        pooling = image_pooling(model, pooling)
        print_ = fingerprint(model, {"processor": processor.to_dict(), "pooling": pooling}, missing)
        origin = Origin(path, "image", {"pooling": pooling})
        look = image_readout(model, pooling)
        super().__init__(name or path, Pixels(processor), look, device, print_, f"image:{print_}", origin)


class HFDual:
    """CLIP, SigLIP and the like: two encoders, ``text`` and ``image``, whose vectors share one space.

    Args:
        path: Hub name or local folder.
        device: As for :class:`HFText`.
        name: As for :class:`HFText`.
        max_tokens: Longer texts are cut; by default, and at most, what the model allows.
        pad: ``keep`` pads every text to ``max_tokens`` and gives the hidden states of padding as if they were tokens,
            though the model itself masks it: what published MIMIC checkpoints were trained on.
        resize: ``squash`` resizes to the model's square by Lanczos and crops nothing, as there.

    Raises:
        NotInstalled: torch or transformers is missing.
        NotFound: No such model here, and the hub cannot be reached.
        ConfigError: No such choice.
    """

    def __init__(
        self,
        path: str,
        device: str | None = None,
        name: str | None = None,
        max_tokens: int | None = None,
        pad: Pad = "mask",
        resize: Resize = "own",
    ) -> None:
        check_dual(path, pad, resize)
        device = device or best_device()
        model, missing = load_model(path, device)
        tokenizer, processor = load_tokenizer(path), load_processor(path)
        limit = dual_limit(tokenizer, model, max_tokens)
        settings = {"tokenizer": tokenizer_state(tokenizer), "processor": processor.to_dict(), "max_tokens": limit}
        settings |= {"pad": pad} if pad != "mask" else {}  # absent as ever, so that kept features stay valid
        settings |= {"resize": resize} if resize != "own" else {}
        print_ = fingerprint(model, settings, missing)
        name, space = name or path, f"dual:{print_}"
        origin = Origin(path, "dual", {"max_tokens": limit, "pad": pad, "resize": resize})
        padding = dual_padding(model, pad)
        read, look = dual_text_readout(model), dual_image_readout(model)
        self.text = TextTower(f"{name} text", tokenizer, read, device, limit, padding, f"{print_}-text", space, origin)
        self.image = ImageTower(
            f"{name} image", Pixels(processor, resize), look, device, f"{print_}-image", space, origin
        )


def check_dual(path: str, pad: str, resize: str) -> None:
    """Check the options of a dual model.

    Raises:
        ConfigError: No such choice.
    """
    if pad not in ("mask", "keep"):
        raise ConfigError(f"{path}: unknown pad {pad!r}", "choose mask or keep")
    if resize not in ("own", "squash"):
        raise ConfigError(f"{path}: unknown resize {resize!r}", "choose own or squash")


def dual_limit(tokenizer: Any, model: Any, max_tokens: int | None) -> int:
    """Return how many tokens of a text a dual model is given."""
    limit = token_limit(tokenizer, model.config.text_config)
    return min(max_tokens or limit, limit)


def dual_padding(model: Any, pad: Pad) -> Padding:
    """Return how texts are padded for a dual model."""
    if pad == "keep":
        return "keep"
    return "fixed" if padded_when_trained(model) else "longest"


def load_model(path: str, device: str) -> tuple[Any, set[str]]:
    """Load a model for inference, with the names of unused weights that the checkpoint lacks.

    Raises:
        InputError: The checkpoint lacks weights that the features depend on.
        NotFound: See :class:`HFText`.
    """
    need_torch()
    from transformers import AutoModel

    with hub(path):
        model, info = AutoModel.from_pretrained(
            path, attn_implementation=_attention(path), use_safetensors=True, output_loading_info=True, dtype="float32"
        )
    missing = set(info["missing_keys"])
    needed = sorted(key for key in missing if "pooler" not in key)
    if needed:
        raise InputError(
            f"{path}: the checkpoint lacks {len(needed)} weights, such as {needed[0]}",
            "use a complete checkpoint of this architecture",
        )
    return model.eval().requires_grad_(False).to(device), missing


def _attention(path: str) -> str | None:
    """Ask for fused attention where the architecture has it; None lets the library choose."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    kind = MODEL_MAPPING.get(type(AutoConfig.from_pretrained(path)), None)
    kind = kind[0] if isinstance(kind, tuple) else kind
    return "sdpa" if getattr(kind, "_supports_sdpa", False) else None


def load_tokenizer(path: str) -> Any:
    """Load a tokenizer."""
    from transformers import AutoTokenizer

    with hub(path):
        return AutoTokenizer.from_pretrained(path)


def load_processor(path: str) -> Any:
    """Load an image processor with the Pillow backend, whose pixels need no torchvision."""
    from transformers import AutoImageProcessor

    with hub(path):
        return AutoImageProcessor.from_pretrained(path, backend="pil")


@contextmanager
def hub(path: str) -> Iterator[None]:
    """Load something without bars and chatter, and say what to do when it is not there."""
    try:
        with quiet():
            yield
    except (OSError, ValueError, KeyError) as error:
        offline = " (offline mode is on: HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE", "0") != "0" else ""
        reason = str(error).strip().split("\n")[0]
        raise NotFound(
            f"model {path!r} could not be loaded{offline}: {reason}",
            "give the path of a local folder with config.json and model.safetensors, or use 'minilm' or 'classical'",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Let transformers work without bars and chatter."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def need_torch() -> None:
    """Check that the ``models`` extra is installed.

    Raises:
        NotInstalled: It is not.
    """
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise NotInstalled(package, "models")


def best_device() -> str:
    """Return ``cuda`` when an accelerator is there, else ``cpu``."""
    need_torch()
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def token_limit(tokenizer: Any, config: Any) -> int:
    """Return how many tokens a text model takes."""
    positions = int(getattr(config, "max_position_embeddings", 0) or 512)
    return min(int(tokenizer.model_max_length), positions)


def tokenizer_state(tokenizer: Any) -> str:
    """Return what decides how a tokenizer splits, without the padding and truncation of the moment."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps(sorted(tokenizer.get_vocab().items()))
    state = json.loads(backend.to_str())
    return json.dumps({key: value for key, value in state.items() if key not in ("padding", "truncation")})


def fingerprint(model: Any, preprocessing: dict[str, Any], ignore: set[str]) -> str:
    """Hash weights, configuration and preprocessing.

    Args:
        model: The loaded model.
        preprocessing: Whatever else the features depend on.
        ignore: Weights that the features do not depend on.
    """
    digest = hashlib.sha256(f"melink features {FORMAT}".encode())
    volatile = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "_attn_implementation"}
    config = {key: value for key, value in model.config.to_diff_dict().items() if key not in volatile}
    digest.update(json.dumps([config, preprocessing], sort_keys=True, default=str).encode())
    for key, value in sorted(model.state_dict().items()):
        if key not in ignore:
            digest.update(f"{key} {tuple(value.shape)}".encode())
            digest.update(memoryview(value.cpu().contiguous().numpy()).cast("B"))
    return digest.hexdigest()
