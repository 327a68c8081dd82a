"""How far a build has come, so that the same command goes on from there after a kill."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from melink.errors import Problem, Problems
from melink.kb.disk import read_json, write_json
from melink.kb.tables import Tables

READING, READ, REPORTED, DONE = "reading", "read", "reported", "done"
_TABLES = ("entities", "labels", "relations")


@dataclass
class Checkpoint:
    """State of a build after its last commit.

    Attributes:
        key: Inputs and options; another build must not go on from here.
        stage: ``reading``, ``read`` (all rows are in), ``reported`` (references are checked) or ``done``.
        source: Index of the input that is being read.
        line: Lines of it that are done with.
        position: Where the next line starts in the uncompressed input.
        versions: Versions of the tables at this point.
        problems: Counts, first few and file size of the problems so far.
        content_hash: Hash of all entities, when done.
    """

    key: dict[str, Any]
    stage: str = READING
    source: int = 0
    line: int = 0
    position: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    problems: dict[str, Any] = field(default_factory=dict)
    content_hash: str = ""

    def save(self, tables: Tables, problems: Problems) -> None:
        """Write the state of the tables and the problems as the point to go on from."""
        self.versions = {name: int(getattr(tables, name).version) for name in _TABLES}
        self.problems = {
            "counts": dict(problems.counts),
            "first": [asdict(problem) for problem in problems.first],
            "size": problems.path.stat().st_size if problems.path and problems.path.exists() else 0,
        }
        write_json(tables.path / "progress.json", asdict(self))

    @classmethod
    def load(cls, folder: Path, key: dict[str, Any]) -> Checkpoint | None:
        """Return the checkpoint in a folder when it is of the same build, else None."""
        data = read_json(folder / "progress.json")
        return cls(**data) if isinstance(data, dict) and data.get("key") == key else None

    def roll_back(self, tables: Tables, problems: Problems) -> None:
        """Drop what was written after the checkpoint, and take the problems up to it over."""
        if self.stage == READING:  # later stages change nothing that has to be undone
            for name, version in self.versions.items():
                table = getattr(tables, name)
                if table.version != version:
                    table.restore(version)
        problems.counts.update(self.problems["counts"])
        problems.first.extend(Problem(**problem) for problem in self.problems["first"])
        if problems.path is not None and problems.path.exists():
            with problems.path.open("r+b") as file:
                file.truncate(min(self.problems["size"], problems.path.stat().st_size))
