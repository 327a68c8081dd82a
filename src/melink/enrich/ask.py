"""Triples from a language model: one call for each sentence, with its picture, for all names in it (KGMEL, stage 1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from melink.enrich import prompt, structured
from melink.enrich.facts import Made
from melink.enrich.parse import parse
from melink.enrich.rows import Group
from melink.enrich.vocabulary import Vocabulary
from melink.rerank.llm import Answer, LanguageModel


@dataclass
class FromModel:
    """Asks a language model.

    Attributes:
        model: The client, with its cache and budgets.
        vocabulary: Types and relations that are offered.
        keep_unknown: Keep triples whose relation was not offered.
        form: Ask for lines in three steps, or for JSON, with worked examples.
        dropped: Lines of triples that were not taken, by reason.
        read: Answers with at least one triple apart from types.
        answers: Answers.
    """

    model: LanguageModel
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    keep_unknown: bool = False
    form: Literal["lines", "json"] = "lines"
    dropped: Counter[str] = field(default_factory=Counter)
    read: int = 0
    answers: int = 0

    def make(self, groups: Sequence[Group]) -> list[Made]:
        """Return what the model says about each sentence, in order. A failure is a result, never an error."""
        question = prompt.question if self.form == "lines" else structured.question
        requests = [question(each.text, each.surfaces, each.image, self.vocabulary) for each in groups]
        answers = self.model.ask_all(requests, "generating triples")
        return [self._made(group, answer) for group, answer in zip(groups, answers, strict=True)]

    def _made(self, group: Group, answer: Answer) -> Made:
        about: dict[str, Any] = {"with": "llm", "model": self.model.settings.model, "prompt": prompt.VERSION}
        if self.form != "lines":
            about["form"] = self.form
        about["date"] = datetime.now(UTC).date().isoformat()
        if not answer.ok:
            return Made(about={**about, "failure": answer.failure}, failed=True)
        reading = parse if self.form == "lines" else structured.read
        parsed = reading(answer.text, group.surfaces, self.vocabulary, self.keep_unknown)
        self.dropped += parsed.dropped
        self.answers += 1
        self.read += any(facts.telling for facts in parsed.facts.values())
        about |= {"picture": answer.pictures > 0, "cut": answer.cut}
        return Made({mention.id: parsed.facts[mention.surface] for mention in group.mentions}, about)

    def summary(self) -> dict[str, Any]:
        """Return what was asked, spent and not understood."""
        share = self.read / self.answers if self.answers else None
        return {"llm": self.model.tally.to_dict(), "parse_rate": share, "lines_dropped": dict(self.dropped)}
