"""What decided: the part whose contribution separates the first candidate from its best rival."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from melink.links import decisive_part
from melink.records import Link, Scored

KINDS: Final = ("name", "text", "image", "triple", "cross", "other")
_IMAGE: Final = frozenset({"image", "images", "img", "vision", "visual", "picture", "vv", "face", "faces", "regions"})
_TEXT: Final = frozenset({"text", "tt", "sentence", "description", "lexical"})
_TRIPLE: Final = frozenset({"triple", "triples", "fact", "facts", "kg"})
_NAME: Final = frozenset({"name", "names", "alias", "surface"})


@dataclass(frozen=True, slots=True)
class Decision:
    """Why the first candidate is first.

    Attributes:
        part: Name of the part, or empty when there is no rival or no difference.
        kind: One of :data:`KINDS`, ``nil``, ``only`` (no rival), ``tie``, ``none`` (no candidate), or ``rerank``: a
            reranker put it there, and ``rival`` is whom the scores put first.
        difference: How much more the part gives to the first than to the second.
        rival: The second.
        without: Who would be first of the listed candidates if the part did not exist; None when nothing changes.
    """

    part: str
    kind: str
    difference: float = 0.0
    rival: Scored | None = None
    without: Scored | None = None


def decide(link: Link) -> Decision:
    """Return what decided a link."""
    if link.nil:
        return Decision("", "nil")
    if not link.candidates:
        return Decision("", "none")
    if len(link.candidates) == 1:
        return Decision("", "only")
    first, second = link.candidates[:2]
    if "reranked_by" in first.evidence:
        return Decision("", "rerank", 0.0, max(link.candidates, key=lambda candidate: candidate.score))
    part, difference = decisive_part(first, second)
    if difference <= 0:
        return Decision("", "tie", 0.0, second)
    return Decision(part, kind_of(part), difference, second, _without(link, part))


def kind_of(part: str) -> str:
    """Return the kind of a part by the words of its name; ``cross`` compares text with pictures."""
    words = frozenset(re.split(r"[^a-z]+", part.lower()))
    image, text = bool(words & _IMAGE), bool(words & _TEXT)
    if words & {"tv", "vt", "cross"} or (image and text):
        return "cross"
    kinds = {"image": image, "triple": bool(words & _TRIPLE), "name": bool(words & _NAME), "text": text}
    return next((kind for kind, there in kinds.items() if there), "other")


def _without(link: Link, part: str) -> Scored | None:
    others = max(link.candidates, key=lambda candidate: candidate.score - candidate.parts.get(part, 0.0))
    return None if others.id == link.candidates[0].id else others
