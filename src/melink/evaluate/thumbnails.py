"""Small copies of pictures, embedded into a page; a picture that cannot be read is a placeholder with the reason."""

from __future__ import annotations

import base64
import io
from typing import Final

from melink.errors import BadImage
from melink.evaluate.markup import text
from melink.features.images import load_image

SIZE: Final = 160
"""Longest side in pixels."""


class Thumbnails:
    """Makes each small picture once, however many cards show it.

    Args:
        size: Longest side in pixels.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self.failed: dict[str, str] = {}
        self._made: dict[str, str] = {}

    def html(self, path: str | None, alt: str) -> str:
        """Return an ``img`` element, or a placeholder that says why there is none.

        Args:
            path: The picture, or None when there is none.
            alt: What it shows, for people who cannot see it.
        """
        if path is None:
            return '<div class="blank">no picture</div>'
        if path not in self._made and path not in self.failed:
            self._make(path)
        if path in self.failed:
            return f'<div class="blank bad">picture: {text(self.failed[path], 40)}</div>'
        return f'<img src="{self._made[path]}" alt="{text(alt)}">'

    def _make(self, path: str) -> None:
        try:
            image = load_image(path)
        except BadImage as error:
            self.failed[path] = error.reason.replace("_", " ")
            return
        image.thumbnail((self.size, self.size))
        packed = io.BytesIO()
        image.save(packed, "WEBP", quality=82, method=6)
        self._made[path] = "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode()
