"""The language-model client against a real small model behind a real server. It proves the way, not the wit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from melink.records import Mention
from melink.rerank.choice import Choices
from melink.rerank.llm import LanguageModel, LLMSettings, Picture, Request
from melink.rerank.prompt import entry, sentence, user_turn

pytestmark = pytest.mark.slow
LANDS = {"Q230": "country in the Caucasus", "Q1428": "state of the USA", "Q1": "a given name"}


def question(sentence_: str, ranked: bool = False, schema: bool = True) -> tuple[Choices, Request]:
    choices = Choices.offer(list(LANDS), [*LANDS.values(), sentence_])
    blocks = [entry(choices.local(id), "Georgia", {"description": text}) for id, text in LANDS.items()]
    form = choices.schema_of_all() if ranked else choices.schema_of_one()
    parts = user_turn(blocks, sentence(Mention("1", sentence_, "Georgia")))
    rules = "Which candidate is meant? Answer with its id only."
    return choices, Request(parts, rules, form if schema else None, answer_tokens=60)


@pytest.fixture
def settings(language_model: str) -> LLMSettings:
    return LLMSettings(url=language_model, model="smollm2", concurrency=2, timeout=120, identity="smollm2")


def test_choices_under_a_schema_are_always_valid_and_are_paid_once(settings: LLMSettings, tmp_path: Path) -> None:
    rows = [question(f"{place} is in Georgia.") for place in ("Tbilisi", "Atlanta")]
    rows.append(question("Georgia sings.", ranked=True))
    with LanguageModel(settings, tmp_path / "a.sqlite") as model:
        answers = model.ask_all(request for _, request in rows)
        assert model.tally.unstructured == 0 and model.tally.tokens_in > 150
    assert all(answer.ok and answer.structured and 0 < answer.tokens_out <= 60 for answer in answers)
    assert all(choices.one(answer.text) in LANDS for (choices, _), answer in zip(rows[:2], answers[:2], strict=True))
    assert sorted(rows[2][0].ranked(answers[2].text) or []) == sorted(LANDS)

    offline = settings.model_copy(update={"offline": True, "url": "http://127.0.0.1:9/v1"})
    with LanguageModel(offline, tmp_path / "a.sqlite") as model:
        assert [answer.text for answer in model.ask_all(r for _, r in rows)] == [answer.text for answer in answers]
        assert (model.tally.cached, model.tally.requests) == (3, 0)


def test_free_text_is_a_choice_or_nothing(settings: LLMSettings) -> None:
    choices, request = question("Tbilisi is in Georgia.", schema=False)
    with LanguageModel(settings) as model:
        answer = model.ask(request)
    assert answer.ok and not answer.structured
    assert choices.one(answer.text) in {None, *LANDS}


def test_a_text_model_refuses_pictures(settings: LLMSettings, picture: Callable[[str, int], str]) -> None:
    request = Request((Picture(picture("a.png", 1)), "What is this?"), answer_tokens=4)
    with LanguageModel(settings) as model:
        answer = model.ask(request)
        assert answer.ok and answer.text_only and model.tally.text_only == 1
    with LanguageModel(settings.model_copy(update={"images": "require", "retries": 0})) as model:
        assert model.ask(request).failure == "server_error"


def test_a_prompt_that_is_too_long_is_one_failed_row(settings: LLMSettings) -> None:
    with LanguageModel(settings) as model:
        answers = model.ask_all([Request(("word " * 6000,)), Request(("Say yes.",), answer_tokens=2)])
    assert [answer.failure for answer in answers] == ["refused", None]
    assert model.tally.requests == 2
