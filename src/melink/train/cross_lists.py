"""What a reranker learns from: the lists that a retriever gives for mentions, and what a teacher says of them.

FOLDER/HASH.jsonl    first candidates of each mention, with scores, probabilities and parts

Of several processes (torchrun) the first retrieves, and the others read what it wrote.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import torch
from accelerate import PartialState

from melink import progress
from melink.candidates.base import Candidates
from melink.candidates.given import Given
from melink.datasets.files import json_rows
from melink.errors import Problems
from melink.linker import BATCH, Linker, batches, states
from melink.links import resumable
from melink.records import Labelled, Link, Mention, Scored

WHOLE: Final = 2048
"""Mentions ranked against the whole knowledge base at once."""
LONGEST: Final = timedelta(days=7)
"""So long one process waits for another, which may have to rank against a large knowledge base meanwhile."""
Shares = dict[str, float]
"""Entity id → share of the answer."""


def is_first() -> bool:
    """Return whether this is the process that writes and talks; torchrun starts several."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def in_turn(cpu: bool) -> Iterator[None]:
    """Let the first of several processes do something before the others, who then find the files that it wrote.

    Args:
        cpu: Leave an accelerator alone, as in the training that follows.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    with PartialState(cpu=cpu or not torch.accelerator.is_available(), timeout=LONGEST).main_process_first():
        yield


def retrieved(linker: Linker, samples: Sequence[Labelled], k: int, full: bool, folder: Path) -> list[Link]:
    """Return the first k candidates of mentions, from disk where they were retrieved before.

    Args:
        linker: The retriever.
        samples: Whose mentions.
        k: How many.
        full: Of the whole knowledge base, not of its generators' candidates.
        folder: Where they are kept; a stopped retrieval goes on.
    """
    mentions = [sample.mention for sample in samples]
    about: dict[str, Any] = {"retriever": states(linker), "kb": linker.kb.content_hash(), "k": k, "full": full}
    lists = [each.digest for each in linker.generators if isinstance(each, Given)] if not full else []
    about |= {"given": lists} if lists else {}
    read = [seen(mention) for mention in mentions]
    key = hashlib.sha256(json.dumps([about, read], sort_keys=True).encode()).hexdigest()[:32]
    file = folder / f"{key}.jsonl"
    if not file.is_file():
        size = WHOLE if full else BATCH
        with resumable(file, about, size) as (out, done), progress.task("retrieving", len(mentions), "mentions") as go:
            go(done)
            for batch in batches(mentions[done:], size):
                for link in _links(linker, batch, k, full):
                    row = [[c.id, c.label, c.score, c.probability, dict(c.parts)] for c in link.candidates]
                    out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                out.flush()
                go(len(batch))
    rows = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    return [Link(mention, tuple(map(_scored, row))) for mention, row in zip(mentions, rows, strict=True)]


def seen(mention: Mention) -> list[Any]:
    """Return all of a mention that a retriever may read, but for its id, which only given lists go by."""
    facts = [[fact.relation, fact.tail, fact.literal] for fact in mention.triples]
    own = [mention.surface, mention.text, mention.start, mention.end, mention.image]
    return [*own, *([facts] if facts else []), *([dict(mention.attributes)] if mention.attributes else [])]


def read_teacher(path: str | Path, problems: Problems) -> dict[str, Shares]:
    """Return what a teacher says of mentions, by their ids.

    Rows are links as ``melink link --rerank`` writes them, whose reranker's choice counts (several named ones by
    1 / place), or ``{"id": …, "probabilities": {"Q1": 0.7, …}}``. Rows without an answer are passed over.

    Raises:
        NotFound, InputError: The file cannot be read.
    """
    found: dict[str, Shares] = {}
    said: Any
    for place, row in json_rows(path, problems):
        said = row.get("probabilities")
        explanation = row.get("explanation")
        again = explanation.get("rerank") if isinstance(explanation, dict) else None
        if said is None and isinstance(again, dict) and isinstance(again.get("named"), list):
            said = {str(id): 1 / at for at, id in enumerate(again["named"], start=1)}
        id = row.get("id")
        if said is None and id is not None and again is not None:
            continue  # nobody answered
        if not isinstance(id, str | int) or not _is_shares(said):
            problems.add(place.file, place.line, "no teacher's choice", kind="no teacher's choice")
            continue
        if any(said.values()):
            found[str(id)] = {str(entity): float(share) for entity, share in said.items()}
    return found


def _links(linker: Linker, mentions: Sequence[Mention], k: int, full: bool) -> Iterator[Link]:
    ids = linker.whole(mentions, k).ids if full else linker.candidates(mentions).ids
    for start in range(0, len(mentions), BATCH):
        piece = slice(start, start + BATCH)
        yield from linker.rank(mentions[piece], Candidates(ids[piece]), k)


def _scored(row: Sequence[Any]) -> Scored:
    id, label, score, probability, parts = row
    return Scored(id, label, score, parts, probability=probability)


def _is_shares(said: Any) -> bool:
    return isinstance(said, dict) and all(
        isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share < float("inf")
        for share in said.values()
    )
