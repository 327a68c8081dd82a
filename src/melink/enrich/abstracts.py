"""Files of abstracts: JSON lines, two columns, or DBpedia's triples; plain or packed.

A text is known by a *key*: an id of the knowledge base, a Wikidata or DBpedia address, or the title of an article.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import orjson

from melink.errors import InputError, Problems
from melink.kb.jsonl import MAX_TEXT
from melink.kb.lines import LONGEST, Line, lines

_IDS: Final = ("id", "qid", "entity_id", "wikidata")
_TITLES: Final = ("title", "wikipedia_title", "label", "name")
_TEXTS: Final = ("text", "abstract", "extract", "summary", "introduction", "description")
_HEADS: Final = frozenset((*_IDS, *_TITLES))
_LITERAL: Final = re.compile(
    r"<([^<>\s]{1,2000})>\s+<([^<>\s]{1,500})>\s+\"((?:[^\"\\]|\\.)*)\"(?:@([A-Za-z-]{1,20})|\^\^\S+)?\s*\.\s*"
)
_RESOURCE: Final = re.compile(r"<([^<>\s]{1,2000})>\s+<([^<>\s]{1,500})>\s+<([^<>\s]{1,2000})>\s*\.\s*")
_ABSTRACTS: Final = ("/abstract", "#comment", "/description", "#abstract")
_SAME: Final = ("#sameAs", "/sameAs")
_WIKIDATA: Final = re.compile(r"https?://(?:www\.)?wikidata\.(?:org|dbpedia\.org)/(?:entity|wiki|resource)/(Q[1-9]\d*)")
_ITEM: Final = re.compile(r"Q[1-9]\d*")
"""Such an id is an entity's; another one may be a page's, as in what WikiExtractor writes."""
_ARTICLE: Final = re.compile(
    r"https?://(?:[a-z-]+\.)?(?:dbpedia\.org/(?:resource|page)|(?:m\.)?wikipedia\.org/wiki)/(.+)"
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_PLAIN: Final = {"t": "\t", "n": "\n", "r": "\n", "b": " ", "f": " "}


@dataclass(frozen=True, slots=True)
class Abstract:
    """One text.

    Attributes:
        key: Id, or title with blanks.
        text: As the file has it.
        titled: The key is a title rather than an id.
        line: Where it stands.
        title: Beside an id that may be that of a page rather than of an entity.
    """

    key: str
    text: str
    titled: bool
    line: int
    title: str = ""


def read_abstracts(
    path: Path, problems: Problems, language: str = "en", same: dict[str, str] | None = None
) -> Iterator[Abstract]:
    """Yield the texts of a file in its order.

    ``.jsonl``: an id (``id``, ``qid``), a title (``title``, ``label``) or both, and the text (``text``, ``abstract``,
    ``extract``). ``.tsv``: key, text. ``.ttl``, ``.nt``: DBpedia's abstracts, a triple a line. All may be packed.

    Args:
        path: The file.
        problems: Receives lines that cannot be used.
        language: Of triples; those in other languages are passed over.
        same: Title → id, as :func:`read_same` gives it; ids that the file itself states win.

    Raises:
        InputError: Unknown kind of file, or it cannot be read.
    """
    name = path.name.removesuffix(".gz").removesuffix(".bz2")
    suffix = name.rpartition(".")[2].lower()
    parse = {"jsonl": _json, "ndjson": _json, "json": _json, "tsv": _columns, "txt": _columns}.get(suffix)
    if parse is None and suffix not in ("ttl", "nt"):
        raise InputError(
            f"{path}: unknown kind of abstracts", "name a .jsonl, .tsv, .nt or .ttl file, or one packed as .gz or .bz2"
        )
    known = dict(same or {})
    for line in lines(path):
        if line.too_long:
            problems.add(path, line.number, f"longer than {LONGEST:,} bytes", kind="line too long")
            continue
        try:
            found = _triple(line, language, known) if parse is None else parse(line)
        except ValueError as error:
            problems.add(path, line.number, str(error), kind="unusable abstract")
            continue
        if found is not None:
            yield _as_id(found, known)


def read_same(path: Path, problems: Problems) -> dict[str, str]:
    """Return title → Wikidata id from a file of ``sameAs`` triples, in either direction; a title's first one counts."""
    known: dict[str, str] = {}
    for line in lines(path):
        match = _RESOURCE.fullmatch(line.raw.decode("utf-8", "replace"))
        if match is not None:
            _same(match, known)
        elif line.raw.strip() and not line.raw.startswith(b"#"):
            problems.add(path, line.number, "not a triple of addresses", kind="unusable sameAs")
    return known


