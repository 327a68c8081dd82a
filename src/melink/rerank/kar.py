"""KAR: a language model looks again at the top k of any ranking.

"KAR" is the reranker of the FissFuse paper (METHODS.md §5; docs/papers.md): k candidates with a local id, name and
description, the sentence and the mention go to a language model, which names one of them (``select_one``) or ranks them
all (``rank_topk``). The one that is named moves to the front and the others keep their order; ids that were not offered
count nothing, candidates that are not named come last, and an answer that names nobody changes nothing. The paper gives
fields, not wording: the wording, the several orders with a majority, and pictures are ours.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field

from melink.config import parse
from melink.methods.base import Context
from melink.records import Entity
from melink.rerank.answer import Answer
from melink.rerank.asking import DATA, SHOWN, Asker, AskSettings
from melink.rerank.base import Case, Look, Scope
from melink.rerank.choice import Choices
from melink.rerank.llm import LanguageModel, Request
from melink.rerank.prompt import entry, plain, sentence, user_turn
from melink.rerank.votes import arrangements, majority

_RULES: Final = {
    "select_one": (
        "You link names to the entries of a knowledge base. You get candidate entries, each with its id in square "
        "brackets, then a sentence and one mention in it. Decide which single candidate the mention means, by the "
        f"sentence and by what is known about each candidate. {DATA} "
        'Answer with the id of that candidate and nothing else: {"id": "…"}'
    ),
    "rank_topk": (
        "You link names to the entries of a knowledge base. You get candidate entries, each with its id in square "
        "brackets, then a sentence and one mention in it. Order all candidates by how likely the mention means them, "
        f"by the sentence and by what is known about each candidate. {DATA} "
        'Answer with the ids of all candidates, most likely first, and nothing else: {"ids": ["…", "…"]}'
    ),
}
_CLOSING: Final = {
    "select_one": "Which candidate does the mention mean? Answer with its id only.",
    "rank_topk": "Order the candidates, most likely first. Answer with their ids only.",
}


class KARSettings(AskSettings):
    """Settings of :class:`KAR`, with those of :class:`melink.rerank.asking.AskSettings`.

    Attributes:
        variant: Ask for one candidate, or for all in order.
        permutations: Ask with the candidates in so many orders and take the majority; at most ``2 * k``.
        order: Whether the best of the retrieval stands first or last in the first order.
        reads: What the model reads about a candidate.
        longest: Most characters of each of these.
        pictures: Show the picture of the mention to a model that reads pictures.
    """

    variant: Literal["select_one", "rank_topk"] = "select_one"
    permutations: int = Field(default=1, ge=1)
    order: Literal["best_first", "best_last"] = "best_first"
    reads: tuple[Literal["description", "attributes", "extract", "aliases", "types", "triples"], ...] = (
        "description",
        "attributes",
    )
    longest: int = Field(default=300, ge=20)
    pictures: bool = False


@dataclass(frozen=True, slots=True)
class _Prompt:
    """One request about a case: the entity at each of its places, and the ids that it offers."""

    request: Request
    choices: Choices
    place: Mapping[str, int]


class KAR:
    """Asks a language model which of the first k candidates is meant.

    Args:
        settings: What is asked, and whom.
        model: The language model; it is closed when nobody holds this object any more.
    """

    name: ClassVar[str] = "kar"
    paper: ClassVar[str] = "the KAR reranker of the FissFuse paper; wording, majority and pictures are ours"

    def __init__(self, settings: KARSettings, model: LanguageModel) -> None:
        self.scope: Scope = settings
        self._settings = settings
        self._asker = Asker(model, self.label)
        weakref.finalize(self, model.close)

    @classmethod
    def build(cls, context: Context, settings: Mapping[str, Any]) -> Self:
        """Make it from plain settings; answers are kept beside the knowledge base unless ``cache`` says where."""
        parsed = parse(KARSettings, settings, "rerank")
        return cls(parsed, parsed.model_for(context))

    @property
    def label(self) -> str:
        """``kar:select_one`` or ``kar:rank_topk``."""
        return f"{self.name}:{self._settings.variant}"

    def settings(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return self._settings.model_dump(mode="json")

    def states(self) -> dict[str, Any]:
        """Return what the answers depend on: the settings, the model's name, how it samples."""
        return {"name": self.name, **self._settings.states()}

    def look(self, cases: Sequence[Case]) -> list[Look]:
        """Ask about every case, in as many orders as the settings say, all in one batch.

        When a whole batch was stopped without one answer, later batches are not asked: the server is gone.
        """
        if self._asker.gave_up:
            return [self._unanswered("stopped")] * len(cases)
        prompts = [self._prompts(case) for case in cases]
        rest = iter(self._asker.ask([prompt.request for own in prompts for prompt in own]))
        return [self._read(len(case.candidates), own, rest) for case, own in zip(cases, prompts, strict=True)]

    def usage(self) -> dict[str, Any]:
        """Return what was asked and spent (:meth:`melink.rerank.asking.Asker.usage`)."""
        return self._asker.usage()

    def _prompts(self, case: Case) -> list[_Prompt]:
        count, settings = len(case.candidates), self._settings
        facts = [self._facts(entity) for entity in case.entities]
        names = [scored.label or entity.label for scored, entity in zip(case.candidates, case.entities, strict=True)]
        texts = [*names, *(text for own in facts for text in own.values()), _RULES[settings.variant]]
        said = (case.mention.text, case.mention.surface)
        pictures = [case.mention.image] if settings.pictures and case.mention.image else []
        found = []
        for order in arrangements(count, settings.permutations):
            shown = order if settings.order == "best_first" else order[::-1]
            ids = [case.candidates[place].id for place in shown]
            choices = Choices.offer(ids, texts, last=said)
            blocks = [entry(choices.local(case.candidates[p].id), names[p], facts[p], settings.longest) for p in shown]
            parts = user_turn(blocks, sentence(case.mention), pictures, _CLOSING[settings.variant])
            one = settings.variant == "select_one"
            schema = choices.schema_of_one() if one else choices.schema_of_all()
            tokens = settings.answer_tokens or 16 + 8 * (1 if one else count)
            request = Request(parts, _RULES[settings.variant], schema, tokens)
            found.append(_Prompt(request, choices, dict(zip(ids, shown, strict=True))))
        return found

    def _facts(self, entity: Entity) -> dict[str, str]:
        found = {}
        for name in self._settings.reads:
            value = getattr(entity, name)
            if name == "triples":
                found["facts"] = "; ".join(triple.words() for triple in value)
            else:
                found[name] = value if isinstance(value, str) else ", ".join(value)
        return found

    def _read(self, count: int, prompts: Sequence[_Prompt], answers: Any) -> Look:
        """Make one look of the answers to the prompts of one case."""
        said: list[tuple[int, ...]] = []
        failures: list[str] = []
        texts: list[str] = []
        for prompt in prompts:
            answer: Answer = next(answers)
            texts += [plain(answer.text, SHOWN)] if answer.text else []
            found = read(prompt.choices, answer.text, self._settings.variant) if answer.ok else []
            named = tuple(prompt.place[id] for id in found)
            if named:
                said.append(named)
            else:
                failures.append(self._asker.unchosen(answer))
        if not said:
            return self._unanswered(failures[0], " / ".join(texts))
        named, share = majority(said, count)
        alike = share * len(said) / len(prompts)  # an order without an answer agrees with nobody
        return Look(named, answer=" / ".join(texts), agreement=alike if len(prompts) > 1 else None)

    def _unanswered(self, failure: str, answer: str = "") -> Look:
        """Return the look of a case none of whose orders was answered: where there are several, no two agree."""
        return Look(failure=failure, answer=answer, agreement=0.0 if self._settings.permutations > 1 else None)


def read(choices: Choices, text: str, variant: Literal["select_one", "rank_topk"]) -> list[str]:
    """Return the entities that an answer names, best first: at most one for ``select_one``; none when it names none."""
    if variant == "rank_topk":
        return choices.listed(text)
    chosen = choices.one(text)
    return [] if chosen is None else [chosen]
