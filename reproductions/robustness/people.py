"""The people of the study, and captions whose words alone cannot tell them apart."""

from __future__ import annotations

import csv
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from melink.datasets.files import open_bytes, replacing
from melink.errors import NotFound
from melink.records import Labelled, Mention

TEMPLATES: Final = (
    "{name} speaking at a hearing",
    "{name} arrives for the vote",
    "A photograph of {name}",
    "{name} answers questions after the meeting",
    "{name}, seen here on Tuesday",
    "Reporters surround {name}",
    "{name} at the event",
    "{name} in a file picture",
)
SHARES: Final = {"train": 0.6, "valid": 0.15}
"""Of the people with a second picture nobody is trained on; of all others the rest is for testing."""
_SUFFIXES: Final = frozenset({"jr.", "jr", "sr.", "sr", "ii", "iii", "iv"})


@dataclass(frozen=True)
class Person:
    """One person of the knowledge base.

    Attributes:
        id: QID.
        label: Whole name.
        portrait: The picture in the knowledge base, which mentions are made from.
        second: Another picture, never in the knowledge base; None for most.
    """

    id: str
    label: str
    portrait: Path
    second: Path | None

    @property
    def names(self) -> tuple[str, str]:
        """Surname and first name."""
        words = [word.rstrip(",") for word in self.label.split()]
        while len(words) > 2 and words[-1].lower() in _SUFFIXES:
            words.pop()
        return words[-1], words[0]


def read_people(data: Path) -> list[Person]:
    """Return everybody with a portrait, by QID.

    Raises:
        NotFound: The data has no portraits.
    """
    portraits: dict[str, tuple[str, Path]] = {}
    seconds: dict[str, Path] = {}
    index = data / "images" / "index.csv"
    if not index.is_file():
        raise NotFound(f"no {index}", "give the folder of the shared data with --data")
    with index.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            if "us_politicians/" in row["file"]:
                if row["role"] == "entity_alt":
                    seconds[row["qids"]] = (data / row["file"]).absolute()
                else:
                    portraits[row["qids"]] = (row["labels"], (data / row["file"]).absolute())
    return [Person(id, label, file, seconds.get(id)) for id, (label, file) in sorted(portraits.items())]


def write_people(people: Iterable[Person], data: Path, folder: Path, without: frozenset[str] = frozenset()) -> None:
    """Write ``entities.jsonl``, their rows of the shared knowledge base, and ``index.csv``, their portraits.

    Args:
        people: Whom.
        data: The shared data.
        folder: Where to.
        without: Ids of those whose portrait is left out.
    """
    own = {person.id: person for person in people}
    with open_bytes(data / "kb" / "entities.jsonl.gz") as lines, replacing(folder / "entities.jsonl") as out:
        for line in lines:
            if orjson.loads(line)["qid"] in own:
                out.write(line)
    pictured = [person for person in own.values() if person.id not in without]
    with replacing(folder / "index.csv") as out:
        out.write(b"file,qids\n" + b"".join(f"{p.portrait},{p.id}\n".encode() for p in pictured))


def ambiguous(people: Iterable[Person]) -> dict[str, list[Person]]:
    """Return people by the name they are called: the surname where others bear it, else a first name that others bear.

    Everybody is called by one name, so that groups have nobody in common; who bears an unshared name is left out.
    """
    everybody = list(people)
    surnames, firsts = (Counter(person.names[which] for person in everybody) for which in (0, 1))
    groups: dict[str, list[Person]] = defaultdict(list)
    for person in everybody:
        surname, first = person.names
        if surnames[surname] > 1:
            groups[surname].append(person)
        elif firsts[first] > 1:
            groups[first].append(person)
    return dict(sorted(groups.items()))


def split(groups: Mapping[str, list[Person]], seed: int) -> dict[str, list[tuple[str, Person]]]:
    """Return name and person for ``train``, ``valid`` and ``test``; a name is in one of them only.

    Groups with somebody who has a second picture are always for testing.
    """
    draw, kept = random.Random(f"split {seed}"), {name: own for name, own in groups.items() if _second(own)}
    rest = [name for name in groups if name not in kept]
    draw.shuffle(rest)
    everybody = sum(map(len, groups.values()))
    found: dict[str, list[tuple[str, Person]]] = {"train": [], "valid": [], "test": []}
    for name in rest:
        part = next((p for p in ("train", "valid") if len(found[p]) < SHARES[p] * everybody), "test")
        found[part] += [(name, person) for person in groups[name]]
    found["test"] += [(name, person) for name, own in kept.items() for person in own]
    return found


def mention(id: str, name: str, person: Person, image: Path | None, seed: str) -> Labelled:
    """Return a mention of a person by a name, in a sentence that says nothing about him or her."""
    template = random.Random(f"caption {seed}").choice(TEMPLATES)
    start = template.index("{name}")
    made = Mention(
        id, template.format(name=name), name, start, start + len(name), None if image is None else str(image)
    )
    return Labelled(made, person.id, {"sentence_id": id})


def chance(people: Iterable[Person], asked: Iterable[tuple[str, Person]]) -> float:
    """Return the expected Hits@1 of guessing among all who bear the name, as first name or surname."""
    bearers = Counter(name for person in people for name in set(person.names))
    shares = [1 / bearers[name] for name, _ in asked]
    return sum(shares) / len(shares)


def _second(own: Iterable[Person]) -> bool:
    return any(person.second is not None for person in own)
