"""Settings of a language model: what is refused, and that no key can end up in a run file or a message."""

from __future__ import annotations

import pytest

from melink.config import load, parse
from melink.errors import ConfigError
from melink.rerank.settings import LLMSettings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "http://me:sk-secret@host/v1"),
        ("url", "https://host/v1?key=sk-secret"),
        ("url", "ftp://sk-secret/"),
        ("url", "file:///sk-secret"),
        ("url", "sk-secret"),
        ("key_env", "sk-secret"),
        ("key_env", "sksecret"),
        ("max_cost", -1),
        ("max_cost", 5),
        ("temperature", float("nan")),
        ("concurrency", 0),
        ("no_such_key", "sk-secret"),
    ],
)
def test_what_is_refused_is_named_but_not_shown(key: str, value: object) -> None:
    with pytest.raises(ConfigError) as told:
        parse(LLMSettings, {key: value})
    assert key in str(told.value) and "sk-secret" not in str(told.value) and "sksecret" not in str(told.value)
    cause = told.value.__cause__
    assert "sk-secret" not in str(cause) and "sksecret" not in str(cause)


def test_overrides_reach_inside() -> None:
    settings = load(LLMSettings, None, ["url=http://h:1/v1/", "prices.input=0.5", "max_cost=2", "extra={top_p: 0.9}"])
    assert (settings.url, settings.server) == ("http://h:1/v1", "http://h:1/v1")
    assert (settings.prices.input, settings.prices.output, settings.extra) == (0.5, 0, {"top_p": 0.9})


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LLMSettings().key() == ""
    settings = LLMSettings(key_env="MY_KEY")
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        settings.key()
    monkeypatch.setenv("MY_KEY", " sk-secret\n")
    assert settings.key() == "sk-secret"
    assert "sk-secret" not in repr(settings) + settings.model_dump_json()
