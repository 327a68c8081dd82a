"""Entities from a Wikidata JSON dump: one big array, one entity per line, plain or ``.gz`` or ``.bz2``.

Kept of each item: label, description and aliases in one language (falling back to ``mul``, its regional variants,
English, then any), statements with item values as triples, a few kinds of literals (:data:`TIMES`, :data:`NUMBERS`,
:data:`TEXTS`), the file name of its picture (P18), the number of sitelinks and the title in that language's Wikipedia.
Deprecated statements are left out; where a property has preferred statements, only those count. Property entities give
the names of relations. Lexemes are passed over.

The conditions of ``--where`` are first tried on the raw bytes, so that most lines are never parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from melink.kb.items import Item, Outside, Relation, Unusable
from melink.kb.jsonl import MAX_NAME, MAX_TEXT
from melink.kb.where import Where
from melink.records import Entity, Triple

TIMES: Final = frozenset({"P569", "P570", "P571", "P576", "P577", "P580", "P582", "P585", "P1619"})
"""Birth, death, inception, dissolution, publication, start, end, point in time, opening."""
NUMBERS: Final = frozenset({"P1082", "P2044", "P2046", "P2048", "P2067", "P1098"})
"""Population, elevation, area, height, mass, speakers; units are dropped."""
TEXTS: Final = frozenset({"P742", "P1448", "P1449", "P1477", "P1559", "P1476", "P528", "P281", "P474"})
"""Pseudonym, official name, nickname, birth name, native name, title, catalogue code, postal code, calling code."""
_ID: Final = re.compile(rb'"id":"([QPL][1-9]\d*)"')


class WikidataDump:
    """Reads the lines of a dump.

    Args:
        language: Language code of labels, descriptions and aliases.
        where: Conditions; items that do not meet them are not returned, only their labels.
    """

    def __init__(self, language: str, where: Where) -> None:
        self.language = language
        self.where = where
        self._types = [t.encode() for t in where.types]
        self._label = f'"{language}":{{"language":"{language}","value":'.encode()

    def __call__(self, raw: bytes) -> Item | None:
        """Return what a line holds.

        Raises:
            Unusable: Not JSON, or not of the form of the dumps.
        """
        raw = raw.strip().rstrip(b",").rstrip()
        if raw in (b"", b"[", b"]"):
            return None
        if self.where and not self._may_match(raw):
            return self._outside(raw)
        try:
            record = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise Unusable(f"not JSON: {error}", "not JSON") from error
        if not isinstance(record, dict) or not isinstance(record.get("id"), str):
            raise Unusable("not an entity of a Wikidata dump", "not an object")
        return self._item(record)

    def _may_match(self, raw: bytes) -> bool:
        """Return False only when the parsed item could not meet the conditions. Properties always pass."""
        if raw.startswith(b'{"type":"property"'):
            return True
        if self._types and not any(b'"' + t + b'"' in raw or b'"numeric-id":' + t[1:] in raw for t in self._types):
            return False
        if not all(f'"{language}"'.encode() in raw for language in self.where.languages):
            return False
        return not self.where.sitelinks or raw.count(b'"site"') >= self.where.sitelinks

    def _outside(self, raw: bytes) -> Item | None:
        """Return id and label of an item without parsing all of it."""
        id = _ID.search(raw, 0, 200)
        start = raw.find(self._label)
        if id is None or start < 0 or start > raw.find(b'"descriptions"') >= 0:
            return None
        start += len(self._label)
        end = raw.find(b'"}', start)
        try:
            label = orjson.loads(raw[start : end + 1])
        except orjson.JSONDecodeError:  # a quote before a brace inside the label: rare, and only a tail's label is lost
            return None
        return Outside(id[1].decode(), label[:MAX_NAME]) if isinstance(label, str) else None

    def _item(self, record: dict[str, Any]) -> Item | None:
        id = record["id"]
        kind = record.get("type", "item")
        label = self._best(_dict(record.get("labels")))
        if kind == "property":
            return Relation(id, label, self._best(_dict(record.get("descriptions")))) if label else None
        if kind != "item":
            return None
        if not label:
            raise Unusable("no label in any language", "no label", id)
        entity = self._entity(id, label, record)
        languages = _dict(record.get("labels"))
        if not all(language in languages for language in self.where.languages):
            return Outside(id, label)
        return entity

    def _entity(self, id: str, label: str, record: dict[str, Any]) -> Entity:
        sitelinks = _dict(record.get("sitelinks"))
        triples: list[Triple] = []
        extra: dict[str, Any] = {"sitelinks": len(sitelinks)}
        for relation, statements in _dict(record.get("claims")).items():
            for snak in _best_snaks(statements):
                if relation == "P18" and isinstance(name := _dict(snak.get("datavalue")).get("value"), str):
                    extra.setdefault("commons_image", name)
                elif (triple := _triple(relation, snak)) is not None:
                    triples.append(triple)
        title = _dict(sitelinks.get(f"{self.language}wiki")).get("title")
        if isinstance(title, str):
            extra["wikipedia_title"] = title
        if types := [t.tail for t in triples if t.relation == "P31"]:
            extra["type_qids"] = types
        aliases = [_value(alias) for alias in _list(_dict(record.get("aliases")).get(self.language))]
        return Entity(
            id=id,
            label=label,
            aliases=tuple(dict.fromkeys(alias for alias in aliases if alias and alias != label)),
            description=self._best(_dict(record.get("descriptions")), only_near=True)[:MAX_TEXT],
            triples=tuple(dict.fromkeys(triples)),
            extra=extra,
        )

    def _best(self, texts: dict[str, Any], only_near: bool = False) -> str:
        """Return the text in the wanted language or the nearest to it; ``only_near`` gives none rather than any."""
        variants = sorted(code for code in texts if code.startswith(f"{self.language}-"))
        rest = () if only_near else sorted(texts)
        return next(
            (v for code in (self.language, "mul", *variants, "en", *rest) if (v := _value(texts.get(code)))), ""
        )


def _best_snaks(statements: Any) -> Iterator[dict[str, Any]]:
    """Yield the main values of the statements of one property that count by their rank."""
    ranked = [s for s in map(_dict, _list(statements)) if s.get("rank") != "deprecated"]
    preferred = [s for s in ranked if s.get("rank") == "preferred"]
    for statement in preferred or ranked:
        snak = _dict(statement.get("mainsnak"))
        if snak.get("snaktype") == "value":
            yield snak


def _triple(relation: str, snak: dict[str, Any]) -> Triple | None:
    data = _dict(snak.get("datavalue"))
    value, kind = data.get("value"), data.get("type")
    if kind == "wikibase-entityid":
        number = _dict(value).get("numeric-id")
        id = _dict(value).get("id") or (f"Q{number}" if _dict(value).get("entity-type") == "item" else None)
        return Triple(relation, id) if isinstance(id, str) and id.startswith("Q") else None
    text = ""
    if kind == "time" and relation in TIMES:
        text = _time(_dict(value))
    elif kind == "quantity" and relation in NUMBERS:
        text = str(_dict(value).get("amount") or "").removeprefix("+")
    elif kind == "monolingualtext" and relation in TEXTS:
        text = str(_dict(value).get("text") or "")
    elif kind == "string" and relation in TEXTS and isinstance(value, str):
        text = value
    text = text.replace("\0", "").strip()[:MAX_NAME]
    return Triple(relation, text, literal=True) if text else None


def _time(value: dict[str, Any]) -> str:
    """Return a date as precise as it is known: ``1952-03-11``, ``1952-03``, ``1952``, ``1950s``, ``20th century``."""
    match = re.fullmatch(r"([+-])(\d{1,16})-(\d\d)-(\d\d)T.*", str(value.get("time", "")))
    precision = value.get("precision")
    if match is None or not isinstance(precision, int) or precision < 7:
        return ""
    year, era = int(match[2]), " BCE" if match[1] == "-" else ""
    if precision == 7:
        century = (year + 99) // 100
        ending = "th" if 10 <= century % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(century % 10, "th")
        return f"{century}{ending} century{era}"
    if precision == 8:
        return f"{year // 10 * 10}s{era}"
    parts = (f"{year:04d}" if precision > 9 else str(year), match[3], match[4])
    return "-".join(parts[: precision - 8][:3]) + era


def _value(text: Any) -> str:
    value = _dict(text).get("value")
    return value.replace("\0", "").strip()[:MAX_NAME] if isinstance(value, str) else ""


def _dict(value: Any) -> dict[str, Any]:
    """Return a mapping as it is, and anything else (the dumps write an empty one as ``[]``) as an empty one."""
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
