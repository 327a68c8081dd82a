"""Reading types, descriptions and triples out of an answer in three steps, however a model wrote it down.

A line counts by what it holds, then by the heading that it stands under: headings may be missing, and lines may stand
under the wrong one. Names are matched exactly, then whatever their case, then by shared words, unless several share
them; with a single name in the sentence, triples of anything else belong to it (as in KGMEL).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from melink.enrich import lines
from melink.enrich.facts import Facts
from melink.enrich.prompt import is_echo
from melink.enrich.vocabulary import INSTANCE, Vocabulary
from melink.kb.folding import fold
from melink.records import Triple

MOST_TRIPLES: Final = 40
"""Most triples of one mention."""
_WORDS: Final = (
    "unknown none na null nil unclear unspecified no not applicable specified mentioned provided known available "
    "stated given information unidentified undefined object relation tail value"
)
_NOTHING: Final = frozenset(_WORDS.split())
_NOTHING_FIRST: Final = ("not specified", "not applicable", "not mentioned", "not known")
_HEADS: Final = frozenset(("mention", "name", "head", "entity", "subject"))
_SMALL: Final = frozenset(("the", "of", "a", "an", "and", "de", "in", "at", "la", "le", "von", "van"))
_LABEL: Final = re.compile(r"\s*(?:type|description)\s*[:=]\s*", re.IGNORECASE)
_OF: Final = re.compile(r"['’]s\s+")
_BREAK: Final = re.compile(r"\s*(?:[:,;=|]|\s[-–—]\s|\bis\s+(?=an?\b))\s*")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What an answer says.

    Attributes:
        facts: By mention; each mention that was asked about is there.
        dropped: Lines of triples that were not taken, by reason: ``unknown relation``, ``no object``, ``no mention``
            (none or several of the names may be meant), ``too many``; of an answer in JSON also ``no JSON``, ``echo``
            and ``repeated`` (a name again).
    """

    facts: dict[str, Facts]
    dropped: Counter[str]


def parse(text: str, mentions: Sequence[str], vocabulary: Vocabulary, keep_unknown: bool = False) -> Parsed:
    """Read an answer.

    Args:
        text: What the model said.
        mentions: Names that were asked about.
        vocabulary: Types and relations that were offered.
        keep_unknown: Keep triples whose relation was not offered.
    """
    reader = _Reader(list(dict.fromkeys(mentions)), vocabulary, keep_unknown)
    for line in lines.answer_lines(text):
        if not is_echo(line):
            reader.read(line)
    return Parsed({mention: reader.facts(mention) for mention in reader.mentions}, reader.dropped)


def is_nothing(text: str) -> bool:
    """Return whether an object says that nothing is known."""
    words = fold(text)
    said = f" {words} ".replace(" n a ", " ").split()
    return not words.strip(" -?.") or set(said) <= _NOTHING or words.startswith(_NOTHING_FIRST)