def _json(line: Line) -> Abstract | None:
    if not line.raw.strip():
        return None
    row = orjson.loads(line.raw)
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, found {type(row).__name__}")
    key = _first(row, _IDS)
    title = _first(row, _TITLES)
    if not key and not title:
        raise ValueError("no id and no title")
    made = _made(key or title, _first(row, _TEXTS), not key, line.number)
    return replace(made, title=title_of(title)) if key and title and not _ITEM.fullmatch(made.key) else made


def _first(row: dict[str, Any], names: tuple[str, ...]) -> str:
    values = (str(row[name]) if isinstance(row.get(name), int) else row.get(name) for name in names)
    return next((value for value in values if isinstance(value, str) and value.strip()), "")


def _columns(line: Line) -> Abstract | None:
    key, tab, text = line.raw.decode("utf-8", "replace").partition("\t")
    if not key.strip() or (line.number == 1 and key.strip().lower() in _HEADS):
        return None
    if not tab:
        raise ValueError("no tab between key and text")
    return _made(key, text.replace("\\n", "\n"), True, line.number)


def _triple(line: Line, language: str, known: dict[str, str]) -> Abstract | None:
    text = line.raw.decode("utf-8", "replace").strip()
    if not text or text.startswith("#"):
        return None
    match = _LITERAL.fullmatch(text)
    if match is None:
        if resource := _RESOURCE.fullmatch(text):
            _same(resource, known)
            return None
        raise ValueError("not a triple")
    if not match[2].endswith(_ABSTRACTS) or (match[4] or language).lower().partition("-")[0] != language.lower():
        return None
    return _made(match[1], _unescaped(match[3]), True, line.number)


def _made(key: str, text: str, titled: bool, line: int) -> Abstract:
    if len(text) > MAX_TEXT:
        raise ValueError(f"text has {len(text):,} characters, more than {MAX_TEXT:,}")
    return Abstract(key.strip(), text, titled, line)


def _as_id(found: Abstract, known: dict[str, str]) -> Abstract:
    """Return a text under the id that its address or title stands for, else under its bare title."""
    if match := _WIKIDATA.fullmatch(found.key):
        return Abstract(match[1], found.text, False, found.line)
    title = title_of(found.key) if found.titled else found.key
    if found.titled and title in known:
        return Abstract(known[title], found.text, False, found.line)
    return replace(found, key=title, title=known.get(found.title, found.title))


def title_of(key: str) -> str:
    """Return the title in an article's address, or the key itself with blanks."""
    match = _ARTICLE.fullmatch(key)
    return (
        unquote(match[1] if match else key, errors="replace").replace("_", " ").strip()
        if match
        else key.replace("_", " ")
    )


def _same(match: re.Match[str], known: dict[str, str]) -> None:
    if not match[2].endswith(_SAME):
        return
    for here, there in ((match[1], match[3]), (match[3], match[1])):
        if (wikidata := _WIKIDATA.fullmatch(there)) and _ARTICLE.fullmatch(here):
            known.setdefault(title_of(here), wikidata[1])


def _unescaped(text: str) -> str:
    def letter(match: re.Match[str]) -> str:
        if match[3] is not None:
            return _PLAIN.get(match[3], match[3])
        number = int(match[1] or match[2], 16)
        return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"

    return _ESCAPE.sub(letter, text)
