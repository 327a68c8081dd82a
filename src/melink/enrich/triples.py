"""A file of mentions in, the same file with facts about each mention out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from melink.datasets.files import replacing
from melink.enrich.facts import Facts, Made, enriched_row
from melink.enrich.rows import Group, Row, by_sentence, placed, read
from melink.errors import Problems


class Generator(Protocol):
    """Makes facts about mentions from what stands around them, and never from gold."""

    def make(self, groups: Sequence[Group]) -> list[Made]:
        """Return what is known about each sentence, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        mentions: Rows.
        sentences: Groups of rows that a generator saw as one.
        failed: Rows of sentences without an answer; they are written without new facts.
        with_triples: Rows with a triple apart from their type.
        with_type: Rows with a type.
        with_description: Rows with a description.
        triples: Triples in all.
        relations: How many triples have each relation.
        failures: Sentences without an answer, by reason.
    """

    mentions: int
    sentences: int
    failed: int
    with_triples: int
    with_type: int
    with_description: int
    triples: int
    relations: Mapping[str, int]
    failures: Mapping[str, int]


def enrich(
    source: str | Path,
    output: str | Path,
    generator: Generator,
    images: str | Path | None = None,
    problems: Problems | None = None,
) -> Written:
    """Write the usable rows of a mentions file, in order, with facts about each mention.

    The file appears when it is complete.

    Args:
        source: JSONL of mentions, or ``-`` for standard input.
        output: Where to write; ``.gz`` is packed, ``-`` is standard output.
        generator: Makes the facts.
        images: Folder or table that holds the pictures.
        problems: Collects rows that cannot be used.
    """
    rows = read(source, images, Problems() if problems is None else problems)
    groups = by_sentence(rows)
    made = generator.make(groups)
    origin = {mention.id: each for group, each in zip(groups, made, strict=True) for mention in group.mentions}
    folder = Path() if str(output) == "-" else Path(output).parent
    with nullcontext(sys.stdout.buffer) if str(output) == "-" else replacing(Path(output)) as out:
        for row in rows:
            each = origin[row.mention.id]
            fields = placed(row, source, images, folder)
            filled = enriched_row(fields, each.facts.get(row.mention.id, Facts()), each)
            out.write(orjson.dumps(filled, option=orjson.OPT_APPEND_NEWLINE))
    return _counted(rows, made, origin)


def _counted(rows: Sequence[Row], made: Sequence[Made], origin: Mapping[str, Made]) -> Written:
    facts = [origin[row.mention.id].facts.get(row.mention.id, Facts()) for row in rows]
    failures = Counter(str(each.about.get("failure")) for each in made if each.failed)
    return Written(
        mentions=len(rows),
        sentences=len(made),
        failed=sum(origin[row.mention.id].failed for row in rows),
        with_triples=sum(each.telling for each in facts),
        with_type=sum(bool(each.type) for each in facts),
        with_description=sum(bool(each.description) for each in facts),
        triples=sum(len(each.triples) for each in facts),
        relations=dict(Counter(triple.relation for each in facts for triple in each.triples).most_common()),
        failures=dict(failures),
    )
