"""Triples without a language model: patterns of captions, and tails of the knowledge base that stand in the sentence.

What counts, by rule:

- ``title``, ``apposition``: occupations and nationalities right before the name, or in the phrase behind it ("X, a
  Dutch painter", "X is a ..."); words such as "senator" stand for the occupation that the knowledge base knows.
- ``birth``, ``death``, ``spouse``: places, years and names behind "born", "died", "wife" and the like, and the years in
  brackets behind the name.
- ``sex``: pronouns behind the name in a sentence with one name, and forms of address.
- ``stated``: any other proper name in the words around the mention.

Who else is on a picture, and where it was taken, are no facts about the mention, and are left out; so is what is denied
of it ("was not a singer").

A sighting weighs what its rule is worth, times the share of its relation among the facts with this tail, times the
rarity of the tail. Gold is never read: the knowledge base gives the vocabulary, not the answer. Our own design.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from melink.enrich.facts import Facts, Made
from melink.enrich.rows import Group
from melink.enrich.tails import Tail, TailIndex, Word, words
from melink.enrich.wording import LADY, LORD, MAN, NATIONS, OCCUPATIONS, WOMAN
from melink.enrich.zones import Zones, zones
from melink.kb.folding import fold
from melink.progress import track
from melink.records import Mention, Triple
from melink.rerank.prompt import plain

VERSION: Final = 2
WORTH: Final = {
    "title": 1.0, "apposition": 1.0, "birth": 1.0, "death": 1.0, "spouse": 0.8, "sex": 0.8, "stated": 0.5,
}  # fmt: skip
"""What a sighting by each rule is worth, before share and rarity."""
_JOBS: Final = frozenset(("occupation", "position held", "profession"))
_TONGUES: Final = frozenset(("language", "languages spoken written or signed", "native language"))
_CITIZEN: Final = frozenset(("country of citizenship", "citizenship", "nationality"))
_SEXES: Final = frozenset(("sex", "sex or gender", "gender"))
_PLACES: Final = frozenset(
    ("birth place", "place of birth", "death place", "place of death", "residence", "place of burial", "work location")
)
_SPOUSE: Final = frozenset(("wife", "husband", "spouse", "married", "marries", "bride"))
_LIFE: Final = re.compile(r"\s*\((?:[^()]{0,60}?\b)??(\d{4})(?:,[^()–-]{0,40})?\s*[–—-]\s*[^()]{0,60}?\b(\d{4})\b")
_BORN: Final = re.compile(r"\b(?:born|b\.)[^.;()]{0,40}?\b(\d{4})\b")
_DIED: Final = re.compile(r"\bdied[^.;()]{0,40}?\b(\d{4})\b")
_DENIED: Final = re.compile(r"(?:not|never|no longer|neither)\b", re.IGNORECASE)
_AGES: Final = range(12, 111)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A fact that a sentence seems to state."""

    relation: str
    tail: str
    rule: str
    weight: float


