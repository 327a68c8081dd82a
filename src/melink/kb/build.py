"""Building a knowledge base from files: resumable, and the one before stays readable until it is done."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melink.errors import InputError, NotFound, Problems, StoreError
from melink.kb.checkpoint import DONE, READ, READING, REPORTED, Checkpoint
from melink.kb.disk import locked, storing, sync_folder, sync_tree
from melink.kb.finish import check_references, finish
from melink.kb.images import read_images
from melink.kb.ingest import Ingest
from melink.kb.inverse import named
from melink.kb.items import Parser
from melink.kb.jsonl import JsonRows
from melink.kb.layout import Manifest, drop_old, folder_name, read_manifest, write_manifest
from melink.kb.lines import fingerprint
from melink.kb.store import KnowledgeBase
from melink.kb.tables import Tables
from melink.kb.triples import TripleFile, read_relations
from melink.kb.where import Where
from melink.kb.wikidata import WikidataDump

Files = Sequence[str | Path]
_MARGIN = 1_000_000


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a knowledge base is built from.

    Attributes:
        entities: JSON-lines files of entities.
        wikidata: Wikidata JSON dumps.
        triples: A tab-separated file of triples.
        relations: A tab-separated file of relation names.
        images: A folder of pictures or an index table.
        where: Conditions as :meth:`Where.parse` takes them.
        language: Language of labels taken from dumps.
        inverse: Turn the facts of ``triples`` round as well.
    """

    entities: tuple[Path, ...] = ()
    wikidata: tuple[Path, ...] = ()
    triples: Path | None = None
    relations: Path | None = None
    images: Path | None = None
    where: tuple[str, ...] = ()
    language: str = "en"
    inverse: bool = False

    def key(self) -> dict[str, Any]:
        """Return what tells this build from another: fingerprints of the inputs, and the options."""
        tables = (self.triples, self.relations, self.images)
        return {
            "entities": [fingerprint(path) for path in self.entities],
            "wikidata": [fingerprint(path) for path in self.wikidata],
            "tables": [None if path is None else fingerprint(path) for path in tables],
            "where": list(self.where),
            "language": self.language,
            **({"inverse": True} if self.inverse else {}),
        }

    def sources(self, where: Where) -> list[tuple[Path, Parser]]:
        """Return each file of entities with what reads its lines."""
        rows: list[tuple[Path, Parser]] = [(path, JsonRows(path.absolute().parent)) for path in self.entities]
        return rows + [(path, WikidataDump(self.language, where)) for path in self.wikidata]


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did.

    Attributes:
        kb: The knowledge base, open.
        fresh: False when the inputs had been built before and nothing was done.
        resumed: Whether an unfinished build of the same inputs was gone on with.
    """

    kb: KnowledgeBase
    fresh: bool
    resumed: bool = False

    @property
    def content_hash(self) -> str:
        """Hash of all entities, read afresh: a manifest may be of a melink that hashed otherwise."""
        return self.kb.content_hash()


def build(
    out: str | Path,
    entities: Files | str | Path = (),
    triples: str | Path | None = None,
    relations: str | Path | None = None,
    images: str | Path | None = None,
    where: Sequence[str] | str | None = None,
    problems: Problems | None = None,
    wikidata: Files | str | Path = (),
    language: str = "en",
    force: bool = False,
    batch: int = 8192,
    inverse: bool = False,
) -> Built:
    """Build a knowledge base in a folder.

    Unchanged inputs that were built before are not built again. A build that was stopped goes on from its last commit.
    The result does not depend on where it was stopped. Entities that were added by hand since are not carried over.

    Args:
        out: Folder of the knowledge base; features in it are kept.
        entities: JSON-lines file or files.
        triples: Tab-separated ``head relation tail``.
        relations: Tab-separated ``id label description``.
        images: Folder of pictures named by id, or an index table.
        where: Conditions on the entities to keep, such as ``attributes`` or ``type=Q5``.
        problems: Receives what is passed over.
        wikidata: Wikidata JSON dump or dumps.
        language: Language of labels taken from dumps.
        force: Build even when nothing has changed.
        batch: Rows per commit; a stopped build loses at most the last one.
        inverse: Let entities hold what the facts of ``triples`` say of them as tails, too (:mod:`melink.kb.inverse`).

    Raises:
        InputError: An input cannot be read; ``inverse`` without ``triples``.
        BadRow: A bad row, when ``problems`` is strict.
        Locked: Somebody else is writing.
        StoreError: The disk is full, or the folder cannot be written.
    """
    inputs = Inputs(
        _paths(entities),
        _paths(wikidata),
        _path(triples),
        _path(relations),
        _path(images),
        (where,) if isinstance(where, str) else tuple(where or ()),
        language,
        inverse,
    )
    if inverse and triples is None:
        raise InputError("no facts to turn round", "give a table of facts with --triples, or leave --inverse out")
    if not inputs.entities and not inputs.wikidata:
        raise InputError("nothing to build from", "give a JSON-lines file with --entities or a dump with --wikidata")
    root = Path(out).absolute()
    with storing(root):
        root.mkdir(parents=True, exist_ok=True)
    key = inputs.key()
    with locked(root / ".lock"):
        before = _manifest(root)
        if before is not None and not force and before.built.get("key") == key:
            return Built(KnowledgeBase.open(root), fresh=False)
        resumed = _make(root, before, inputs, key, problems or Problems(), batch)
    return Built(KnowledgeBase.open(root), fresh=True, resumed=resumed)


def _paths(files: Files | str | Path) -> tuple[Path, ...]:
    return (Path(files),) if isinstance(files, str | Path) else tuple(map(Path, files))


def _path(file: str | Path | None) -> Path | None:
    return None if file is None else Path(file)


def _manifest(root: Path) -> Manifest | None:
    try:
        return read_manifest(root)
    except (StoreError, NotFound):
        if (
            any(root.iterdir())
            and not any(root.glob("gen-*"))
            and {p.name for p in root.iterdir()} - {".lock", "features"}
        ):
            raise StoreError(f"{root}: the folder holds something else", "choose a new or empty folder") from None
        return None


def _make(
    root: Path, before: Manifest | None, inputs: Inputs, key: dict[str, Any], problems: Problems, batch: int
) -> bool:
    """Read, check, index and put in place the next generation; return whether an unfinished one was gone on with."""
    number = before.number + 1 if before else 1
    final, partial = root / folder_name(number), root / f"{folder_name(number)}.partial"
    resumed, point = True, Checkpoint.load(final, key)
    if point is None or point.stage != DONE:  # else only the manifest was not written
        shutil.rmtree(final, ignore_errors=True)
        resumed, point = _fill(root, partial, inputs, key, problems, batch)
        with storing(root):
            sync_tree(partial)
            partial.rename(final)
            sync_folder(root)
    built = {"key": key, "content_hash": point.content_hash, "problems": point.problems.get("counts", {})}
    write_manifest(root, Manifest(final.name, _last_version(root, before), built))
    drop_old(root, number - 1)
    return resumed


def _last_version(root: Path, before: Manifest | None) -> int:
    if before is None:
        return 0
    try:
        return before.base + int(Tables(root / before.generation).entities.version)
    except StoreError:  # damaged: leave room for the versions that it may have had
        return before.base + _MARGIN


def _fill(
    root: Path, partial: Path, inputs: Inputs, key: dict[str, Any], problems: Problems, batch: int
) -> tuple[bool, Checkpoint]:
    where = Where.parse(inputs.where)
    tables, point, resumed = _start(partial, key, problems)
    seen_before = Problems() if resumed else problems  # a resumed build has reported these files already
    facts = TripleFile(inputs.triples).read(seen_before, inputs.inverse) if inputs.triples else None
    pictures = read_images(inputs.images, seen_before) if inputs.images else {}
    relations = read_relations(inputs.relations, seen_before) if inputs.relations else []
    if point.stage == READING:
        ingest = Ingest(tables, root, where, facts, pictures, problems, point, batch=batch)
        if not resumed:
            used = facts.relations() if facts and inputs.inverse else ()
            ingest.start([*relations, *(each for each in map(named, relations) if each.id in used)])
        ingest.run(inputs.sources(where))
    if point.stage == READ:
        known = {relation.id for relation in relations} if inputs.relations else None
        check_references(tables, facts, known, inputs.images, pictures, problems)
        point.stage = REPORTED
        point.save(tables, problems)
    point.content_hash = finish(tables, root)
    point.stage = DONE
    point.save(tables, problems)
    return resumed, point


def _start(partial: Path, key: dict[str, Any], problems: Problems) -> tuple[Tables, Checkpoint, bool]:
    """Go on from the checkpoint of the same build, or begin anew."""
    tables = Tables(partial)
    point = Checkpoint.load(partial, key)
    if point is not None:
        try:
            point.roll_back(tables, problems)
            return tables, point, True
        except (StoreError, ValueError, RuntimeError):  # damaged by a power cut: begin anew
            tables = Tables(partial)
    shutil.rmtree(partial, ignore_errors=True)
    with storing(partial):
        partial.mkdir(parents=True)
        if problems.path is not None:
            problems.path.unlink(missing_ok=True)
    tables.create()
    return tables, Checkpoint(key), False
