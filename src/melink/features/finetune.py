"""Hugging Face encoders whose last blocks, or all of them, can be trained: text, image, and both at once.

Blocks are the longest list of equal layers of a model (of a dual model: of each side). Training ``blocks=2`` leaves
word vectors, patch vectors and the lower blocks as they are, which costs half the time and a third of the memory of
training everything. All give what the frozen encoder of the same name and options gives; :func:`twin` makes one of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from melink.errors import ConfigError, Problems
from melink.features.encoder import Encoder
from melink.features.huggingface import (
    Pad,
    check_dual,
    dual_limit,
    dual_padding,
    load_model,
    load_processor,
    load_tokenizer,
    quiet,
    token_limit,
)
from melink.features.pixels import Pixels, Resize
from melink.features.readout import (
    ImagePooling,
    TextPooling,
    dual_image_readout,
    dual_text_readout,
    image_pooling,
    image_readout,
    text_readout,
)
from melink.features.sides import Both, ImageSide, Pictures, TextSide
from melink.kb.disk import storing

Blocks = int | Literal["all"]
FROZEN = "set settings.tune=0 to train on its cached features"


class TunableText(nn.Module):
    """Text in, pooled and L2-normalised vectors out, with gradients.

    Args:
        path: Hub name or local folder.
        blocks: How many of the last blocks are trained; ``all`` trains the word vectors too.
        pooling: ``mean`` of all token vectors, or the first one (``cls``).
        max_tokens: Longer texts are cut; by default, and at most, what the model allows.
        device: Where it runs at first; the trainer may move it.

    Attributes:
        options: What the frozen encoder of the saved folder must be told to read as this one does.

    Raises:
        NotInstalled, NotFound, InputError: As :class:`~melink.features.huggingface.HFText`.
        ConfigError: The model has fewer blocks, or is a dual one.
    """

    def __init__(
        self,
        path: str,
        blocks: Blocks = "all",
        pooling: TextPooling = "mean",
        max_tokens: int | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        self.model, _ = load_model(path, device)
        if hasattr(self.model.config, "vision_config"):
            raise ConfigError(f"{path} sees pictures too: it cannot be tuned as a text encoder alone", FROZEN)
        tokenizer = load_tokenizer(path)
        limit = token_limit(tokenizer, self.model.config)
        self.max_tokens = min(max_tokens or limit, limit)
        self.options: dict[str, Any] = {"pooling": pooling, "max_tokens": self.max_tokens}
        self.side = TextSide(self.model, text_readout(self.model, pooling), tokenizer, self.max_tokens)
        _unfreeze([self.model], blocks, path)
        _freeze_pooler(self.model)

    @property
    def dim(self) -> int:
        """Width of a pooled vector."""
        return self.side.dim

    @property
    def token_dim(self) -> int:
        """Width of a token vector."""
        return self.side.token_dim

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return token ids; see :meth:`~melink.features.sides.TextSide.tokenize`."""
        return self.side.tokenize(texts)

    def forward(self, ids: Sequence[Sequence[int]]) -> Float[Tensor, "n d"]:
        """Return pooled vectors; see :class:`~melink.features.sides.TextSide`."""
        return self.side(ids)

    def both(self, ids: Sequence[Sequence[int]]) -> Both:
        """Return pooled and token vectors and the mask; see :meth:`~melink.features.sides.TextSide.both`."""
        return self.side.both(ids)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as a folder that ``from_pretrained`` and melink's encoders read.

        Raises:
            StoreError: The folder cannot be written.
        """
        with storing(folder), quiet():
            _save_text(self.model, self.side, folder)


class TunableImage(nn.Module):
    """Pictures in, pooled and L2-normalised vectors out, with gradients.

    Args:
        path: Hub name or local folder.
        blocks: How many of the last blocks are trained; ``all`` trains the patch vectors too.
        pooling: As for :class:`~melink.features.huggingface.HFImage`.
        device: Where it runs at first; the trainer may move it.

    Attributes:
        options: As for :class:`TunableText`.

    Raises:
        NotInstalled, NotFound, InputError: As :class:`~melink.features.huggingface.HFImage`.
        ConfigError: The model has fewer blocks, or is a dual one.
    """

    def __init__(self, path: str, blocks: Blocks = "all", pooling: ImagePooling = "auto", device: str = "cpu") -> None:
        super().__init__()
        self.model, _ = load_model(path, device)
        if hasattr(self.model.config, "text_config"):
            raise ConfigError(f"{path} reads text too: it cannot be tuned as an image encoder alone", FROZEN)
        self._processor = load_processor(path)
        pooling = image_pooling(self.model, pooling)
        self.options: dict[str, Any] = {"pooling": pooling}
        self.side = ImageSide(self.model, image_readout(self.model, pooling), Pixels(self._processor))
        _unfreeze([self.model], blocks, path)
        if pooling != "pooler":
            _freeze_pooler(self.model)

    @property
    def dim(self) -> int:
        """Width of a pooled vector."""
        return self.side.dim

    @property
    def token_dim(self) -> int:
        """Width of a patch vector."""
        return self.side.token_dim

    def prepare(self, items: Sequence[Image.Image | str | Path | None], problems: Problems | None = None) -> Pictures:
        """Read and resize pictures; see :meth:`~melink.features.sides.ImageSide.prepare`."""
        return self.side.prepare(items, problems)

    def forward(self, pictures: Pictures) -> Float[Tensor, "n d"]:
        """Return pooled vectors; see :class:`~melink.features.sides.ImageSide`."""
        return self.side(pictures)

    def both(self, pictures: Pictures) -> Both:
        """Return pooled and patch vectors and the mask; see :meth:`~melink.features.sides.ImageSide.both`."""
        return self.side.both(pictures)

    def save(self, folder: Path) -> None:
        """Write model and processor as a folder that ``from_pretrained`` and melink's encoders read.

        Raises:
            StoreError: The folder cannot be written.
        """
        with storing(folder), quiet():
            self.model.save_pretrained(folder)
            self._processor.save_pretrained(folder)


class TunableDual(nn.Module):
    """CLIP, SigLIP and the like with gradients; the model is held once, its sides are called by themselves.

    Args:
        path: Hub name or local folder.
        blocks: How many of the last blocks of each side are trained; ``all`` trains everything but the scale of its
            own loss.
        max_tokens: As for :class:`~melink.features.huggingface.HFDual`.
        pad: As there.
        resize: As there.
        device: Where it runs at first; the trainer may move it.

    Attributes:
        text: Token ids → vectors.
        image: Pictures → vectors.
        options: As for :class:`TunableText`.

    Raises:
        NotInstalled, NotFound, InputError: As :class:`~melink.features.huggingface.HFDual`.
        ConfigError: No such choice, or a side has fewer blocks.
    """

    def __init__(
        self,
        path: str,
        blocks: Blocks = "all",
        max_tokens: int | None = None,
        pad: Pad = "mask",
        resize: Resize = "own",
        device: str = "cpu",
    ) -> None:
        super().__init__()
        check_dual(path, pad, resize)
        self.model, _ = load_model(path, device)
        tokenizer, self._processor = load_tokenizer(path), load_processor(path)
        limit = dual_limit(tokenizer, self.model, max_tokens)
        self.options: dict[str, Any] = {"max_tokens": limit, "pad": pad, "resize": resize}
        read, look = dual_text_readout(self.model), dual_image_readout(self.model)
        self.text = TextSide(self.model, read, tokenizer, limit, dual_padding(self.model, pad))
        self.image = ImageSide(self.model, look, Pixels(self._processor, resize))
        _unfreeze([self.model.text_model, self.model.vision_model], blocks, path)
        if blocks == "all":
            self.model.requires_grad_(True)
            for name in ("logit_scale", "logit_bias"):  # no feature depends on them
                if hasattr(self.model, name):
                    getattr(self.model, name).requires_grad_(False)

    def save(self, folder: Path) -> None:
        """Write model, tokenizer and processor as a folder that ``load_pair`` reads.

        Raises:
            StoreError: The folder cannot be written.
        """
        with storing(folder), quiet():
            _save_text(self.model, self.text, folder)
            self._processor.save_pretrained(folder)


def twin(encoder: Encoder, blocks: Blocks, device: str = "cpu") -> TunableText | TunableImage | TunableDual:
    """Return what a frozen encoder gives, with gradients; for either side of a dual model, the whole of it.

    Raises:
        ConfigError: It is not a Hugging Face model, or has fewer blocks.
    """
    path, kind, options = (getattr(encoder, name, None) for name in ("path", "kind", "options"))
    if path is None or options is None:
        raise ConfigError(f"{encoder.name} cannot be tuned", FROZEN)
    if kind == "dual":
        return TunableDual(path, blocks, **options, device=device)
    return (TunableText if kind == "text" else TunableImage)(path, blocks, **options, device=device)


def _save_text(model: Any, side: TextSide, folder: Path) -> None:
    side.tokenizer.model_max_length = side.max_tokens
    model.save_pretrained(folder)
    side.tokenizer.save_pretrained(folder)


def _freeze_pooler(model: Any) -> None:
    if getattr(model, "pooler", None) is not None:
        model.pooler.requires_grad_(False)  # its output is not read


def _unfreeze(models: Sequence[Any], blocks: Blocks, path: str) -> None:
    for model in models:
        if blocks == "all":
            model.requires_grad_(True)
            continue
        lists = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
        layers: list[nn.Module] = max(lists, key=len, default=[])
        if blocks > len(layers):
            raise ConfigError(f"{path} has {len(layers)} blocks, not {blocks}", "lower settings.tune, or set it to all")
        model.requires_grad_(False)
        for layer in layers[len(layers) - blocks :]:
            layer.requires_grad_(True)
