"""What is read off a model's output: a pooled vector and token or patch vectors. Frozen and tuned encoders share it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

TextPooling = Literal["mean", "cls"]
ImagePooling = Literal["auto", "cls", "mean", "pooler"]

Forward = Callable[["Tensor", "Tensor"], tuple["Tensor", "Tensor"]]
"""(ids [n t], mask [n t]) → (global [n d], tokens [n t dt])."""
Look = Callable[["Tensor"], tuple["Tensor", "Tensor"]]
"""(pixels [n c h w]) → (global [n d], patches [n t dt])."""


def text_readout(model: Any, pooling: TextPooling) -> Forward:
    """Return how a text model is read: the mean of its last hidden states, or the first of them (``cls``)."""
    return partial(_text, model, pooling)


def image_readout(model: Any, pooling: ImagePooling) -> Look:
    """Return how a vision model is read; ``auto`` as :func:`image_pooling` says."""
    return partial(_image, model, image_pooling(model, pooling))


def image_pooling(model: Any, pooling: ImagePooling) -> ImagePooling:
    """Return the pooling that ``auto`` stands for: CLIP and SigLIP have one of their own, others a first vector."""
    if pooling != "auto":
        return pooling
    return "pooler" if "siglip" in model.config.model_type or "clip" in model.config.model_type else "cls"


def dual_text_readout(model: Any) -> Forward:
    """Return how the text side of a dual model is read: its projection, and its last hidden states."""
    return partial(_dual_text, model)


def dual_image_readout(model: Any) -> Look:
    """Return how the image side of a dual model is read: its projection, and its last hidden states."""
    return partial(_dual_image, model)


def padded_when_trained(model: Any) -> bool:
    """Tell whether a dual model was trained with every text padded to the limit and nothing masked, as SigLIP was."""
    return "siglip" in model.config.model_type


def _text(model: Any, pooling: str, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    if pooling == "cls":
        return hidden[:, 0], hidden
    weight = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weight).sum(1) / weight.sum(1), hidden


def _image(model: Any, pooling: str, pixels: Tensor) -> tuple[Tensor, Tensor]:
    out = model(pixel_values=pixels)
    hidden = out.last_hidden_state
    if hidden.dim() == 4:  # a convolutional map: every place is a patch, and there is no first vector
        hidden = hidden.flatten(2).transpose(1, 2)
        return hidden.mean(1), hidden
    if pooling == "pooler":
        return out.pooler_output, hidden
    return (hidden[:, 0] if pooling == "cls" else hidden.mean(1)), hidden


def _dual_text(model: Any, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    out = model.get_text_features(input_ids=ids, attention_mask=None if padded_when_trained(model) else mask)
    return out.pooler_output, out.last_hidden_state


def _dual_image(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    out = model.get_image_features(pixel_values=pixels)
    return out.pooler_output, out.last_hidden_state
