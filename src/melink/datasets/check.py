"""Is this directory the benchmark that papers report on, and what is missing or leaking in it?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from melink import progress
from melink.datasets.base import Dataset, Published
from melink.datasets.images import MISSING
from melink.datasets.leaks import TrainFootprint
from melink.errors import Problems
from melink.records import NIL, Labelled

_KEEP: Final = 1_000_000  # problems held for a split while it is read


@dataclass
class SplitCheck:
    """What one split holds. Counts are of mentions unless they say otherwise.

    Attributes:
        mentions: How many there are.
        published: How many were published, or None when nobody did for this split.
        sentences: Distinct sentences.
        entities: Distinct gold entities.
        no_span: The mention is no substring of its sentence.
        image_named: The release names a picture.
        image_found: The picture is there.
        image_blank: The release marks the picture as a blank placeholder.
        nil: Gold is NIL.
        no_gold: Nobody said what the answer is.
        gold_outside: Gold is not in the knowledge base; None without ``--kb``.
        gold_in_id: The mention id holds the gold id, so no method may read ids.
        gold_in_image_name: The picture's name holds the gold id.
        lists: Mentions with a published candidate list.
        gold_in_list: Mentions whose list holds the gold.
        problems: Rows passed over and parts repaired, by kind.
        first_problems: The first of them that are not missing pictures, for a person.
        leaks: What is shared with train; None for train itself.
    """

    mentions: int = 0
    published: int | None = None
    sentences: int = 0
    entities: int = 0
    no_span: int = 0
    image_named: int = 0
    image_found: int = 0
    image_blank: int = 0
    nil: int = 0
    no_gold: int = 0
    gold_outside: int | None = None
    gold_in_id: int = 0
    gold_in_image_name: int = 0
    lists: int = 0
    gold_in_list: int = 0
    problems: dict[str, int] = field(default_factory=dict)
    first_problems: list[str] = field(default_factory=list)
    leaks: dict[str, Any] | None = None


@dataclass
class Check:
    """What a directory holds, against what was published.

    Attributes:
        name: Benchmark.
        layout: Layout that was recognised.
        folder: The directory.
        source: Who published the counts compared with.
        splits: Split → what it holds.
        absent: Splits that were published and are not here.
        notes: What a reader of scores must know.
    """

    name: str
    layout: str
    folder: str
    source: str
    splits: dict[str, SplitCheck]
    absent: list[str]
    notes: str

    @property
    def complete(self) -> bool:
        """Whether every published split is here with the published count."""
        return not self.absent and all(split.mentions == split.published for split in self.splits.values())

    def to_dict(self) -> dict[str, Any]:
        """Return everything for a report."""
        return asdict(self) | {"complete": self.complete}


def check(dataset: Dataset, images: str | Path | None = None, kb: Collection[str] | None = None) -> Check:
    """Count what a dataset holds and compare it with what was published; find leaks into valid and test.

    Args:
        dataset: As :func:`melink.datasets.detect.open_dataset` returns it.
        images: Folder or index CSV of the mention pictures, when not where the layout has them.
        kb: Ids of the knowledge base that golds should be in.
    """
    published = _published(dataset)
    found: dict[str, SplitCheck] = {}
    footprint: TrainFootprint | None = None
    for name in dataset.splits:
        problems = Problems(keep=_KEEP)
        result = SplitCheck(published=published.mentions.get(name), gold_outside=None if kb is None else 0)
        mentions = progress.track(dataset.mentions(name, images, problems), f"{dataset.benchmark.name} {name}")
        golds: dict[str, str | None] = {}
        counted = _counted(mentions, result, golds, kb)
        if name == "train":
            footprint = TrainFootprint.of(counted)
        else:
            leaks = (footprint or TrainFootprint.of(())).report(counted)
            result.leaks = leaks.to_dict() if footprint else None
        lists = dataset.candidates_for(name, problems)
        result.lists = sum(id in golds for id in lists)
        result.gold_in_list = sum(golds.get(id) in ids for id, ids in lists.items())
        result.problems = dict(problems.counts)
        # missing pictures have their own count, and would hide everything else here
        others = (problem for problem in problems.first if not problem.reason.startswith(MISSING))
        result.first_problems = [str(problem) for problem in islice(others, 10)]
        found[name] = result
    absent = [name for name in published.mentions if name not in found]
    benchmark = dataset.benchmark
    return Check(benchmark.name, dataset.layout, str(dataset.folder), published.source, found, absent, benchmark.notes)


def _counted(
    mentions: Iterable[Labelled], result: SplitCheck, golds: dict[str, str | None], kb: Collection[str] | None
) -> Iterator[Labelled]:
    """Pass the mentions on while counting them into ``result`` and their golds into ``golds``."""
    sentences: set[str] = set()
    for item in mentions:
        mention, gold = item.mention, item.gold
        name = str(item.extra.get("image_file") or mention.image or "")
        result.mentions += 1
        result.no_span += mention.start is None
        result.image_named += bool(name)
        result.image_found += mention.image is not None
        result.image_blank += item.extra.get("blank_image") is True
        result.nil += gold == NIL
        result.no_gold += gold is None
        if gold is not None and gold != NIL:
            result.gold_in_id += _holds(mention.id, gold)
            result.gold_in_image_name += _holds(Path(name).name, gold)
            if kb is not None and result.gold_outside is not None:
                result.gold_outside += gold not in kb
        sentences.add(mention.text)
        golds[mention.id] = gold
        yield item
    result.sentences = len(sentences)
    result.entities = len(set(golds.values()) - {None, NIL})


def _holds(name: str, gold: str) -> bool:
    """Whether a name holds an id as a whole: ``richpediamel-Q76`` holds Q76, not Q7."""
    return gold in name and re.search(rf"(?<![^\W_]){re.escape(gold)}(?![^\W_])", name) is not None


def _published(dataset: Dataset) -> Published:
    known = (each for each in dataset.benchmark.published if dataset.layout in each.layouts)
    return next(known, Published("nobody, for this layout", (), {}))
