"""Requests: what changes the key of the cache and what does not, and the body that is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from melink.rerank.request import Picture, Request, prepare
from melink.rerank.settings import LLMSettings

BASE = Request(("text",), system="rules", schema={"type": "object"})
SETTINGS = LLMSettings(model="m")


def key(request: Request = BASE, **changes: object) -> bytes:
    return prepare(request, LLMSettings.model_validate({"model": "m", **changes})).key


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://other/v1"}, {"model": "n"}, {"temperature": 0.5}, {"temperature": None}, {"seed": 1},
        {"answer_tokens": 8}, {"extra": {"top_p": 0.5}}, {"structured": "never"}, {"identity": "name"},
    ],
)  # fmt: skip
def test_what_may_change_the_answer_changes_the_key(changes: dict[str, object]) -> None:
    assert key(**changes) != key()


@pytest.mark.parametrize(
    "changes",
    [
        {"concurrency": 9}, {"timeout": 1}, {"retries": 0}, {"max_requests": 1}, {"key_env": "A"}, {"offline": True},
        {"prices": {"input": 1}}, {"images": "never"}, {"structured": "always"}, {"picture_side": 64},
    ],
)  # fmt: skip
def test_what_cannot_change_the_answer_leaves_the_key(changes: dict[str, object]) -> None:
    assert key(**changes) == key()


@pytest.mark.parametrize(
    "request_",
    [
        Request(("text!",), "rules", {"type": "object"}), Request(("te", "xt"), "rules", {"type": "object"}),
        Request(("text",), "rule", {"type": "object"}), Request(("text",), "rules"),
        Request(("text",), "rules", {"type": "array"}), Request(("text",), "rules", {"type": "object"}, 9),
        Request(("text",), "rules", {"type": "object"}, None, 1),
        Request(("text", Picture("absent.png")), "rules", {"type": "object"}),
    ],
)  # fmt: skip
def test_every_part_of_a_request_is_in_the_key(request_: Request) -> None:
    assert key(request_) != key()


def test_the_key_does_not_depend_on_the_order_of_a_schema() -> None:
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert key(Request(("x",), schema=one)) == key(Request(("x",), schema=other))


def test_a_server_that_moves_keeps_its_answers() -> None:
    assert key(url="http://a/v1", identity="x") == key(url="http://b/v1", identity="x")


def test_pictures_count_by_content(picture: Callable[[str, int], str], tmp_path: Path) -> None:
    first, other = picture("a.png", 1), picture("b.png", 2)
    (tmp_path / "copy.png").write_bytes(Path(first).read_bytes())
    keys = [key(Request((Picture(path),))) for path in (first, str(tmp_path / "copy.png"), other)]
    assert keys[0] == keys[1] != keys[2]
    assert key(Request((Picture(first),)), picture_side=64) != keys[0]
    assert key(Request((Picture(first),)), images="never") == key(Request(()))


def test_the_body() -> None:
    prepared = prepare(BASE, SETTINGS)
    body = prepared.body(pictures=True, schema=True)
    assert body.pop("messages") == [{"role": "system", "content": "rules"}, {"role": "user", "content": "text"}]
    form = body.pop("response_format")
    assert form["json_schema"] == {"name": "answer", "strict": True, "schema": {"type": "object"}}
    assert body == {"model": "m", "temperature": 0.0, "seed": 0, "max_tokens": 256}
    assert "response_format" not in prepared.body(pictures=True, schema=False)


def test_the_body_with_a_picture(picture: Callable[[str, int], str]) -> None:
    prepared = prepare(Request(("a", Picture(picture("a.png", 1)), "b"), answer_tokens=7), SETTINGS)
    content = prepared.body(pictures=True, schema=True)["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    assert prepared.body(pictures=False, schema=True)["messages"][0]["content"] == "a\nb"
    assert prepared.longest() == 7 and prepared.pictures == 1 and not prepared.dropped


def test_settings_name_the_length_as_the_server_does() -> None:
    settings = LLMSettings(length_parameter="max_completion_tokens", temperature=None, seed=None)
    prepared = prepare(BASE, settings)
    assert dict(prepared.fields) == {"model": "default", "max_completion_tokens": 256}
    assert prepared.longest() == 256


def test_broken_unicode_is_mended() -> None:
    assert prepare(Request(("a\ud800b",), "\udfff"), SETTINGS).body(True, True)["messages"][1]["content"] == "a?b"


def test_a_picture_that_cannot_be_made_small_enough(tmp_path: Path) -> None:
    from PIL import Image

    from melink.errors import BadImage
    from melink.rerank.pictures import show

    Image.effect_noise((400, 300), 90).save(tmp_path / "n.png")
    with pytest.raises(BadImage, match="too_large"):
        show(str(tmp_path / "n.png"), 400, 100)
    with pytest.raises(BadImage, match="missing"):
        show(str(tmp_path), 400, 10_000)
