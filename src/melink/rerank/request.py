"""A request, its canonical form that the cache is keyed by, and the body that is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from melink.errors import BadImage
from melink.rerank.pictures import Shown, show
from melink.rerank.settings import LLMSettings

VERSION: Final = 1
"""Of the canonical form: another one asks everything anew."""
_BYTES_PER_TOKEN: Final = 3
_TOKENS_PER_PICTURE: Final = 1500
_TOKENS_PER_MESSAGE: Final = 16


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file that stands at this place of a request."""

    path: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model.

    Attributes:
        parts: The user's turn: texts and pictures in order. The same text first and what differs last lets servers
            reuse their work.
        system: The system turn; none when empty.
        schema: JSON schema that the answer should follow, or None for free text.
        answer_tokens: Longest answer; that of the settings when None.
        sample: Number of the answer, to ask the same thing several times.
        earlier: Turns before this one, the user's and the model's by turns; both are there or neither.
    """

    parts: tuple[str | Picture, ...]
    system: str = ""
    schema: Mapping[str, Any] | None = None
    answer_tokens: int | None = None
    sample: int = 0
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with its pictures read, ready to be looked up and sent.

    Attributes:
        key: Sha256 of the canonical form.
        system: As in the request, as valid Unicode.
        parts: Texts and pictures.
        schema: As in the request; None when the settings never send one.
        fields: Model, length and sampling: everything of the body but messages and schema.
        unreadable: Reason codes of pictures that could not be read.
        dropped: Pictures of the request are not sent: the settings say so, or none could be read.
        earlier: As in the request, as valid Unicode.
    """

    key: bytes
    system: str
    parts: tuple[str | Shown, ...]
    schema: Mapping[str, Any] | None
    fields: Mapping[str, Any]
    unreadable: tuple[str, ...]
    dropped: bool
    earlier: tuple[str, ...] = ()

    @property
    def pictures(self) -> int:
        """How many pictures can be sent."""
        return sum(isinstance(part, Shown) for part in self.parts)

    def estimate(self) -> int:
        """Return a generous estimate of the tokens of the prompt."""
        texts = [self.system, *self.earlier, *(part for part in self.parts if isinstance(part, str))]
        words = sum(len(text.encode()) for text in texts)
        return words // _BYTES_PER_TOKEN + _TOKENS_PER_PICTURE * self.pictures + _TOKENS_PER_MESSAGE

    def longest(self) -> int:
        """Return the most tokens of the answer."""
        return int(self.fields.get("max_tokens") or self.fields.get("max_completion_tokens") or 0)

    def body(self, pictures: bool, schema: bool) -> dict[str, Any]:
        """Return the JSON body of the HTTP request, with or without pictures and schema."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        roles = ("user", "assistant")
        before = [{"role": roles[place % 2], "content": text} for place, text in enumerate(self.earlier)]
        asked = {"role": "user", "content": self._content(pictures)}
        body = {**self.fields, "messages": [*system, *before, asked]}
        if schema and self.schema is not None:
            form = {"name": "answer", "strict": True, "schema": dict(self.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body

    def _content(self, pictures: bool) -> str | list[dict[str, Any]]:
        if not (pictures and self.pictures):
            return "\n".join(part for part in self.parts if isinstance(part, str))
        return [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else {"type": "image_url", "image_url": {"url": part.url}}
            for part in self.parts
        ]


def prepare(request: Request, settings: LLMSettings) -> Prepared:
    """Read the pictures of a request and work out its key. Pictures that cannot be read are left out and named."""
    parts: list[str | Shown] = []
    unreadable: list[str] = []
    had = sum(isinstance(part, Picture) for part in request.parts)
    for part in request.parts:
        if isinstance(part, str):
            parts.append(_valid(part))
        elif settings.images != "never":
            try:
                parts.append(show(part.path, settings.picture_side, settings.picture_bytes))
            except BadImage as error:
                unreadable.append(error.reason)
    fields: dict[str, Any] = {"model": settings.model}
    sampling = {"temperature": settings.temperature, "seed": settings.seed}
    fields |= {name: value for name, value in sampling.items() if value is not None} | settings.extra
    fields[settings.length_parameter] = request.answer_tokens or settings.answer_tokens
    schema = None if settings.structured == "never" else request.schema
    system = _valid(request.system)
    form = {
        "version": VERSION,
        "server": settings.server,
        "fields": fields,
        "system": system,
        "parts": [part if isinstance(part, str) else _picture(part, settings) for part in parts],
        "missing": sorted(unreadable),
        "schema": schema,
        "sample": request.sample,
    }
    earlier = tuple(map(_valid, request.earlier))
    if earlier:  # else the key is that of requests which were kept before there were dialogues
        form["earlier"] = earlier
    key = hashlib.sha256(orjson.dumps(form, option=orjson.OPT_SORT_KEYS)).digest()
    dropped = had > 0 and not any(isinstance(part, Shown) for part in parts)
    return Prepared(key, system, tuple(parts), schema, fields, tuple(unreadable), dropped, earlier)


def _picture(part: Shown, settings: LLMSettings) -> dict[str, Any]:
    return {"sha256": part.digest, "side": settings.picture_side, "bytes": settings.picture_bytes}


def _valid(text: str) -> str:
    """Replace lone surrogates, which no JSON can hold."""
    return text.encode("utf-8", "replace").decode()
