"""Text from strangers as HTML: escaped, cut, and without characters that rearrange or break a page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Final

from melink.records import Mention

_DIRECTION: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Direction marks and overrides, which can make text read as something else."""
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
AROUND: Final = 260
"""Characters of text shown on each side of a mention."""


def text(value: object, limit: int = 200) -> str:
    """Return any value as HTML text that is safe in an element and in a quoted attribute.

    Args:
        value: Whatever a knowledge base or a mention holds.
        limit: Longest text in characters; what is beyond becomes an ellipsis.
    """
    shown = plain(value)
    return escape(shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…")


def plain(value: object) -> str:
    """Return any value as text without characters that rearrange or break a page or a terminal."""
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", _DIRECTION.sub("", str(value)))).strip()


def isolated(value: object, limit: int = 200) -> str:
    """Return :func:`text` in an element of its own, so that right-to-left names leave their surroundings alone."""
    return f"<bdi>{text(value, limit)}</bdi>"


def sentence(mention: Mention) -> str:
    """Return the text of a mention with its span highlighted, cut around it; a name that is no substring follows."""
    start, end = mention.start, mention.end
    if start is None or end is None or not 0 <= start < end <= len(mention.text):
        return (
            f'{text(mention.text, 2 * AROUND)} <span class="aside">mention:</span> <mark>{text(mention.surface)}</mark>'
        )
    before, after = mention.text[:start], mention.text[end:]
    left = ("…" + before[-AROUND:]) if len(before) > AROUND else before
    right = (after[:AROUND] + "…") if len(after) > AROUND else after
    gap = " " if left[-1:].isspace() else ""
    follow = " " if right[:1].isspace() else ""
    whole = 2 * AROUND + 2
    return f"{text(left, whole)}{gap}<mark>{text(mention.text[start:end])}</mark>{follow}{text(right, whole)}"


def document(title: str, body: str, styles: Sequence[str] = ("page.css",), scripts: Sequence[str] = ()) -> str:
    """Return a self-contained page that may load nothing and run nothing but its own style and script.

    Args:
        title: Plain text.
        body: Trusted HTML.
        styles: Names of style sheets among the assets.
        scripts: Names of scripts among the assets.
    """
    css, js = _assets(styles), _assets(scripts)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(css)}'; script-src '{_digest(js)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:,">\n<title>{text(title)}</title>\n<style>{css}</style>\n</head>\n'
        f"<body>\n{body}\n" + (f"<script>{js}</script>\n" if js else "") + "</body>\n</html>\n"
    )


def _assets(names: Sequence[str]) -> str:
    folder = files("melink.evaluate") / "assets"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