@dataclass
class FromPatterns:
    """Reads facts off sentences.

    Attributes:
        tails: Vocabulary; :func:`plain_words` without a knowledge base.
        most: Most facts of one mention.
        least: A sighting that weighs less is left out.
    """

    tails: TailIndex
    most: int = 8
    least: float = 0.05
    about: dict[str, Any] = field(default_factory=lambda: {"with": "patterns", "version": VERSION})

    def make(self, groups: Sequence[Group]) -> list[Made]:
        """Return what each sentence says about its mentions, in order."""
        return [self._made(group) for group in track(groups, "reading sentences", len(groups), "sentences")]

    def _made(self, group: Group) -> Made:
        text = words(group.text)
        found = list(self.tails.find(text))
        taken = [(m.start, m.end) for m in group.mentions if m.start is not None and m.end is not None]
        hits = [hit for hit in found if not any(_overlaps(text, hit, own) for own in taken)]
        alone = len(group.surfaces) == 1
        return Made({mention.id: self._facts(mention, text, hits, alone) for mention in group.mentions}, self.about)

    def _facts(self, mention: Mention, text: list[Word], hits: Sequence[Hit], alone: bool) -> Facts:
        seen = self.sightings(mention, text, hits, alone)
        around = _around(mention, text)
        says = mention.text[slice(*around.behind)].strip(" ,") if around.described else ""
        person = any(each.rule == "sex" or fold(each.relation) in _JOBS for each in seen)
        triples = tuple(Triple(each.relation, each.tail, literal=True) for each in seen)
        return Facts("person" if person else "", plain(says, 200), triples)

    def sightings(self, mention: Mention, text: list[Word], hits: Sequence[Hit], alone: bool) -> list[Sighting]:
        """Return what the sentence seems to state about a mention, weightiest first.

        Args:
            mention: Which one.
            text: Words of its sentence.
            hits: Tails in the sentence outside the mentions, as :meth:`TailIndex.find` gives them.
            alone: Whether no other name of the sentence was asked about.
        """
        around = _around(mention, text)
        best: dict[tuple[str, str], Sighting] = {}
        every = [*self._stated(text, hits, around, alone), *self._worded(text, around)]
        if alone:
            every += [*self._dated(mention), *self._sexed(mention, text)]
        for each in every:
            key = (each.relation, fold(each.tail))
            if each.weight >= self.least and (key not in best or best[key].weight < each.weight):
                best[key] = each
        return sorted(best.values(), key=lambda each: (-each.weight, each.relation, each.tail))[: self.most]

    def _stated(self, text: list[Word], hits: Sequence[Hit], around: Zones, alone: bool) -> Iterator[Sighting]:
        """Yield the tails of the knowledge base that stand in the sentence."""
        for first, last, tail in hits:
            relation, cue = fold(tail.relation), {word.folded for word in text[max(0, first - 5) : first]}
            rule = _near(text[first], around)
            if relation in _SEXES:
                continue
            if relation in _JOBS or relation in _TONGUES:
                if rule and not self._replaced(text[last - 1], tail):
                    yield _weighed(tail, rule, tail.share, rare=False)
            elif relation in _PLACES:
                yield from _placed(tail, cue)
            elif relation == "spouse":
                if alone and cue & _SPOUSE:
                    yield _weighed(tail, "spouse", tail.share, rare=False)
            elif tail.named and rule:
                yield _weighed(tail, "stated", tail.share)

    def _replaced(self, word: Word, tail: Tail) -> bool:
        """Return whether a title stands for an occupation that is more frequent than the title itself."""
        job = self.tails.get(OCCUPATIONS.get(word.folded, ""))
        return job is not None and job.rarity < tail.rarity

    def _worded(self, text: list[Word], around: Zones) -> Iterator[Sighting]:
        """Yield what titles, forms of address and nationalities right by the name stand for."""
        for word in text:
            rule = _near(word, around)
            if not rule:
                continue
            yield from self._named(OCCUPATIONS.get(word.folded, ""), _JOBS, rule)
            if word.capital:
                yield from self._named(NATIONS.get(word.folded, ""), _CITIZEN, rule)
            if word.folded in LADY | LORD:
                yield from self._named("female" if word.folded in LADY else "male", _SEXES, "sex")

    def _dated(self, mention: Mention) -> Iterator[Sighting]:
        end = mention.end or 0
        life = _LIFE.match(mention.text, end)
        if life and int(life[2]) - int(life[1]) in _AGES:
            yield from self._year(life[1], "birth")
            yield from self._year(life[2], "death")
        for pattern, rule in ((_BORN, "birth"), (_DIED, "death")):
            if match := pattern.search(mention.text, end, end + 200):
                yield from self._year(match[1], rule)

    def _year(self, year: str, rule: str) -> Iterator[Sighting]:
        tail = self.tails.get(year)
        named = [name for name, _ in tail.relations if rule in fold(name) and "place" not in name] if tail else []
        if named:
            yield Sighting(named[0], year, rule, WORTH[rule])

    def _sexed(self, mention: Mention, text: list[Word]) -> Iterator[Sighting]:
        said = {word.folded for word in text if word.start >= (mention.end or 0)}
        if bool(said & WOMAN) != bool(said & MAN):
            yield from self._named("female" if said & WOMAN else "male", _SEXES, "sex")

    def _named(self, label: str, relations: frozenset[str], rule: str) -> Iterator[Sighting]:
        """Yield a tail that a word stands for, if the knowledge base has it under one of some relations."""
        tail = self.tails.get(label)
        for name, share in tail.relations if tail else ():
            if fold(name) in relations:
                yield Sighting(name, tail.label if tail else label, rule, WORTH[rule] * max(share, 0.5))
                return


Hit = tuple[int, int, Tail]
"""First word, the word behind the last, and the tail that they name."""


def plain_words() -> TailIndex:
    """Return a vocabulary of occupations and countries, for use without a knowledge base."""
    jobs = {*OCCUPATIONS.values(), *(word for word in OCCUPATIONS if OCCUPATIONS[word] == word)}
    facts = [Triple("occupation", job, literal=True) for job in sorted(jobs)]
    facts += [Triple("country of citizenship", nation, literal=True) for nation in sorted(set(NATIONS.values()))]
    facts += [Triple("sex or gender", sex, literal=True) for sex in ("female", "male")]
    return TailIndex([(fact, 1) for fact in facts], len(facts))


def _weighed(tail: Tail, rule: str, share: float, rare: bool = True) -> Sighting:
    return Sighting(tail.relation, tail.label, rule, WORTH[rule] * share * (tail.rarity if rare else 1.0))


def _placed(tail: Tail, cue: set[str]) -> Iterator[Sighting]:
    for word, rule in (("born", "birth"), ("died", "death"), ("death", "death")):
        named = [name for name, _ in tail.relations if rule in fold(name)]
        if word in cue and named:
            yield Sighting(named[0], tail.label, rule, WORTH[rule])
            return


def _around(mention: Mention, text: list[Word]) -> Zones:
    """Return the zones of a mention, without what is denied of it."""
    found = zones(mention, text)
    denied = _DENIED.match(mention.text[slice(*found.behind)])
    return replace(found, behind=(found.behind[1], found.behind[1]), described=False) if denied else found


def _near(word: Word, around: Zones) -> str:
    """Return the rule of the zone that a word stands in, or nothing."""
    if _inside(word, around.own):
        return ""
    return "title" if _inside(word, around.before) else "apposition" if _inside(word, around.behind) else ""


def _inside(word: Word, zone: tuple[int, int]) -> bool:
    return zone[0] <= word.start < zone[1]


def _overlaps(text: list[Word], hit: Hit, own: tuple[int, int]) -> bool:
    return text[hit[0]].start < own[1] and own[0] < text[hit[1] - 1].end