@dataclass
class _Reader:
    mentions: list[str]
    vocabulary: Vocabulary
    keep_unknown: bool
    dropped: Counter[str] = field(default_factory=Counter)
    step: int = 0
    current: str | None = None  # named on a line of its own
    last: str | None = None  # head of the table row above

    def __post_init__(self) -> None:
        self.types: dict[str, str] = {}
        self.descriptions: dict[str, str] = {}
        self.triples: dict[str, dict[tuple[str, str], Triple]] = {mention: {} for mention in self.mentions}
        self._folded = {key: mention for mention in reversed(self.mentions) if (key := fold(mention))}
        self.only = self.mentions[0] if len(self.mentions) == 1 else None

    def facts(self, mention: str) -> Facts:
        kind = self.types.get(mention, "")
        triples = dict(self.triples[mention])
        if kind:
            triples.setdefault((INSTANCE, fold(kind)), Triple(INSTANCE, kind, literal=True))
        return Facts(kind, self.descriptions.get(mention, ""), tuple(triples.values()))

    def read(self, line: str) -> None:
        for mention in self.mentions:
            if "|" in mention and fold(mention):  # no separator there
                name = rf"(?<!\w){re.escape(mention)}(?!\w)"
                line = re.sub(name, lambda found: found[0].replace("|", "¦"), line)
        led = self._leading(line)
        if led is None and (found := lines.heading(line)) is not None:
            self.step, line = found
            led = self._leading(line)
        if line:
            self._content(line, led)

    def _content(self, line: str, led: tuple[str, str] | None) -> None:
        if "|" in line:
            self._barred([part.strip() for part in line.strip("| ").split("|")])
        elif led is not None:
            self._about(*led)
        elif self._whole(line) is not None:
            self.current = self._whole(line)
        else:
            self._headless(line)

    def _barred(self, parts: list[str]) -> None:
        if len(parts) > 2 and parts[0].strip(" .)").isdigit():
            del parts[0]
        if fold(lines.field(parts[0])) in _HEADS or not any(parts):
            return
        related = self.vocabulary.relation(parts[0]) is not None and self._whole(parts[0]) is None
        if len(parts) == 2 and related and self.current_or_only:
            self._triple(self.current_or_only, *parts)
        elif len(parts) == 2:
            head = self._mention(parts[0]) or self.only
            relation, sign, tail = _cut(parts[1])
            led = self._leading(parts[0])
            if self.step != lines.TYPE and self._divides(sign) and self.vocabulary.relation(relation):
                self._triple(head, relation, tail)
            elif led is not None and self.vocabulary.relation(led[1]):
                self._triple(led[0], led[1], parts[1])
            else:
                self._pair(head, parts[1])
        elif len(parts) > 2 and self.step == lines.DESCRIPTION and not self.vocabulary.relation(parts[1]):
            self._pair(self._mention(parts[0]) or self.only, ", ".join(parts[1:]))
        elif len(parts) > 2:
            self.last = self._mention(parts[0]) or (None if parts[0] else self.last or self.current) or self.only
            for tail in filter(None, parts[2:]):
                self._triple(self.last, parts[1], tail)
        elif self._whole(parts[0]) is not None:
            self.current = self._whole(parts[0])

    def _about(self, head: str, rest: str) -> None:
        """Take a line that begins with a name."""
        relation, sign, tail = _cut(rest)
        if not rest:
            self.current = head
            return
        if self._divides(sign) and (self.step == lines.TRIPLES or self.vocabulary.relation(relation)):
            self._triple(head, relation, tail)
        elif self.step != lines.TRIPLES:
            self._pair(head, rest)

    def _headless(self, line: str) -> None:
        """Take a line without bars that begins with no name."""
        pieces = [piece.strip() for piece in line.split(":", 2)]
        if len(pieces) < 3 and self.step != lines.DESCRIPTION:
            pieces = next((cut for sign in ",;" if len(cut := line.split(sign, 2)) == 3), pieces)
        known = [self.vocabulary.relation(piece) is not None for piece in pieces]
        if len(pieces) == 3 and (known[1] or (self.step == lines.TRIPLES and not known[0])):
            self._triple(self._mention(pieces[0]) or self.only, *pieces[1:])
            return
        relation, sign, tail = _cut(line)
        if self._divides(sign) and self.vocabulary.relation(relation) and self.current_or_only:
            self._triple(self.current_or_only, relation, tail)
        elif sign and (self.step == lines.TYPE or sign == ":") and (head := self._mention(relation)):
            self._pair(head, tail)
        elif self.step in (lines.TYPE, lines.DESCRIPTION) and self.current_or_only:
            self._pair(self.current_or_only, line)

    def _divides(self, sign: str) -> bool:
        """Return whether a separator can stand between a relation and its object: in prose, a comma can't."""
        return bool(sign) and (self.step in (0, lines.TRIPLES) or sign in ":=")

    @property
    def current_or_only(self) -> str | None:
        return self.current or self.only

    def _pair(self, head: str | None, value: str) -> None:
        """Take a name and what is said about it: its type or its description."""
        text = lines.field(_LABEL.sub("", value), 400)
        if head is None or is_nothing(text):
            return
        kind = self.vocabulary.type(text) if self.step == lines.TYPE or len(text.split()) <= 3 else None
        if kind and self.step in (0, lines.TYPE):
            self.types.setdefault(head, kind)
        elif self.step in (0, lines.DESCRIPTION):
            self.descriptions.setdefault(head, text)

    def _triple(self, head: str | None, relation: str, tail: str) -> None:
        name = self.vocabulary.relation(relation)
        if name is None and self.keep_unknown:
            name = lines.field(relation, 60) or None
        said = lines.field(tail)
        if head is None:
            self.dropped["no mention"] += 1
        elif name is None:
            self.dropped["unknown relation"] += 1
        elif is_nothing(said) or fold(said) == fold(head):
            self.dropped["no object"] += 1
        elif len(self.triples[head]) >= MOST_TRIPLES:
            self.dropped["too many"] += 1
        else:
            self.triples[head].setdefault((name, fold(said)), Triple(name, said, literal=True))

    def _whole(self, said: str) -> str | None:
        return said if said in self.mentions else self._folded.get(fold(said))

    def _mention(self, said: str) -> str | None:
        """Return the one mention that is meant: the same, one inside the other, or the one that shares most words."""
        whole, key = self._whole(said), fold(said[:300])
        if whole is not None or not key:
            return whole
        holds = [name for name in self._folded if f" {name} " in f" {key} "]
        longest = max(holds, key=len, default="")
        found = [name for name in holds if name == longest or f" {name} " not in f" {longest} "]
        found = found or [name for name in self._folded if f" {key} " in f" {name} "]
        if not found:
            words = set(key.split()) - _SMALL
            shared = {name: len(words & set(name.split())) for name in self._folded}
            found = [name for name, count in shared.items() if count and count == max(shared.values())]
        return self._folded[found[0]] if len(found) == 1 else None

    def _leading(self, line: str) -> tuple[str, str] | None:
        """Return the name that a line begins with, and what follows its separator."""
        bare = line.lstrip(" \"'“”‘’«»*_[(<")
        begun = [mention for mention in self.mentions if bare[: len(mention)].casefold() == mention.casefold()]
        for mention in sorted(begun, key=lambda mention: (-len(mention), not bare.startswith(mention))):
            behind = bare[len(mention) :]
            rest = behind.lstrip("\"'”’»*_]>")
            match = _BREAK.match(rest)
            if match or not rest.strip(" .:"):
                return mention, rest[match.end() :].strip() if match else ""
            if rest.startswith(" (") and rest.rstrip(" .").endswith(")"):
                return mention, rest.strip(" .()")
            said = behind[own.end() :] if (own := _OF.match(behind)) else ""
            if said and (self.step == lines.TRIPLES or self.vocabulary.relation(_cut(said)[0])):
                return mention, said
        return None


def _cut(text: str) -> tuple[str, str, str]:
    """Cut at the first separator: what stands before it, the separator, what stands behind it."""
    match = _BREAK.search(text)
    return (text[: match.start()], match[0].strip(), text[match.end() :]) if match else (text, "", "")
