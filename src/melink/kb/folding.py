"""One spelling for comparing names: no case, no accents, no punctuation."""

from __future__ import annotations

import unicodedata
from typing import Final

_LETTERS: Final = {
    "ł": "l", "ø": "o", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h", "ŧ": "t",
    "ŋ": "n", "ĸ": "k", "ƒ": "f", "ɓ": "b", "ɗ": "d", "ɖ": "d", "ɛ": "e", "ɔ": "o", "ǝ": "e", "ə": "e",
    "ƙ": "k", "ɨ": "i", "ʉ": "u", "ƀ": "b", "ȼ": "c", "ǥ": "g", "ɫ": "l", "ɵ": "o",
}  # fmt: skip
"""Letters that Unicode does not decompose, with their usual Latin spelling."""

_APOSTROPHES: Final = dict.fromkeys(map(ord, "'’‘‛`´ʼʻʾʿʹ′＇"))

_ACCENTS: Final = (
    range(0x0300, 0x0370),
    range(0x0483, 0x0488),
    range(0x0591, 0x05C8),
    range(0x0610, 0x061B),
    range(0x064B, 0x0660),
    range(0x0670, 0x0671),
    range(0x1AB0, 0x1B00),
    range(0x1DC0, 0x1E00),
    range(0x20D0, 0x2100),
    range(0xFE20, 0xFE30),
)
"""Marks that are written over or under letters of alphabets and that people leave out when they type: Latin, Greek
and Cyrillic accents, Hebrew points, Arabic vowel signs. Vowel signs of Indic scripts and Japanese sound marks stay."""


class _Characters(dict[int, str]):
    """What each decomposed, case-folded character becomes; filled as characters are met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if code in _APOSTROPHES or kind == "Cf" or (kind[0] == "M" and any(code in accents for accents in _ACCENTS)):
            result = ""
        elif kind[0] in "LMN":
            result = _LETTERS.get(character, character)
        else:
            result = " "
        self[code] = result
        return result


_CHARACTERS: Final = _Characters()


def fold(text: str) -> str:
    """Return the spelling under which names are compared.

    Compatibility decomposition, accents dropped, letters such as ``ł ø ß æ đ þ`` mapped, case folded, apostrophes
    dropped, every other sign a space, single spaces. Scripts other than Latin are kept. A text of signs only, such as
    ``!!!``, keeps its signs, so that such names can be found too. Folding twice changes nothing.

        >>> fold("Łódź"), fold("O'Neil"), fold("AC/DC"), fold("!!!")
        ('lodz', 'oneil', 'ac dc', '!!!')
    """
    plain = text.translate(_APOSTROPHES)
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", plain).casefold())
        folded = unicodedata.normalize("NFC", " ".join(plain.translate(_CHARACTERS).split()))
    else:
        folded = " ".join(plain.lower().translate(_CHARACTERS).split())
    return folded or "".join(c for c in plain.translate(_APOSTROPHES) if unicodedata.category(c)[0] in "PS")


def tokens(text: str) -> list[str]:
    """Return the words of the folded text, in order, with repeats."""
    return fold(text).split()
