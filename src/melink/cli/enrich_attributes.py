"""``melink enrich attributes``: what can be seen in pictures, and whom a face resembles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from melink.cli import options
from melink.cli.common import err, report, verb, write_json

if TYPE_CHECKING:
    from melink.enrich.attributes import PictureSettings, Seen
    from melink.enrich.rows import Row
    from melink.errors import Problems
    from melink.features.face_index import FaceIndex
    from melink.kb.store import KnowledgeBase


@verb
def attributes(
    target: Annotated[
        str,
        typer.Argument(
            help="Knowledge base directory, or JSONL of mentions.", show_default=False, metavar="KB|MENTIONS"
        ),
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write JSONL here.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with the pictures here.")] = None,
    show: Annotated[int, typer.Option("--show", min=1, help="Most pictures on the page.")] = 200,
    kb: Annotated[
        Path | None, typer.Option("--kb", help="Of mentions: knowledge base that keeps features and knows faces.")
    ] = None,
    images: options.Images = None,
    regions: Annotated[str | None, typer.Option("--regions", help="Encoder of regions; 'none' for none.")] = None,
    faces: Annotated[str | None, typer.Option("--faces", help="Encoder of faces; 'none' for none.")] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", help="Say this of each face: NAME=CLASSIFIER, a hub name or folder (repeatable)."),
    ] = None,
    names: Annotated[
        str | None, typer.Option("--names", help="Classifier with a closed list of people: a hub name or folder.")
    ] = None,
    identity: Annotated[
        bool, typer.Option("--identity", help="Also say which entities a face resembles; turns this on for a KB.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Least score of a resemblance; estimated by default.")
    ] = None,
    forget: Annotated[
        list[str] | None, typer.Option("--forget", help="Delete an entity's faces, and keep them out (repeatable).")
    ] = None,
    identity_off: Annotated[
        bool, typer.Option("--identity-off", help="Delete the index of a KB and everything computed of faces.")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", help="Settings in YAML.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting: --set attributes.age.words.old='' (repeatable).")
    ] = None,
    json: options.Json = False,
    strict: options.Strict = False,
) -> None:
    """Look for regions and faces in pictures, and show them with boxes and scores on a page.

    What somebody's face says is not asked unless you ask: attributes need a classifier of yours, and resemblances
    have to be turned on for each knowledge base. Read "Faces" in the documentation first.

    Examples:

        melink enrich attributes KB --html seen.html

        melink enrich attributes posts.jsonl --kb KB -o posts.seen.jsonl --html seen.html

        melink enrich attributes KB --identity --faces 'faces?model=dlib'

        melink enrich attributes posts.jsonl --kb KB --identity --html seen.html

        melink enrich attributes KB --forget Q42

        melink enrich attributes posts.jsonl --attribute age=./age-classifier --html seen.html
    """
    from melink.enrich.attributes import counted
    from melink.errors import InputError, Problems
    from melink.features.face_index import forget_entities, turn_off
    from melink.kb.store import KnowledgeBase

    problems, own = Problems(strict=strict), (Path(target) / "manifest.json").is_file()
    if (forget or identity_off) and not own:
        raise InputError(f"{target} is not a knowledge base", "name the one that is to forget")
    if own and kb is not None:
        raise InputError("--kb with a knowledge base", "leave it out")
    if json and str(output) == "-":
        raise InputError("--json and the rows cannot both go to standard output", "name a file with -o")
    folder = Path(target) if own else kb
    base = KnowledgeBase.open(folder) if folder is not None else None
    if base is not None and (forget or identity_off):
        gone = turn_off(base) if identity_off else forget_entities(base, forget or ())
        absent = [] if identity_off else [id for id in forget or () if base.view().row(id) is None]
        if absent:
            err.print(f"no entity any more, forgotten all the same: {', '.join(absent)}", style="yellow", markup=False)
        err.print(f"deleted what was computed of faces in {gone:,} pictures")
        return write_json({"deleted": gone}) if json else None
    _check_outputs(output, html)
    chosen = {"regions": regions, "faces": faces, "names": names, "threshold": threshold}
    settings, encoder = _settings(config, chosen, attribute, set_)
    index = _index(base, own, encoder, identity, problems)
    rows = [] if own else _rows(target, images, problems)
    beside = next((path for path in (output, html) if path is not None and str(path) != "-"), None)
    work = _work(base, rows if not own else None, settings, index, beside, problems)
    if output is not None:
        _write(output, work, rows, target, images)
    sums = counted(seen for _, _, seen in work[0])
    told: dict[str, Any] = {**sums, "looked_at": work[1]}
    if index is not None:
        least = index.threshold if settings.threshold is None else settings.threshold
        told |= {"known_faces": len(index), "threshold": round(least, 4), "not_used": index.skipped}
    if html is not None:
        _page(html, work, sums, show, told.get("threshold"))
    _tell(told, output, html, json)
    report(problems)


Work = tuple[list[tuple[dict[str, Any], str, "Seen"]], int]
"""For each picture: where it belongs, a caption, and what is seen; and how many had to be looked at."""


def _check_outputs(output: Path | None, html: Path | None) -> None:
    """Refuse outputs that cannot be written, before any picture is looked at.

    Raises:
        InputError: A folder, a place where no file can be made, or one file for both; the page on standard output.
    """
    import os

    from melink.errors import InputError

    if str(html) == "-":
        raise InputError("--html -: a page is a file", "name one with --html")
    for option, path in (("-o", output), ("--html", html)):
        if path is None or str(path) == "-":
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = path.is_dir()
        except OSError as error:
            raise InputError(
                f"{option} {path}: {error.strerror}", f"name a file that can be made with {option}"
            ) from error
        if folder or not os.access(path.parent, os.W_OK):
            why = "is a folder" if folder else "cannot be made here"
            raise InputError(f"{option} {path} {why}", f"name another file with {option}")
    if output is not None and html is not None and output.resolve() == html.resolve():
        raise InputError(f"{html}: -o and --html would overwrite each other", "name two files")


def _settings(
    config: Path | None, given: dict[str, Any], attribute: list[str] | None, overrides: list[str] | None
) -> tuple[PictureSettings, str | None]:
    """Return the settings, and the encoder of faces if somebody named one."""
    from melink.config import load_over
    from melink.enrich.attributes import PictureSettings
    from melink.errors import InputError

    values = {name: value for name, value in given.items() if value is not None}
    for each in attribute or ():
        name, equals, model = each.partition("=")
        if not (name and equals and model):
            raise InputError(f"--attribute {each!r}", "write NAME=CLASSIFIER, such as age=./age-classifier")
        values.setdefault("attributes", {})[name] = {"model": model}
    settings = load_over(PictureSettings(), config, values, overrides or ())
    named = load_over(PictureSettings(faces=None), config, values, overrides or ()).faces
    off = {name: None for name in ("regions", "faces") if getattr(settings, name) == "none"}
    return settings.model_copy(update=off), None if named == "none" else named


def _index(
    kb: KnowledgeBase | None, own: bool, encoder: str | None, wanted: bool, problems: Problems
) -> FaceIndex | None:
    from melink.errors import InputError
    from melink.features.face_index import FaceIndex, collect, turn_on

    if not wanted:
        return None
    if kb is None:
        raise InputError("--identity needs a knowledge base whose faces are known", "name it with --kb")
    if own:
        turn_on(kb, encoder)
        if gone := collect(kb):
            err.print(f"deleted what was computed of faces in {gone:,} pictures that no entity has")
    return FaceIndex.open(kb, problems=problems)


def _rows(source: str, images: Path | None, problems: Problems) -> list[Row]:
    from melink.enrich.rows import read

    return read(source, images, problems)


def _work(
    kb: KnowledgeBase | None,
    rows: list[Row] | None,
    settings: PictureSettings,
    index: FaceIndex | None,
    beside: Path | None,
    problems: Problems,
) -> Work:
    from tempfile import TemporaryDirectory

    from melink.enrich.attributes import PictureReader
    from melink.features.face_index import forgotten_pictures
    from melink.features.store import FeatureStore

    owners: list[tuple[dict[str, Any], str]] = []
    paths: list[str | None] = []
    people: list[str] = []
    hidden: set[str] = set()
    if rows is not None:
        owners = [(row.fields, f"{row.mention.surface}: {row.mention.text}") for row in rows]
        paths = [row.mention.image for row in rows]
    elif kb is not None:
        view, hidden = kb.view(), forgotten_pictures(kb)
        for id, label, own in zip(view.ids, view.labels, view.column("images"), strict=True):
            owners += [({"id": id, "label": label, "image": path}, f"{label} ({id})") for path in own]
            paths += own
            people += [label] * len(own)
    with TemporaryDirectory(prefix="melink-features-") as scratch:
        folder = (
            kb.features_dir if kb is not None else beside.with_name(f"{beside.name}.features") if beside else scratch
        )
        reader = PictureReader(settings, index)
        kept = [None if path in hidden else path for path in paths]
        seen, looked = reader.read(FeatureStore(folder), kept, problems, people)
        for place, path in enumerate(paths):
            if path in hidden:
                (seen[place],), more = reader.read(FeatureStore(scratch), [path], problems, [people[place]])
                looked += more
    return [(*owner, each) for owner, each in zip(owners, seen, strict=True)], looked


def _write(output: Path, work: Work, rows: list[Row], source: str, images: Path | None) -> None:
    import sys
    from contextlib import nullcontext

    import orjson

    from melink.datasets.files import replacing
    from melink.enrich.attributes import said_of
    from melink.enrich.rows import placed

    folder = Path() if str(output) == "-" else output.parent
    fields = [placed(row, source, images, folder) for row in rows] if rows else [owner for owner, _, _ in work[0]]
    with nullcontext(sys.stdout.buffer) if str(output) == "-" else replacing(output) as out:
        for own, (_, _, seen) in zip(fields, work[0], strict=True):
            row = said_of(seen, own) if rows else {**own, "picture": seen.row()}
            out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _page(html: Path, work: Work, sums: dict[str, int], show: int, least: float | None) -> None:
    from melink.datasets.files import replacing
    from melink.evaluate.picture_page import picture_page

    pictured = [(caption, seen) for _, caption, seen in work[0] if seen.path is not None]
    notes = ["Boxes are what detectors report; scores are theirs, and not probabilities unless the detector's are."]
    if least is not None:
        notes.append(
            f"A face is said to resemble an entity from {least:.2f} on. Resembling is not being: treat it as "
            "a hint, never as proof of who somebody is."
        )
    if len(pictured) > show:
        notes.append(f"The first {show:,} of {len(pictured):,} pictures.")
    with replacing(html) as out:
        out.write(picture_page("What is seen in pictures", notes, pictured[:show], sums).encode())


def _tell(told: dict[str, Any], output: Path | None, html: Path | None, json: bool) -> None:
    if json:
        write_json(told)
    err.print(
        f"{told['faces']:,} faces in {told['with_faces']:,}, {told['regions']:,} regions in {told['with_regions']:,} "
        f"of {told['readable']:,} pictures; {told['looked_at']:,} had to be looked at"
    )
    if "known_faces" in told:
        err.print(
            f"{told['known_faces']:,} known faces; faces in {told['resembling']:,} pictures resemble one of them "
            f"(from {told['threshold']:.2f} on)"
        )
    for path in (output, html):
        if path is not None and str(path) != "-":
            err.print(f"wrote {path}", markup=False)
