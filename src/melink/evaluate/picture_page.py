"""A page of pictures with what is seen in them: boxes of regions and faces, scores, sentences, resemblances."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from PIL import Image

from melink.enrich.attributes import Seen
from melink.errors import BadImage
from melink.evaluate.markup import document, text
from melink.features.images import load_image
from melink.features.part_table import Part

SIDE: Final = 420
"""Longest side of a picture on the page, in pixels."""
_MOST: Final = 24
"""Boxes drawn on one picture, of each kind."""


def picture_page(title: str, notes: Sequence[str], seen: Iterable[tuple[str, Seen]], sums: Mapping[str, int]) -> str:
    """Return a self-contained page.

    Args:
        title: Plain text.
        notes: Paragraphs above the pictures, plain text.
        seen: Caption and what is seen, one figure each.
        sums: Numbers for the head of the page.
    """
    figures = "".join(
        f"<div><dt>{text(name.replace('_', ' '))}</dt><dd>{count:,}</dd></div>" for name, count in sums.items()
    )
    head = "".join(f"<p>{text(note, 1000)}</p>" for note in notes)
    body = "".join(_figure(caption, each) for caption, each in seen)
    return document(
        title,
        f"<header><h1>{text(title)}</h1>{head}</header>"
        f'<dl class="figures">{figures}</dl><div class="seen">{body}</div>',
        styles=("page.css", "pictures.css"),
    )


def _figure(caption: str, seen: Seen) -> str:
    lines = [f"<b>region {n}</b> {_told(part)}" for n, part in enumerate(seen.regions, 1)]
    for n, face in enumerate(seen.faces, 1):
        known = "; ".join(text(each.words()) for each in face.resembles)
        lines.append(f"<b>face {n}</b> {_told(face.place)}" + (f": {known}" if known else ""))
    for said in seen.said:
        names = ", ".join(f"{text(name)} {share:.2f}" for name, share in said.names)
        shares = ", ".join(f"{text(word)} {share:.2f}" for word, share in said.attributes.values())
        lines.append(f"<b>said</b> {text(said.sentence)}" + (f" ({shares})" if shares else "") + f" {names}")
    shown = lines[: 2 * _MOST] + (["…"] if len(lines) > 2 * _MOST else [])
    rows = "".join(f"<li>{line}</li>" for line in shown) or "<li>nothing seen</li>"
    return f"<figure>{_drawn(caption, seen)}<figcaption>{text(caption, 300)}<ul>{rows}</ul></figcaption></figure>"


def _told(part: Part) -> str:
    return f"{text(part.label)} {part.score:.2f}"


def _drawn(caption: str, seen: Seen) -> str:
    if seen.path is None:
        return '<div class="blank">no picture</div>'
    try:
        picture = load_image(seen.path)
    except BadImage as error:
        return f'<div class="blank bad">picture: {text(error.reason.replace("_", " "), 40)}</div>'
    picture.thumbnail((SIDE, SIDE))
    width, height = picture.size
    boxes = [("region", str(n), part) for n, part in enumerate(seen.regions[:_MOST], 1) if part.label != "grid"]
    boxes += [("face", f"face {n}", face.place) for n, face in enumerate(seen.faces[:_MOST], 1)]
    boxes += [("said", "", said.place) for said in seen.said[:_MOST]]
    drawn = "".join(_box(kind, name, part, width, height) for kind, name, part in boxes)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{text(caption)}">'
        f'<image href="{_packed(picture)}" width="{width}" height="{height}"/>{drawn}</svg>'
    )


def _box(kind: str, name: str, part: Part, width: int, height: int) -> str:
    left, top, right, bottom = part.box
    x, y, size = left * width, top * height, max(9.0, 0.035 * max(width, height))
    place = f'x="{x:.1f}" y="{y:.1f}" width="{(right - left) * width:.1f}" height="{(bottom - top) * height:.1f}"'
    words = f'<text x="{x + 3:.1f}" y="{y + size:.1f}" font-size="{size:.0f}">{text(name)}</text>' if name else ""
    return f'<rect class="{kind}" {place}/>{words}'


def _packed(picture: Image.Image) -> str:
    packed = io.BytesIO()
    picture.save(packed, "WEBP", quality=82, method=4)
    return "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode()
