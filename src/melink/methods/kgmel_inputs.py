"""What ``kgmel`` reads of mentions and entities: texts, pictures, facts; and their vectors, each made once.

A fact is a pair of texts, relation and tail, kept together: they cannot get out of step. Equal pairs of one item count
once; an item with more facts than are wanted keeps those of as many relations as possible, chosen by a hash of their
words, so the choice depends on the facts alone and not on their order.

Ours: relation and tail are read by their names alone, on both sides. The paper reads those of entities as ``label:
description``, which the facts of a mention, bare words, have not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from melink.errors import ConfigError
from melink.features.template import read_entities, read_mention
from melink.kb.view import EntityView
from melink.methods.base import Context
from melink.records import Mention, Triple

Fact = tuple[str, str]
"""Texts of relation and tail; the relation is empty for the mention's own sentence."""
Description = Literal["instead", "beside", "ignored"]


def mention_texts(template: str, description: Description, mentions: Sequence[Mention]) -> list[str]:
    """Return what is read of mentions.

    Args:
        template: Of a mention without a generated description.
        description: What a generated description is read instead of, or beside.
        mentions: Any number.
    """
    return [_mention_text(template, description, mention) for mention in mentions]


def _mention_text(template: str, description: Description, mention: Mention) -> str:
    said = mention.attributes.get("description", "").strip()
    plain = read_mention(template, mention)
    if not said or description == "ignored":
        return plain
    described = f"{mention.surface}: {said}"
    return described if description == "instead" else f"{described}. {plain}"


def entity_texts(template: str, asides: bool, view: EntityView, most_triples: int) -> list[str]:
    """Return what is read of entities, without what stands in brackets unless ``asides``."""
    texts = read_entities(template, view, most_triples)
    return texts if asides else [_without_asides(text).removesuffix(":").rstrip() for text in texts]


def _without_asides(text: str) -> str:
    """Drop what stands in round brackets, and the blanks before it; a bracket without its partner stays."""
    opened: list[int] = []
    asides: list[tuple[int, int]] = []
    for place, letter in enumerate(text):
        if letter == "(":
            opened.append(place)
        elif letter == ")" and opened:
            begin = opened.pop()
            while asides and asides[-1][0] > begin:
                asides.pop()
            asides.append((begin, place + 1))
    kept, last = [], 0
    for begin, end in asides:
        kept.append(text[last:begin].rstrip())
        last = end
    return "".join((*kept, text[last:]))


def fact(triple: Triple) -> Fact:
    """Return the names of a triple's relation and tail; their ids where they have none."""
    return triple.relation_label or triple.relation, triple.tail_label or triple.tail


def mention_facts(mention: Mention, most: int, sentence: str) -> list[Fact]:
    """Return the facts of a mention; a sentence that is not empty is one more, without a relation."""
    found = chosen(map(fact, mention.triples), most)
    return [*found, ("", sentence)] if most and sentence.strip() else found


def chosen(facts: Iterable[Fact], most: int) -> list[Fact]:
    """Return at most so many different facts: one of each relation, then a second of each, and so on."""
    found = sorted({own for own in facts if own[1].strip()})
    if len(found) <= most:
        return found
    by_relation: dict[str, list[Fact]] = {}
    for own in sorted(found, key=_chance):
        by_relation.setdefault(own[0], []).append(own)
    ranked = [(place, _chance(own), own) for mine in by_relation.values() for place, own in enumerate(mine)]
    return sorted(own for _, _, own in sorted(ranked)[:most])


def _chance(own: Fact) -> bytes:
    return hashlib.blake2b("\0".join(own).encode("utf-8", "surrogatepass"), digest_size=8).digest()


class Given(NamedTuple):
    """Some items, ready for the tower. Facts that several of them have are there once.

    Attributes:
        text: Text vectors, zeros where there is none.
        image: Picture vectors, zeros where there is none; None when nobody has one.
        relations, tails: Vectors of the different texts.
        pairs: Relation and tail of each different fact.
        owners: Which item, in rising order, has a fact …
        facts: … and which; as long as ``owners``.
    """

    text: Float[Tensor, "n dt"]
    image: Float[Tensor, "n dv"] | None
    relations: Float[Tensor, "r dt"]
    tails: Float[Tensor, "t dt"]
    pairs: Int64[Tensor, "f 2"]
    owners: Int64[Tensor, " a"]
    facts: Int64[Tensor, " a"]


