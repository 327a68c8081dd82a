"""Which fault a reply means, how long to wait, and what is read out of a body."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest

from melink.rerank.budget import Meter, Use
from melink.rerank.faults import Fault, backoff, of_status, retry_after
from melink.rerank.reply import complaint, read_reply
from melink.rerank.scrub import Scrub
from melink.rerank.settings import LLMSettings, Prices


@pytest.mark.parametrize(
    ("status", "kind", "again", "fatal"),
    [
        (301, "refused", False, False), (400, "refused", False, False), (401, "unauthorized", False, True),
        (403, "unauthorized", False, True), (404, "refused", False, False), (408, "refused", False, False),
        (409, "refused", False, False), (422, "refused", False, False), (429, "rate_limited", True, False),
        (500, "server_error", True, False), (503, "server_error", True, False), (599, "server_error", True, False),
    ],
)  # fmt: skip
def test_status(status: int, kind: str, again: bool, fatal: bool) -> None:
    fault = of_status(status, {"retry-after": "7"}, "", "said")
    assert (fault.kind, fault.again, fault.fatal, fault.worked) == (kind, again, fatal, False)
    assert fault.wait == (7 if again else None)
    assert str(status) in fault.detail and "said" in fault.detail


def test_no_money_left_is_not_tried_again() -> None:
    fault = of_status(429, {}, "insufficient_quota", "")
    assert fault.fatal and not fault.again


def test_refusals_of_pictures_and_schemas() -> None:
    assert of_status(400, {}, "", "bad").refuses_pictures() and of_status(400, {}, "", "bad").refuses_schema()
    assert of_status(500, {}, "", "image input is not supported").refuses_pictures()
    assert not of_status(500, {}, "", "out of memory").refuses_pictures()
    assert not of_status(429, {}, "", "too many image requests").refuses_pictures()
    assert not Fault("connection", "image server is gone").refuses_pictures()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3), ("0.5", 0.5), ("-4", 0), ("", None), ("soon", None), ("nan", None), ("inf", None),
     ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("9" * 400, None)],
)  # fmt: skip
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_retry_after_as_a_date() -> None:
    assert 25 < (retry_after(formatdate(time.time() + 30, usegmt=True)) or 0) <= 31


def test_backoff_doubles_and_is_bounded() -> None:
    for attempt in range(8):
        waits = [backoff(attempt, 0.5, 10) for _ in range(50)]
        most = min(0.5 * 2**attempt, 10)
        assert most / 2 <= min(waits) < max(waits) <= most
    assert backoff(3, 0, 10) == 0


def test_complaints_are_one_clean_line_without_the_key() -> None:
    scrub = Scrub("sk-abc")
    for body in (
        {"error": {"message": "no\x1b[31m\r\nsk-abc", "code": "c"}}, {"error": "no\x1b[31m\r\nsk-abc"},
        {"message": "no\x1b[31m\r\nsk-abc"}, {"detail": "no\x1b[31m\r\nsk-abc"},
    ):  # fmt: skip
        assert complaint(json.dumps(body).encode(), scrub)[1] == "no [31m [key]"
    assert complaint(b"<html>sk-abc" + b"x" * 5000, scrub)[1].startswith("<html>[key]")
    assert len(complaint(b"y" * 5000, scrub)[1]) == 300
    assert complaint(b"[]", scrub) == ("", "")


def test_an_answer_in_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "other"}, {"type": "text", "text": "b\ud800"}, 3]
    body = {"choices": [{"message": {"content": parts}, "finish_reason": "length"}]}
    reply = read_reply(json.dumps(body).encode(), Scrub(""))
    assert (reply.text, reply.cut, reply.counts) == ("ab?", True, None)


def test_counts() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 99}}
    body = {"choices": [{"message": {"content": "x"}}], "usage": usage}
    assert read_reply(json.dumps(body).encode(), Scrub("")).counts == (10, 2, 10)


def test_cost_of_reused_tokens() -> None:
    use = Use(1000, 100, 800)
    assert Meter(LLMSettings(prices=Prices(input=2, output=10))).cost(use) == pytest.approx(0.003)
    cheap = Meter(LLMSettings(prices=Prices(input=2, output=10, reused=0.5)))
    assert cheap.cost(use) == pytest.approx((200 * 2 + 800 * 0.5 + 100 * 10) / 1e6)


def test_estimates_are_set_aside() -> None:
    meter = Meter(LLMSettings(max_tokens=250))
    first = Use(60, 40, estimated=True)
    assert meter.set_aside(first) is True
    assert meter.set_aside(Use(60, 40)) is True
    assert meter.set_aside(Use(60, 40)) is None
    meter.settle(first, Use(10, 5))
    assert meter.set_aside(Use(60, 40)) is True
    for each in (Use(60, 40), Use(60, 40)):
        meter.settle(each, each)
    assert meter.set_aside(Use(60, 40)) is False
    assert meter.exhausted == "max_tokens is 250" and meter.set_aside(Use(1, 1)) is False
    assert (meter.tally.requests, meter.tally.tokens) == (3, 215)
    assert "3 requests" in str(meter.tally) and meter.tally.to_dict()["tokens_in"] == 130
