"""Making other texts of the entities of a knowledge base: from a file of abstracts, or by a language model."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from melink import progress
from melink.enrich import static
from melink.enrich.abstracts import Abstract, read_abstracts, read_same
from melink.enrich.dynamic import Introductions, Subject
from melink.errors import InputError, Problems
from melink.kb.store import KnowledgeBase
from melink.kb.texts import CONTRADICTS, Described, Texts, states
from melink.kb.view import EntityView
from melink.rerank.answer import Answer

ANSWERS: Final = "answers.sqlite"
"""File in the folder of the knowledge base that keeps a language model's answers."""
_TOGETHER: Final = 2_000
_BY: Final = ("id", "title", "label")
"""What an abstract may be found by, surest first."""
ASKED_TOGETHER: Final = 64
"""Entities asked about before what was said is written down; answers are kept one by one (docs/language-models.md)."""


@dataclass
class Made:
    """What was done.

    Attributes:
        entities: How many were to be described.
        made: New texts.
        unchanged: Texts that are there already, made from the same.
        without: Ids that are left without a text, by reason: ``no abstract``, ``nothing left``, ``unknown``,
            ``contradicts`` (a fact: it was dropped), or the failure of the language model.
        matched: Abstracts by what they were found by: ``id``, ``title``, ``label``.
        turns: Answers by number of turns.
    """

    entities: int = 0
    made: int = 0
    unchanged: int = 0
    without: dict[str, list[str]] = field(default_factory=dict)
    matched: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)

    def lacking(self, reason: str, id: str) -> None:
        """Note an entity without a text."""
        self.without.setdefault(reason, []).append(id)

    @property
    def counts(self) -> dict[str, int]:
        """How many are without a text, by reason."""
        return {reason: len(ids) for reason, ids in self.without.items()}


def make_static(
    kb: KnowledgeBase,
    abstracts: Path,
    problems: Problems,
    same: Path | None = None,
    language: str = "en",
    longest: int = static.LONGEST,
    only: Sequence[str] | None = None,
) -> Made:
    """Give entities the first paragraphs of a file of abstracts, cleaned, as their static text.

    An abstract belongs to the entity with its id; else to the one whose ``wikipedia_title`` is its title; else to the
    only one whose label is. Of several with a text that found by id counts before one by title and one by label, else
    the first. Texts of entities that the file lacks stay.

    Args:
        kb: The knowledge base.
        abstracts: The file (:mod:`melink.enrich.abstracts`).
        problems: Receives lines that cannot be used.
        same: ``sameAs`` triples from titles to ids, where the file has none.
        language: Of DBpedia's triples.
        longest: Most characters of a text.
        only: Ids of the entities to describe, all when None; an id without an entity is passed over.

    Raises:
        InputError: A file cannot be read.
        Locked: Somebody else is writing.
    """
    view, texts = kb.view(), Texts(kb.path, "static")
    wanted = _wanted(view, only)
    keys, done = _Keys(view), Made(entities=len(wanted))
    now, there = list(states(view)), {row.id: row for row in texts.rows()}
    found: dict[int, _Found] = {}
    waiting: list[Described] = []
    pairs = read_same(same, problems) if same is not None else None
    today = datetime.now(UTC).date().isoformat()
    for abstract in progress.track(read_abstracts(abstracts, problems, language, pairs), f"reading {abstracts.name}"):
        row, by = keys.row(abstract)
        if row is None or row not in wanted:
            continue
        last, id = found.get(row), view.ids[row]
        if last is not None and last.text and _BY.index(last.by) <= _BY.index(by):
            continue
        made_from = _hash(static.VERSION, longest, abstract.text)
        before = there.get(id)
        if before is not None and (before.entity, before.made_from) == (now[row], made_from):
            described, new = before, False
        else:
            about: dict[str, Any] = {"source": abstracts.name, "line": abstract.line, "by": by, "date": today}
            about["cleaner"] = static.VERSION
            described, new = Described(id, static.clean(abstract.text, longest), now[row], made_from, about), True
        if last is not None and not (described.text or described.said):
            continue
        if new or (last is not None and last.new):  # what a lesser abstract made meanwhile is to be replaced
            waiting.append(described)
        found[row] = _Found(by, bool(described.text or described.said), new, bool(described.said))
        if len(waiting) >= _TOGETHER:
            texts.put(waiting)
            waiting.clear()
    texts.put(waiting)
    _sum_up(done, view, sorted(wanted), found)
    return done


