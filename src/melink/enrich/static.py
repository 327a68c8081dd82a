"""The first paragraphs of an encyclopaedia article as one clean line: the representation "-S" of DWE+ (METHODS.md §6).

What goes: hatnotes, headings, lists, tables, templates and other leftovers of wiki text, references, coordinates, and
of brackets behind a name whatever tells how it is said or written elsewhere; years and other names in them stay.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

from melink.enrich.sentences import limited, sentences
from melink.enrich.spoken import without_sounds
from melink.rerank.prompt import plain

VERSION: Final = 2
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

_TIDY: Final = (
    (re.compile(r"\(\s*[;,:–-]*\s*\)|\[\s*\]"), ""),
    (re.compile(r"\(\s*[;,:]\s*"), "("),
    (re.compile(r"\s*[;,:]\s*\)"), ")"),
    (re.compile(r"\s+([,.;:!?)])"), r"\1"),
    (re.compile(r"([,;:])(?:\s*[,;])+"), r"\1"),
    (re.compile(r",\."), "."),
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
    text = limited(" ".join(kept), 2 * longest)
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


def _prose(line: str, first: bool) -> str:
    """Return a paragraph without what is no prose; empty when nothing is left."""
    if _NO_PROSE.match(line) and not (first and _NAME_FIRST.match(line)):
        return ""
    text = without_sounds(_COORDINATES.sub(" ", _REFERENCE.sub("", line)))
    for pattern, by in _TIDY:
        text = pattern.sub(by, text)
    every = [each for each in sentences(text.strip(" ,;:")) if not _NAMED.match(each)]
    while every and _HATNOTE.match(every[0]):
        del every[0]
    text = " ".join(every)
    return text if len(text.split()) > 2 else ""
