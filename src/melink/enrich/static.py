"""The first paragraphs of an encyclopaedia article as one clean line: the representation "-S" of DWE+ (METHODS.md §6).

What goes: hatnotes, headings, lists, tables, templates and other leftovers of wiki text, references, coordinates, and
of brackets behind a name whatever tells how it is said or written elsewhere; years and other names in them stay.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from melink.enrich.sentences import finished, limited, sentences
from melink.enrich.spoken import without_sounds
from melink.rerank.prompt import plain

VERSION: Final = 3
"""Of the cleaner: another one makes every text anew."""
PARAGRAPHS: Final = 2
LONGEST: Final = 600
_READ: Final = 40_000

_COMMENT: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<ref\b[^<>]*/>|<(ref|math|gallery|style|script)\b.*?(?:</\1>|\Z)", re.S
)
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>")
_BREAK: Final = re.compile(r"<(?:br|p|/p|li|/li|div|/div)\b[^<>]{0,100}/?>", re.IGNORECASE)
_TABLE: Final = re.compile(r"\{\|.*?(?:\|\}|\Z)", re.S)
_INNER: Final = re.compile(r"\{\{[^{}]*\}\}")
_LEFT_OPEN: Final = re.compile(r"\{\{[^\n{}]*$|^[^\n{}]*\}\}", re.M)
_FILE: Final = re.compile(r"\[\[(?:File|Image|Category):(?:[^\[\]]|\[\[[^\[\]]*\]\])*\]\]", re.IGNORECASE)
_LINK: Final = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
_URL: Final = re.compile(r"\[https?://\S+ ([^\[\]]+)\]|\[?https?://\S+\]?")
_QUOTES: Final = re.compile(r"'{2,5}")
_REFERENCE: Final = re.compile(
    r"\[\s*(?:\d{1,3}|[a-z]{1,2}|(?:note|nb|lower-alpha|fn|ref)\.? ?\w{0,3}|(?:full |better )?(?:citation|source)"
    r" needed|(?:clarification|verification) needed|according to whom\??|who\??|when\??|update|dubious[^\]]{0,20})\s*\]"
    r"(?::\d+(?:[–-]\d+)?)?|[↑†‡]",
    re.IGNORECASE,
)
_DEGREES: Final = r"\d{1,3}(?:\.\d+)?°\s?(?:\d{1,2}(?:\.\d+)?[′'’]\s?)?(?:\d{1,2}(?:\.\d+)?[″\"”]\s?)?[NSEW]"
_COORDINATES: Final = re.compile(
    rf"(?:Coordinates:?\s*)?(?:\b|(?<=\s)){_DEGREES}[\s,]*{_DEGREES}(?:\s*[/／]\s*{_DEGREES}[\s,]*{_DEGREES})?"
    r"(?:\s*[/／]\s*-?\d{1,3}\.\d+;\s*-?\d{1,3}\.\d+)?(?:\s*\([^()]{0,60}\))?"
    r"|(?:Coordinates|Co-ordinates):\s*-?\d{1,3}\.\d+[;,]\s*-?\d{1,3}\.\d+"
)
_HATNOTE: Final = re.compile(
    r"for (?:other|the|an?|another)\b.{0,200}?,? see\b|for [^.]{1,120}, see\b|(?:main|further|see) (?:article|infor"
    r"mation|also)s?\b(?! (?:is|was|are|were) an?\b):?"
    r"|this (?:article|page|list|section|biography) (?:is a|needs|contains|does not|has|may|relies)"
    r"|not to be confused with|[\"“][^\"”]{1,80}[\"”] (?:and [\"“][^\"”]{1,80}[\"”] )?redirects? here"
    r"|[^.]{1,80} redirects? here\b|from wikipedia, the free encyclopedia|jump to|coordinates:|the native form of this"
    r"|you can help|please (?:help|improve)|learn how and when",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(r"In this [^.]{3,60} (?:name|custom), the (?:family|first|sur|patronymic|maternal)")
_NO_PROSE: Final = re.compile(r"\s*(?:[*#:;|!•·◦▪‣–—-]\s|[*#:;|!•]|={2,}|\d{1,3}[.)]\s|\{|\}|_{3,}|-{3,})")
_NAME_FIRST: Final = re.compile(r"\s*(?:\d{1,3}\.\s|[*#!]+[^\s*#!]|!{2,}\s).{0,160}?\b(?:is|was|are|were)\b")
"""A name that begins like the item of a list: "1. FC Köln is", "!!! is"."""
_CROSSROADS: Final = re.compile(
    r"\b(?:may|can|could|might)(?: also)? (?:refer to|mean|stand for)\b[^.]{0,80}:?$|\b(?:refers?|referring) to:$",
    re.IGNORECASE,
)

_OTHER: Final = (
    r"[\u0370-\u1dbf\u1f00-\u1fff\u2c80-\ua71f\ua800-\ud7ff\uf900-\ufaff\ufb1d-\ufeff\uff66-\uffdc"
    r"\U00010000-\U0003ffff]"
)
"""A letter of another script than Latin."""
_ROUND: Final = re.compile(r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")
_STRANGE: Final = re.compile(rf"\[[^\[\]\d]*\]|[ɐ-ʯˈˌ]|{_OTHER}")
_HEAD: Final = r"(?:[A-Z][\w'’/-]*\s){0,2}[A-Z][\w'’/-]*:"
_INSIDE: Final = r"(?:[^;()]|\([^()]*\)|;(?=[^;()'’]{1,80}['’][\s,;)]))*"
_BEFORE: Final = (
    (re.compile(r"\[[^\[\]\d]*[^\x00-\x7f\d\[\]][^\[\]\d]*\]|(?<=: )\u200b?\[[^\[\]\d]*\]"), "[ˈˈ]"),
    (re.compile(r"\b(?:plural|singular|pl\.|sing\.)[,:]?\s[^,;()\[]*\[ˈˈ\]|\bISO 259(?:-\d)?\s[^,;()]*"), ""),
    (re.compile(rf"(?<=[(;])\s*{_HEAD}(?=[\s;)])(?:[^;()\d]|(?<!\d)\d{{1,2}}(?!\d))*(?=[;)])"), ""),
    (re.compile(r"(?<=[(,;])\s*[-\u2060]+[^\W\d][\w-]*(?=\s*[,;)])"), ""),
    (re.compile(rf"(?<=[(;])\s*(?:(?:derived )?from|the [A-Z]){_INSIDE}{_OTHER}{_INSIDE}(?=[;)])"), ""),
    (
        re.compile(
            rf"(?<={_OTHER})[\u0300-\u036f\u200b-\u200f]*,\s+(?!(?:born|died|also|formerly|later|meaning|known|or|lit)\b)"
            r"[^\W\d_][^,;()\d\"“]{0,60}(?=[,;)])"
        ),
        "",
    ),
)
"""In a bracket with sounds or another script: every sound becomes one that :mod:`melink.enrich.spoken` knows; what is
said after a language, pieces of words, where one comes from, and the spelling in Latin letters go."""
_WORD: Final = re.compile(r"(?:\b(?:pl\.|plural|sing\.|singular):?\s+(?=[^\s(),;]+\s*[,;)]))?[^\s(),;\"“”]+")
_NO_TAIL: Final = re.compile(
    r"(?<=[(;,])\s*(?:(?:(?:from\s)?(?:the\s)?(?:[\w–-]+\s)?[\w–-]+:\s*)+(?=[,;)])"
    r"|(?:plural|pl\.|sing\.|(?:[A-Z]\w+\s)?(?:Greek|Arabic|Hebrew|Persian|Chinese|Japanese|Russian))\s*(?=[;)]))"
    r"|(?:,[^,;()]*)?\[ˈˈ\]"
)
"""Heads with nothing behind, and sounds that stayed behind a year."""
_LOOSE: Final = (
    (re.compile(r"\s*\[O\.\s?S\.[^\]]*\Z"), ""),  # where an abstract was cut
    (re.compile(r"(\([^()]*)\)\s*,\s*\(([^()]*\))(?=\s+(?:is|was|are|were)\b)"), r"\1; \2"),
    (re.compile(r"\A([^()]{1,200}?)(?:\s*;|\s+or)\s+([^();]*\d{3}[^();]*\))"), r"\1 (\2"),
    (re.compile(r"\A([^()]*[^()\s](?:[^()\s]|(?=\),? (?:is|was|are|were)\b)))\)"), r"\1"),
    (re.compile(r"\A([^()]*\([^()]{1,300}?)[\s,;]*(?=\s(?:is|was|are|were)\s[^()]*(?:\(|\Z))"), r"\1)"),
    (re.compile(r"\s*\([^().!?]{0,200}[.,;]?\Z"), ""),
    (re.compile(r",\s+(?=\([^()]{0,80}\d{4}[^()]{0,80}\)\s(?:is|was|are|were)\b)"), " "),
)
"""Brackets that were never opened or closed, that follow each other, or stand behind a comma."""
_JOINED: Final = re.compile(
    r"(?:(?<=[a-zß-ÿ]{4})|(?<=\d{4})|(?<=[a-z\d][)\"”])|(?<=[a-z]{3})(?=\.(?:The|An?|In|It|He|She|Although|As|On)\b))"
    r"([.!?][\"”]?)(?=[A-ZÀ-Þ][a-zß-ÿ]*[\s,'’])(?!(?:Com|Net|Org|Ru|Fm)\b)"
)
"""A stop without a blank behind it: extracts lack it where a paragraph or a reference stood."""
_TIDY: Final = (
    (re.compile(r"\(\s*[;,:–-]*\s*\)|\[\s*\]"), ""),
    (re.compile(r"\(\s*[;,:]\s*"), "("),
    (re.compile(r"\s*[;,:]\s*\)"), ")"),
    (re.compile(r"\s+([,.;:!?)])"), r"\1"),
    (re.compile(r"([,;:])(?:\s*[,;])+"), r"\1"),
    (re.compile(r",\."), "."),
    (re.compile(r"(?<=[\w)])\.\.\Z"), "."),
    (re.compile(r"\(\s+"), "("),
    (re.compile(r"\s{2,}"), " "),
)


def clean(raw: str, longest: int = LONGEST, paragraphs: int = PARAGRAPHS) -> str:
    """Return the first paragraphs of an article as one line of whole sentences.

    Args:
        raw: The beginning of an article: plain text, HTML entities, or leftovers of wiki text.
        longest: Most characters.
        paragraphs: How many paragraphs are read.

    Returns:
        The text; empty when no prose is left, or when it only lists what a name may refer to.
    """
    text = _unmarked(html.unescape(html.unescape(raw[:_READ])))
    kept: list[str] = []
    for line in text.split("\n"):
        prose = _prose(line, first=not kept)
        if prose and not kept and len(line) < 300 and _CROSSROADS.search(line.strip()):
            return ""
        kept += [prose] if prose else []
        if len(kept) == paragraphs:
            break
    text = limited(finished(" ".join(kept)), 2 * longest)
    return limited(plain(text, 2 * longest), longest)


def _unmarked(text: str) -> str:
    """Drop markup; line breaks stay."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n"))
    text = _TABLE.sub(" ", _BREAK.sub("\n", _COMMENT.sub(" ", text)))
    for _ in range(8):  # innermost first
        text, changed = _INNER.subn(" ", text)
        if not changed:
            break
    text = _TAG.sub(" ", _LEFT_OPEN.sub(" ", text))
    text = _LINK.sub(r"\1", _FILE.sub(" ", text))
    text = _URL.sub(lambda match: match[1] or " ", text)
    return _QUOTES.sub("", text)


