"""Results of ``evaluate --json`` as systems: one system is one or more results that differ in their seed only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from melink.config import parse
from melink.errors import ConfigError, InputError, ProtocolError
from melink.evaluate.mentions import MentionRanks
from melink.evaluate.protocol import Protocol

_AGAIN: Final = "evaluate again with this melink and --json"
_SEED: Final = re.compile(r"[-_. ]?seed[-_=. ]?\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Result:
    """What one file says, as far as a comparison needs it.

    Attributes:
        path: The file.
        protocol: How the figures came about.
        mentions: Rank, sentence and slices of each linkable mention.
    """

    path: str
    protocol: Protocol
    mentions: MentionRanks

    def ranks(self) -> dict[str, float]:
        """Return the rank of each mention that figures count, +inf for a miss; ``drop`` leaves misses out."""
        pairs = zip(self.mentions.id, self.mentions.rank, strict=True)
        kept = self.protocol.miss_policy != "drop"
        return {id: float("inf") if rank is None else rank for id, rank in pairs if kept or rank is not None}

    def slice(self, name: str) -> frozenset[str]:
        """Return the ids of a slice; empty when there is no such slice."""
        return frozenset(self.mentions.id[place] for place in self.mentions.slices.get(name, ()))


@dataclass(frozen=True, slots=True)
class System:
    """What stands in one row of a comparison.

    Attributes:
        name: For people; no two systems of a comparison share it.
        results: One for each seed.
    """

    name: str
    results: tuple[Result, ...]

    @property
    def reads(self) -> str:
        """Which fields of the knowledge base it reads."""
        return ", ".join(dict.fromkeys(result.protocol.entity_text_source for result in self.results))


def read_result(path: str | Path) -> Result:
    """Read a file that ``melink evaluate --json`` wrote.

    Raises:
        InputError: The file cannot be read, is something else, or lacks the ranks of mentions.
        ProtocolError: Its protocol is incomplete or of another melink.
    """
    try:
        data = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "check the path") from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON: {error}", _AGAIN) from error
    if not isinstance(data, dict) or not isinstance(data.get("protocol"), dict):
        raise InputError(
            f"{path}: not a result of an evaluation", "give files that 'melink evaluate --json FILE' wrote"
        )
    if not isinstance(data.get("mentions"), dict):
        raise InputError(f"{path}: it has figures, but not the rank of each mention", _AGAIN)
    try:
        return Result(str(path), _protocol(data["protocol"]), parse(MentionRanks, data["mentions"]))
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error.message}", error.remedy) from error
    except ConfigError as error:
        raise InputError(f"{path}: the ranks of mentions cannot be used: {error.message}", _AGAIN) from error


def _protocol(data: Mapping[str, Any]) -> Protocol:
    protocol = Protocol.from_dict(data)
    words = (protocol.method, protocol.run or "", protocol.entity_text_source, protocol.split_file, protocol.kb_hash)
    if not all(isinstance(word, str) for word in words) or not isinstance(protocol.kb_size, int):
        raise ProtocolError("a protocol field of the wrong type", _AGAIN)
    if not all(isinstance(each, dict) for each in (protocol.encoders, protocol.weights, protocol.reranker)):
        raise ProtocolError("encoders, weights and reranker are not objects", _AGAIN)
    return protocol


def gather(results: Sequence[Result]) -> list[System]:
    """Join results that are the same system with another seed, in order of first appearance, and name the systems.

    They are the same system when method, entity text, reranker, encoders and weights agree and the runs are called the
    same but for the number after "seed" (``runs/a-seed1``, ``runs/a-seed2``). Where the run's name has such a number,
    encoders and weights need only have the same names: training made them. Two results with the same run and the same
    seeds are never joined, because something that the protocol does not show must differ.
    """
    same: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        same.setdefault(_settings(result.protocol), []).append(result)
    joined: list[tuple[Result, ...]] = []
    for own in same.values():
        seeds = {(result.protocol.run, result.protocol.seeds) for result in own}
        joined += [tuple(own)] if len(seeds) == len(own) else [(result,) for result in own]
    joined.sort(key=lambda own: results.index(own[0]))
    return [System(name, own) for name, own in zip(_names(joined), joined, strict=True)]


def _settings(protocol: Protocol) -> tuple[Any, ...]:
    run = protocol.run or protocol.method
    bare = _SEED.sub("", run)
    made = [sorted(each) if bare != run else sorted(each.items()) for each in (protocol.encoders, protocol.weights)]
    return (protocol.method, bare, protocol.entity_text_source, *map(str, (*made, sorted(protocol.reranker.items()))))


def _called(protocol: Protocol) -> str:
    run = _SEED.sub("", Path(protocol.run or "").name) or protocol.method
    again = ":".join(str(protocol.reranker[key]) for key in ("name", "variant") if key in protocol.reranker)
    return f"{run} + {again}" if again else run


def _names(joined: Sequence[Sequence[Result]]) -> list[str]:
    """Return the last part of the run's name, or where two would be called the same the file's, or its whole path."""
    runs = [_called(own[0].protocol) for own in joined]
    stems = [Path(own[0].path).stem for own in joined]
    paths = [own[0].path for own in joined]
    counts = Counter(runs)
    names = [stem if counts[run] > 1 else run for run, stem in zip(runs, stems, strict=True)]
    counts = Counter(names)
    return [path if counts[name] > 1 else name for name, path in zip(names, paths, strict=True)]