@dataclass(frozen=True)
class Facts:
    """The facts of many items; those that several have are there once.

    Attributes:
        relations, tails: Vectors of the different texts.
        pairs: Relation and tail of each different fact.
        bounds: Where each item's own begin and end in ``places``.
        places: Rows of ``pairs``.
    """

    relations: Float32[np.ndarray, "r d"]
    tails: Float32[np.ndarray, "t d"]
    pairs: Int64[np.ndarray, "f 2"]
    bounds: Int64[np.ndarray, " n1"]
    places: Int64[np.ndarray, " a"]


@dataclass(frozen=True)
class Items:
    """Mentions or entities as vectors.

    Attributes:
        text: Text vectors, zeros where there is none.
        image: Picture vectors, zeros where there is none; None when nobody has one.
        seen: Who has one.
        facts: What is known of them.
    """

    text: Float32[np.ndarray, "n d"]
    image: Float32[np.ndarray, "n i"] | None
    seen: Bool[np.ndarray, " n"]
    facts: Facts

    def take(self, rows: Int64[np.ndarray, " m"], device: torch.device | str, dtype: torch.dtype) -> Given:
        """Return some items, with the facts that they have and no others."""
        all_, lengths = self.facts, np.diff(self.facts.bounds)[rows]
        owners = np.repeat(np.arange(len(rows)), lengths)
        starts = np.repeat(all_.bounds[:-1][rows] - np.cumsum(lengths) + lengths, lengths)
        used, facts = np.unique(all_.places[starts + np.arange(len(owners))], return_inverse=True)
        pairs, columns = all_.pairs[used], []
        for side in (0, 1):
            column, pairs[:, side] = np.unique(pairs[:, side], return_inverse=True)
            columns.append(column)
        image = None if self.image is None else self.image[rows]
        arrays = (self.text[rows], image, all_.relations[columns[0]], all_.tails[columns[1]], pairs, owners, facts)
        return Given(*(None if array is None else _tensor(array, device, dtype) for array in arrays))


def gathered(own: Sequence[Sequence[Fact]], encode: Callable[[list[str]], Float32[np.ndarray, "t d"]]) -> Facts:
    """Return the facts of many items, with each different text encoded once.

    Args:
        own: Facts of each item.
        encode: Gives the vectors of different texts; zeros for an empty one.
    """
    texts: tuple[dict[str, int], dict[str, int]] = ({}, {})
    known: dict[Fact, int] = {}
    places = np.fromiter((known.setdefault(each, len(known)) for mine in own for each in mine), np.int64)
    pairs = [[texts[side].setdefault(each[side], len(texts[side])) for side in (0, 1)] for each in known]
    bounds = np.cumsum([0, *map(len, own)])
    relations, tails = (encode(list(each)) for each in texts)
    return Facts(relations, tails, np.asarray(pairs, np.int64).reshape(-1, 2), bounds, places)


class Reader:
    """Turns texts, pictures and facts into vectors, through the feature store.

    Args:
        context: Its text encoder is needed; its image encoder is used when ``images``.
        images: Whether pictures are read.
    """

    def __init__(self, context: Context, images: bool) -> None:
        if context.text is None:
            raise ConfigError("kgmel needs a text encoder", "choose one with --text-encoder")
        self.store, self.text, self.problems = context.store, context.text, context.problems
        self.image = context.image if images else None
        self._told: set[str] = set()

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "t d"]:
        """Return text vectors, zeros for blank ones."""
        return self.store.encode(self.text, texts).vectors()

    def items(self, texts: Sequence[str], images: Sequence[str | None], facts: Sequence[Sequence[Fact]]) -> Items:
        """Return the vectors of some items."""
        return Items(self.encode(texts), *self._pictures(images), gathered(facts, self.encode))

    def _pictures(
        self, images: Sequence[str | None]
    ) -> tuple[Float32[np.ndarray, "n i"] | None, Bool[np.ndarray, " n"]]:
        """Return picture vectors, None where nobody has one; what cannot be read is reported once."""
        if self.image is None:
            return None, np.zeros(len(images), bool)
        table = self.store.encode(self.image, images)
        absent = {path for path, seen in zip(images, table.present, strict=True) if path is not None and not seen}
        if fresh := sorted(absent - self._told):
            self._told.update(fresh)
            self.store.encode(self.image, fresh, problems=self.problems)
        return table.vectors() if table.present.any() else None, table.present


def _tensor(array: np.ndarray, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    found = torch.from_numpy(np.ascontiguousarray(array)).to(device)
    return found.to(dtype) if found.is_floating_point() else found
