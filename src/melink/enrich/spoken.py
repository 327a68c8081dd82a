"""What stands in brackets behind a name: years stay; how it is said, or written in other scripts, goes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

_SOUNDS: Final = frozenset("ˈˌːˑəɪʊɛɔæɑɒʌʃʒθðŋɹɾʁɲɡɜɨɯœɤɐɣβχɕʑʂʐɟʎɫɬʔʕʰʲʷˠˤ")
_TONGUES: Final = (
    "Arabic Hebrew Russian Ukrainian Belarusian Bulgarian Serbian Serbo-Croatian Croatian Macedonian Greek Latin "
    "Chinese Mandarin Cantonese Japanese Korean Hindi Urdu Bengali Punjabi Tamil Telugu Kannada Malayalam Marathi "
    "Gujarati Nepali Sanskrit Thai Khmer Lao Burmese Vietnamese Persian Pashto Kurdish Turkish Armenian Georgian "
    "Kazakh Mongolian Tibetan German French Italian Spanish Portuguese Dutch Danish Swedish Norwegian Finnish "
    "Icelandic Polish Czech Slovak Slovene Hungarian Romanian Albanian Irish Welsh Gaelic Catalan Basque Galician "
    "Hawaiian Yiddish Malay Indonesian Tagalog Filipino Swahili Amharic Latvian Lithuanian Estonian Norse English"
)
_TONGUE: Final = rf"(?:(?:Ancient|Old|Ottoman|Scottish|Classical|Modern) )?(?:{'|'.join(_TONGUES.split())})"
_SAID: Final = re.compile(
    rf"\s*(?:{_TONGUE}(?: (?:script|alphabet|Cyrillic))?(?: pronunciation)?\s*[:(]|{_TONGUE} (?:pronunciation|for\b)"
    r"|pron(?:ounced|unciation|\.)|IPA\b|listen\b|audio\b|help\b|info\b|(?:also )?romani[sz]ed|transliterat|transl\b"
    r"|lit(?:erally)?\b|(?:US|UK|AmE|BrE|locally|local|native|also)(?: also)?\s*[:/\[]|simplified|traditional|pinyin"
    r"|hanyu|wade|jyutping|hangul|hanja|katakana|hiragana|rr:|mr:|stylized in)",
    re.IGNORECASE,
)
_RESPELLED: Final = re.compile(
    r"\b(?:[a-z]{1,15}-){1,6}[A-Z]{2,}\b|\b[A-Z]{2,15}-[^\W\d_A-Z]+\b|\B/[^/\s][^/]{0,200}/|⫽"
)
_UNCLOSED: Final = re.compile(r"([^()]*?)\s*[,;]+(?=\s+(?:was|is|were|are)\b)")
"""A bracket that is never closed ends where the sentence goes on."""
_YEARS: Final = re.compile(
    r"\b(?:born|b\.|died|d\.|reigned|r\.)\s[^,;]*\d{3,4}.*$|(?:\d{1,2} \w+ )?\b\d{3,4}\s*[–-].*$"
)


def without_sounds(text: str) -> str:
    """Return a paragraph whose brackets tell neither sounds nor spellings.

    >>> without_sounds("Kim (Korean: 김; [kim]; born 1982) is a politician.")
    'Kim (born 1982) is a politician.'
    """
    return _brackets(text, _bracket)


def _brackets(text: str, rewritten: Callable[[str], str]) -> str:
    """Replace what stands in each outermost pair of round brackets."""
    found, depth, begin, last = [], 0, 0, 0
    for place, letter in enumerate(text):
        if letter == "(":
            begin = place if not depth else begin
            depth += 1
        elif letter == ")" and depth:
            depth -= 1
            if not depth:
                inside = rewritten(text[begin + 1 : place])
                found += [text[last:begin], f"({inside})" if inside else ""]
                last = place + 1
    if depth and (match := _UNCLOSED.match(text, begin + 1)):
        inside = rewritten(match[1])
        found += [text[last:begin], f"({inside})" if inside else ""]
        last = match.end()
    return "".join((*found, text[last:]))


def _bracket(inside: str) -> str:
    """Return what of a bracket is neither sound nor spelling."""
    inner = _brackets(inside, lambda own: "" if _spoken(own) else own)
    parts = [part.strip(" ,") for part in re.split(r"[;；]", inner)]
    kept = []
    for part in parts:
        pieces = [piece for piece in re.split(r",\s+", part) if piece.strip() and not _spoken(piece)]
        kept += [", ".join(pieces)] if pieces and not _SAID.match(part) else _rest(part)
    return "; ".join(kept)


def _rest(part: str) -> list[str]:
    """Return the years at the end of a part that otherwise tells a pronunciation."""
    match = _YEARS.search(part)
    return [match[0].strip()] if match else []


def _spoken(text: str) -> bool:
    """Return whether a piece tells how something is said or written in another language."""
    letters = [letter for letter in text if letter.isalpha()]
    if _SAID.match(text) or _RESPELLED.search(text) or sum(letter in _SOUNDS for letter in text) > 1:
        return True
    foreign = sum(not unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return foreign * 2 > len(letters)
