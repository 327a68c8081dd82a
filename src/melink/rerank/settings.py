"""What a user sets about a language model: where it is, how it is asked, what it may cost."""

from __future__ import annotations

import os
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from melink.config import Config
from melink.errors import ConfigError


class Prices(Config):
    """What a million tokens cost, in any one currency.

    Attributes:
        input: Tokens of the prompt.
        output: Tokens of the answer.
        reused: Tokens of the prompt that the server had kept from an earlier one; ``input`` when None.
    """

    input: float = Field(default=0.0, ge=0)
    output: float = Field(default=0.0, ge=0)
    reused: float | None = Field(default=None, ge=0)


class LLMSettings(Config):
    """A language model behind an OpenAI-compatible server.

    Attributes:
        url: Base address, ending in ``/v1`` for most servers; no key in it.
        model: Name the server knows the model by.
        key_env: NAME of the environment variable that holds the key; empty for a server that wants none.
        identity: Stands for ``url`` in the cache, for a server that moves; ``url`` when empty.
        temperature: Not sent when None.
        seed: Not sent when None.
        answer_tokens: Longest answer, unless a request says otherwise.
        length_parameter: What the server calls ``answer_tokens``.
        extra: Further fields of the request, such as ``{"top_p": 0.9}``.
        structured: Hold the answer to the request's JSON schema: where the server can, always, or never.
        images: Send pictures and fall back to text where the server refuses them; fail such rows; or send none.
        picture_side: Longest side of a picture that is sent, in pixels.
        picture_bytes: Most bytes of a picture that is sent.
        concurrency: Requests under way at a time.
        timeout: Seconds for one request, from sending to the last byte.
        retries: Further attempts after 429, 5xx, a lost connection or a broken body.
        first_wait: Seconds before the first further attempt; doubled each time, less up to half by chance.
        longest_wait: Most seconds to wait; a server that asks for more ends the row.
        give_up_after: So many rows in a row without an answer stop the batch.
        grace: Seconds that Ctrl-C leaves to requests under way.
        reply_bytes: Most bytes of a reply.
        offline: Answer from the cache alone.
        prices: See :class:`Prices`.
        max_requests: Most HTTP requests of a run, further attempts included.
        max_cost: Most that a run may cost, in the unit of ``prices``.
        max_tokens: Most tokens of a run, prompts and answers together.
    """

    url: str = "http://127.0.0.1:8080/v1"
    model: str = "default"
    key_env: str = Field(default="", pattern=r"^([A-Z_][A-Z0-9_]{0,63})?$")
    identity: str = ""
    temperature: float | None = Field(default=0.0, ge=0, allow_inf_nan=False)
    seed: int | None = 0
    answer_tokens: int = Field(default=256, ge=1)
    length_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: dict[str, Any] = Field(default_factory=dict)
    structured: Literal["auto", "always", "never"] = "auto"
    images: Literal["auto", "require", "never"] = "auto"
    picture_side: int = Field(default=768, ge=16, le=8192)
    picture_bytes: int = Field(default=1_000_000, ge=2_000)
    concurrency: int = Field(default=4, ge=1, le=256)
    timeout: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    retries: int = Field(default=4, ge=0, le=20)
    first_wait: float = Field(default=0.5, ge=0)
    longest_wait: float = Field(default=60.0, ge=0)
    give_up_after: int = Field(default=20, ge=1)
    grace: float = Field(default=5.0, ge=0)
    reply_bytes: int = Field(default=8_000_000, ge=1_000)
    offline: bool = False
    prices: Prices = Prices()
    max_requests: int | None = Field(default=None, ge=0)
    max_cost: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=0)

    @field_validator("url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must begin with http:// or https:// and name a host")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must hold no user, key, query or fragment: put the key into the variable of key_env")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _affordable(self) -> LLMSettings:
        if self.max_cost is not None and not (self.prices.input or self.prices.output):
            raise ValueError("max_cost needs prices.input and prices.output, or it would never be reached")
        return self

    @property
    def server(self) -> str:
        """What answers, for the cache: never a key."""
        return self.identity or self.url

    def key(self) -> str:
        """Return the key from the environment, empty where none is wanted.

        Raises:
            ConfigError: The variable is not set.
        """
        if not self.key_env:
            return ""
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise ConfigError(
                f"the environment variable {self.key_env} is not set",
                f"export {self.key_env}=…, or set key_env to '' for a server that wants no key",
            )
        return key
