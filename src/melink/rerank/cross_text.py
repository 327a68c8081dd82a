"""What the cross-encoder reads of a pair, as two texts that the tokenizer joins.

    mention      surface | … left [ surface ] right … | facts about the mention, when somebody stated them
    candidate    label (aliases) | description | statements that share a word with the mention's text, then the others

A sentence is cut to a window around the name. Statements of a candidate are those of its attributes, its types, the
sentences of its extract and its triples in words, each once; of thousands of triples those that share rare words with
the mention's text come first, so what decides is read whatever fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from melink.kb.folding import tokens
from melink.methods.triple_score import STOPWORDS, context_words
from melink.records import Entity, Mention, Triple

_BLANK: Final = re.compile(r"\s+")
_STATEMENT: Final = re.compile(r"(?<=[.;!?])\s+(?=\S)")
_LONGEST: Final = 2_000
"""Characters of a field that are read; the rest says no more about who it is."""
_LONG: Final = 120
"""Characters of a statement that are read."""
LITTLE: Final = frozenset({"instance of", "label", "image", "family name", "given name"})
"""Relations that repeat the name or say nothing."""


def plain(text: str) -> str:
    """Return a text on one line, without control characters."""
    return _BLANK.sub(" ", "".join(c if c.isprintable() else " " for c in text)).strip()


def read_mention(mention: Mention, width: int) -> str:
    """Return what is read of a mention.

    Args:
        mention: Its text may be empty, or not hold the name.
        width: Characters of the text, the name included.
    """
    surface = plain(mention.surface[:width])
    text, start, end = mention.text, mention.start, mention.end
    if start is None or end is None or not 0 <= start <= end <= len(text):
        window = plain(text[: 4 * width])[:width]
    else:
        room = max(width - (end - start), 0)
        after = min(len(text) - end, max(room // 2, room - start))
        before = room - after
        left, right = _tail(text[max(0, start - 4 * width) : start], before), _head(text[end : end + 4 * width], after)
        window = plain(f"{left} [ {surface} ] {right}")
    stated = "; ".join(plain(triple.words()[:_LONGEST]) for triple in mention.triples[:8])[: width // 2]
    return " | ".join(part for part in (surface, window, stated) if part)


def read_entity(entity: Entity, context: frozenset[str], width: int) -> str:
    """Return what is read of a candidate beside a mention.

    Args:
        entity: Every field but the label may be empty.
        context: Words around the mention (:func:`words_around`).
        width: Characters of the statements.
    """
    aliases = ", ".join(plain(alias) for alias in entity.aliases[:2])[:60]
    head = plain(entity.label[:200]) + (f" ({aliases})" if aliases else "")
    description = plain(entity.description[:_LONGEST])[:160]
    parts = [head, description] if description else [head]
    chosen = _chosen(statements(entity), context, width)
    return " | ".join([*parts, " ".join(chosen)] if chosen else parts)


def words_around(mention: Mention) -> frozenset[str]:
    """Return the words of a mention's text that a statement may share."""
    return frozenset(context_words(mention))


def statements(entity: Entity) -> list[str]:
    """Return what is stated of an entity beside its description, each once, in the order in which it is read."""
    stated = _STATEMENT.split(plain(entity.attributes[:_LONGEST])) if entity.attributes else []
    told = " ".join(stated).casefold()
    kinds = ", ".join(kind for kind in entity.types[:12] if kind.casefold() not in told)
    more = _STATEMENT.split(plain(entity.extract[:_LONGEST])) if entity.extract else []
    return [*stated, *([f"{kinds}."] if kinds else []), *more, *_facts(entity.triples, told)]


def _facts(triples: Iterable[Triple], told: str) -> list[str]:
    """Return facts in words that nothing else states, several tails of one relation together."""
    tails: dict[str, dict[str, None]] = {}
    for triple in triples:
        tail = triple.tail_label or (triple.tail if triple.literal else "")
        relation = triple.relation_label or triple.relation
        if tail and relation not in LITTLE and tail.casefold() not in told:
            tails.setdefault(relation, {})[tail] = None
    found = []
    for relation, own in tails.items():
        names = list(own)
        for start in range(0, len(names), 2):
            found.append(plain(f"{relation}: {', '.join(names[start : start + 2])}."))
    return found


def _chosen(stated: list[str], context: frozenset[str], width: int) -> list[str]:
    """Return the statements that fit: those that share more with the context first to get in, in their own order."""
    shared = [len(_words(statement) & context) for statement in stated]
    room, kept = width, []
    for place in sorted(range(len(stated)), key=lambda place: (-shared[place], place)):
        if room <= 0:
            break
        kept.append(place)
        room -= min(len(stated[place]), _LONG) + 1
    return [stated[place][:_LONG] for place in sorted(kept, key=lambda place: (-shared[place], place))]


@lru_cache(maxsize=1 << 16)
def _words(text: str) -> frozenset[str]:
    return frozenset(tokens(text)) - STOPWORDS


def _tail(text: str, most: int) -> str:
    """Return the last ``most`` characters, from the start of a word where one begins soon."""
    text = plain(text)
    if len(text) <= most:
        return text
    cut = text[len(text) - most :] if most else ""
    word = cut.find(" ")
    return "… " + (cut[word + 1 :] if 0 <= word < most // 2 else cut)


def _head(text: str, most: int) -> str:
    """Return the first ``most`` characters, up to the end of a word where one ends late."""
    text = plain(text)
    if len(text) <= most:
        return text
    word = text.rfind(" ", most // 2, most)
    return text[: word if word > 0 else most] + " …"
