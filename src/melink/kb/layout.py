"""Which folder of a knowledge base is the current one.

::

    KB/manifest.json     format, current generation, how its versions are numbered, what it was built from
    KB/gen-0002/         tables, names/ (the names index), names.json (the version it stands at), journal.json
    KB/gen-0001/         the one before, kept until the next build
    KB/gen-0003.partial/ a build that is not finished
    KB/features/         encoded texts and pictures, shared by all generations
    KB/.lock             held while somebody writes
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from melink.errors import NotFound, StoreError
from melink.kb.disk import read_json, write_json

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``manifest.json`` says.

    Attributes:
        generation: Name of the current generation's folder.
        base: Number added to table versions, so that versions grow from one generation to the next.
        built: Inputs, options and content hash of the build; empty when not made by a build.
        format: Version of this layout.
    """

    generation: str
    base: int = 0
    built: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def number(self) -> int:
        """Number of the generation."""
        return int(self.generation.removeprefix("gen-"))


def folder_name(number: int) -> str:
    """Return the folder name of a generation."""
    return f"gen-{number:04d}"


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a knowledge base.

    Raises:
        NotFound: No such folder.
        StoreError: Not a knowledge base, an unfinished first build, or one of a newer format.
    """
    if not path.is_dir():
        raise NotFound(f"{path}: no such knowledge base", "build one with 'melink kb build'")
    data = read_json(path / "manifest.json")
    if not isinstance(data, dict):
        if any(path.glob("gen-*.partial")):
            raise StoreError(f"{path}: its first build was not finished", "run the same 'melink kb build' again")
        raise StoreError(f"{path}: not a knowledge base", "give a folder that 'melink kb build' made")
    if data.get("format") != FORMAT:
        raise StoreError(f"{path}: made by another version of melink (format {data.get('format')})", "build it again")
    return Manifest(**data)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Make a generation the current one, atomically."""
    write_json(path / "manifest.json", asdict(manifest))


def drop_old(path: Path, keep: int) -> None:
    """Remove the generations before number ``keep``."""
    for folder in path.glob("gen-[0-9]*"):
        number = folder.name.removeprefix("gen-").removesuffix(".partial")
        if number.isdigit() and int(number) < keep:
            shutil.rmtree(folder, ignore_errors=True)
