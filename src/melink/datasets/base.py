"""What a benchmark is, and what a directory of it looks like once its layout is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from melink.datasets.files import Place
from melink.datasets.images import ImageResolver
from melink.datasets.rows import read_rows
from melink.errors import NotFound, Problems
from melink.records import Entity, Labelled

SPLITS: Final = ("train", "valid", "test")
"""Our names of the splits; releases also say ``dev`` or ``val`` for the second."""

Rows = Iterator[tuple[Place, dict[str, Any]]]


@dataclass(frozen=True)
class Published:
    """Mention counts that somebody published.

    Attributes:
        source: Who, and what they counted.
        layouts: The layouts that should have these counts.
        mentions: Split → number of mentions.
    """

    source: str
    layouts: tuple[str, ...]
    mentions: Mapping[str, int]


@dataclass(frozen=True)
class Benchmark:
    """Facts about one benchmark that do not depend on the layout.

    Attributes:
        name: Short name; prefix of mention ids.
        title: Name as published.
        paper: Citation.
        stems: Layout → how its files call this benchmark; a layout that is absent never held it.
        published: Counts to compare with.
        notes: What a reader of scores must know.
    """

    name: str
    title: str
    paper: str
    stems: Mapping[str, str]
    published: tuple[Published, ...]
    notes: str = ""


@dataclass(frozen=True)
class Split:
    """One split of a dataset on disk; nothing is read before it is asked for.

    Attributes:
        name: ``train``, ``valid``, ``test``, or ``all`` for releases without splits.
        path: The file that holds it.
        rows: Reads the file into rows of the shape that :mod:`melink.datasets.rows` describes.
    """

    name: str
    path: Path
    rows: Callable[[Problems], Rows]

    def mentions(self, images: ImageResolver, problems: Problems) -> Iterator[Labelled]:
        """Stream the mentions with their gold; what is wrong goes to ``problems``."""
        return read_rows(self.rows(problems), images, problems)


@dataclass(frozen=True)
class Knowledge:
    """The knowledge base that a release brings along.

    Attributes:
        entities: Streams the entities, without their triples.
        triples: Streams (head id, relation id, tail id).
        relations: Streams (relation id, label, description).
    """

    entities: Callable[[Problems], Iterator[Entity]]
    triples: Callable[[Problems], Iterator[tuple[str, str, str]]] | None = None
    relations: Callable[[Problems], Iterator[tuple[str, str, str]]] | None = None


@dataclass(frozen=True)
class Dataset:
    """A benchmark as found in a directory.

    Attributes:
        benchmark: Its facts.
        layout: Name of the layout that was recognised.
        folder: The directory.
        splits: Split name → split, in the order train, valid, test.
        pictures: Folder or index CSV with the mention pictures, when the layout has one and it is there.
        knowledge: The knowledge base files, when they are there.
        lists: Reads the published candidate lists of a split (mention id → entity ids), when they are there.
    """

    benchmark: Benchmark
    layout: str
    folder: Path
    splits: Mapping[str, Split]
    pictures: Path | None = None
    knowledge: Knowledge | None = None
    lists: Callable[[str, Problems], dict[str, list[str]]] | None = field(default=None)

    def mentions(
        self, split: str, images: str | Path | None = None, problems: Problems | None = None
    ) -> Iterator[Labelled]:
        """Stream the mentions of a split.

        Args:
            split: Its name.
            images: Folder or index CSV to use instead of the one that the layout has.
            problems: Collects what was passed over or repaired.

        Raises:
            NotFound: The directory has no such split.
        """
        resolver = ImageResolver(images or self.pictures, beside=self.folder)
        return self._split(split).mentions(resolver, Problems() if problems is None else problems)

    def candidates_for(self, split: str, problems: Problems | None = None) -> dict[str, list[str]]:
        """Return the published candidate lists of a split by mention id; empty when the release has none.

        Gold is in a list only where the release put it there.

        Raises:
            NotFound: The directory has no such split.
        """
        name = self._split(split).name
        return {} if self.lists is None else self.lists(name, Problems() if problems is None else problems)

    def _split(self, name: str) -> Split:
        if name not in self.splits:
            raise NotFound.among(f"split of {self.benchmark.name} in {self.folder}", name, self.splits)
        return self.splits[name]


@dataclass(frozen=True)
class Layout:
    """One published way to lay a benchmark out on disk.

    Attributes:
        name: Short name.
        expects: Says which files it looks for, for the error that nothing was recognised.
        open: Returns the dataset in a folder, or None when this is another layout.
    """

    name: str
    expects: Callable[[Benchmark], str]
    open: Callable[[Path, Benchmark], Dataset | None]
