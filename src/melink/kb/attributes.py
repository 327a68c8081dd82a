"""``Sex: female. Birth: 1942, Hollywood. Occupation: actor, singer.`` as triples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from melink.records import Triple

_KEY: Final = r"[A-Z][A-Za-z]*(?: [a-z]+){0,3}: "
_NEXT: Final = re.compile(rf"\. +(?={_KEY})")
_PAIR: Final = re.compile(rf"({_KEY})(.*)", re.DOTALL)
_DATE: Final = re.compile(r"-?\d{1,4}(?:-\d\d){0,2}(?: BCE?)?|\d{1,2}(?:st|nd|rd|th) century(?: BCE?)?")
_ABBREVIATION: Final = re.compile(r"(?:\b[A-Z]\.)+[A-Z]$|\b(?:Jr|Sr|St|Inc|Ltd|Co|Mt|Ft)$")
_ITEM: Final = re.compile(r"""\s*(?:"([^"]+)"(?=\s*(?:,|$))|((?:\([^()]*\)|[^,])*))(?:,|$)""")
_SUFFIX: Final = re.compile(r"(?:Jr|Sr|Inc|Ltd|Esq)\.?|I{1,3}|IV|VI{0,3}|D\.C\.?|M\.D\.?|Ph\.D\.?")
_RENAMED: Final = {"languages": "language", "nick name": "nickname", "work starts": "work start"}
_PLACED: Final = {"birth", "death"}


def attribute_triples(text: str) -> tuple[Triple, ...]:
    """Return one literal triple per value of a property string.

    ``Birth`` and ``Death`` give a date and a place (``birth date``, ``birth place``), every other key one triple per
    value between commas, so that ``Occupation: actor, singer`` gives two. A full stop ends a value only before the next
    ``Key:`` or at the end, so that ``St. Louis`` and ``Washington, D.C.`` stay whole; commas inside quotes or brackets
    and before ``Jr.`` and the like do not split. Text of another form gives nothing.
    """
    found: dict[tuple[str, str], None] = {}
    parts = _NEXT.split(text.strip())  # the stops between are gone, that of the last one is not
    for part in (*parts[:-1], _without_stop(parts[-1])):
        match = _PAIR.fullmatch(part)
        if match is None:
            continue
        key = match[1].removesuffix(": ").lower()
        for relation, value in _values(key, match[2].strip()):
            found[relation, value] = None
    return tuple(Triple(relation, value, literal=True) for relation, value in found)


def _without_stop(value: str) -> str:
    shorter = value.removesuffix(".")
    return value if shorter != value and _ABBREVIATION.search(shorter) else shorter


def _values(key: str, value: str) -> Iterator[tuple[str, str]]:
    if key in _PLACED:
        date, _, place = value.partition(",")
        if not _DATE.fullmatch(date.strip()):
            date, place = "", value
        elif date.startswith("-"):
            date = f"{date[1:].strip()} BCE"
        pairs = [(f"{key} date", date), (f"{key} place", place)]
    else:
        pairs = [(_RENAMED.get(key, key), item) for item in _split(value)]
    for relation, item in pairs:
        cleaned = item.strip().strip('"').strip()
        if cleaned:
            yield relation, cleaned


def _split(value: str) -> list[str]:
    items: list[str] = []
    for match in _ITEM.finditer(value):
        item = (match[1] or match[2]).strip()
        if items and _SUFFIX.fullmatch(item):
            items[-1] += f", {item}"
        else:
            items.append(item)
    return items