class _Found(NamedTuple):
    """What is known of an entity's abstract.

    Attributes:
        by: What it was found by.
        text: Whether a text is left of it, in use or not.
        new: Whether that was made just now.
        out: Whether it was dropped for contradicting a fact.
    """

    by: str
    text: bool
    new: bool
    out: bool


def _sum_up(done: Made, view: EntityView, wanted: Sequence[int], found: Mapping[int, _Found]) -> None:
    for row in wanted:
        own = found.get(row)
        if own is None:
            done.lacking("no abstract", view.ids[row])
            continue
        done.matched[own.by] += 1
        if own.out or not own.text:
            done.lacking(CONTRADICTS if own.out else "nothing left", view.ids[row])
        else:
            done.made += own.new
            done.unchanged += not own.new


def make_dynamic(
    kb: KnowledgeBase, asker: Introductions, only: Sequence[str] | None = None, most: int | None = None
) -> Made:
    """Let a language model introduce entities, as their dynamic text.

    Entities that have a text made from the same are passed over, so that a stopped run goes on where it was.

    Args:
        kb: The knowledge base; its static texts are quoted in the second turn where there are any.
        asker: Asks.
        only: Ids of the entities to introduce, all when None; an id without an entity is passed over.
        most: Of these at most so many that have no such text yet.
    """
    view, texts = kb.view(), Texts(kb.path, "dynamic")
    wanted = sorted(_wanted(view, only))
    done = Made(entities=len(wanted))
    there = {row.id: row for row in texts.rows()}
    lacking: list[Subject] = []
    for subject in _subjects(kb, view, wanted):
        before = there.get(subject.entity.id)
        if before is None or (before.entity, before.made_from) != (subject.state, asker.made_from(subject)):
            lacking.append(subject)
        elif before.text:
            done.unchanged += 1
        else:
            done.lacking(CONTRADICTS if before.said else "unknown", subject.entity.id)
    left = iter(lacking[:most])
    while batch := list(islice(left, ASKED_TOGETHER)):
        answers = asker.describe(batch)
        rows = [answer for answer in answers if isinstance(answer, Described)]
        texts.put(rows)
        _count(done, batch, answers)
        if not rows and all(isinstance(answer, Answer) and not answer.asked for answer in answers):
            for subject in left:  # no money or no server: the others would not be asked either
                done.lacking("not asked", subject.entity.id)
    for subject in lacking[most:] if most is not None else ():
        done.lacking("not asked", subject.entity.id)
    return done


def _count(done: Made, batch: Sequence[Subject], answers: Iterable[Described | Answer]) -> None:
    for subject, answer in zip(batch, answers, strict=True):
        if isinstance(answer, Answer):
            done.lacking(answer.failure or "nonsense", subject.entity.id)
            continue
        done.made += bool(answer.text)
        done.turns[answer.about["turns"]] += 1
        if not answer.text:
            done.lacking("unknown", subject.entity.id)


def _subjects(kb: KnowledgeBase, view: EntityView, wanted: Sequence[int]) -> Iterator[Subject]:
    stored = Texts(kb.path, "static")
    quoted = stored.reading().texts(view) if stored else [""] * len(view)
    now = list(states(view))
    for row in wanted:
        entity = view.entity(row)
        yield Subject(entity, now[row], quoted[row] or entity.extract)


def _wanted(view: EntityView, only: Sequence[str] | None) -> set[int]:
    if only is None:
        return set(range(len(view)))
    rows = view.rows(only)
    if len(only) and (rows < 0).all():
        raise InputError("none of the listed ids is in the knowledge base", "list ids, one a line")
    return {int(row) for row in rows if row >= 0}


class _Keys:
    """Finds the entity that an abstract is about."""

    def __init__(self, view: EntityView) -> None:
        self._view = view
        self._titles: dict[str, int] = {}
        self._labels: dict[str, int | None] = {}
        for row, label in enumerate(view.labels):
            self._labels[label] = None if label in self._labels else row

    def row(self, abstract: Abstract) -> tuple[int | None, str]:
        """Return the row of the entity and what it was found by."""
        title = abstract.key if abstract.titled else abstract.title
        for id in (abstract.key, title):
            if (row := self._view.row(id)) is not None:
                return row, "id"
        titles = self._of_titles()
        if title in titles:
            return titles[title], "title"
        return self._labels.get(title), "label"

    def _of_titles(self) -> dict[str, int]:
        if not self._titles:
            extras = (self._view.entity(row).extra for row in range(len(self._view)))
            self._titles = {
                title.replace("_", " "): row
                for row, extra in enumerate(extras)
                if isinstance(title := extra.get("wikipedia_title"), str) and title
            } or {"": -1}
        return self._titles


def _hash(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