def _unspelled(bracket: re.Match[str]) -> str:
    return _rewritten(bracket[0], _BEFORE) if _STRANGE.search(bracket[0]) else bracket[0]


def _one_script(bracket: re.Match[str]) -> str:
    """Return what is left of a bracket without words of another script."""
    if not _STRANGE.search(bracket[0]):
        return bracket[0]
    return _NO_TAIL.sub("", _WORD.sub(lambda word: "" if _strange(word[0]) else word[0], bracket[0]))


def _strange(word: str) -> bool:
    """Return whether most letters of a word are of another script; one Greek letter is a sign."""
    letters = [letter for letter in word.split()[-1] if letter.isalpha()]
    other = [letter for letter in letters if re.match(_OTHER, letter)]
    return len(other) * 2 > len(letters) and (len(other) > 1 or other[0] >= "\u0590")


def _rewritten(text: str, rules: Sequence[tuple[re.Pattern[str], str]]) -> str:
    for pattern, by in rules:
        text = pattern.sub(by, text)
    return text


def _prose(line: str, first: bool) -> str:
    """Return a paragraph without what is no prose; empty when nothing is left."""
    if _NO_PROSE.match(line) and not (first and _NAME_FIRST.match(line)):
        return ""
    text = _JOINED.sub(r"\1 ", _COORDINATES.sub(" ", _REFERENCE.sub("", " ".join(line.split()))))
    text = _ROUND.sub(_unspelled, _rewritten(text, _LOOSE))
    text = _rewritten(_ROUND.sub(_one_script, without_sounds(text)), _TIDY)
    every = [each for each in sentences(text.strip(" ,;:")) if not _NAMED.match(each)]
    while every and _HATNOTE.match(every[0]):
        del every[0]
    text = " ".join(every)
    return text if len(text.split()) > 2 else ""
