"""What a server offers: pictures, and answers held to a schema. Found out once, by asking, and remembered for a day."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal

from melink.rerank.cache import Cache
from melink.rerank.faults import Fault
from melink.rerank.request import Prepared
from melink.rerank.settings import LLMSettings

Ability = Literal["pictures", "schema"]
_NAMES: Final[dict[Ability, str]] = {"pictures": "pictures", "schema": "answers held to a JSON schema"}
_DAY: Final = 86_400.0
_log = logging.getLogger("melink")


@dataclass(frozen=True, slots=True)
class Form:
    """How a request is sent: with its pictures, with its schema."""

    pictures: bool
    schema: bool


class Abilities:
    """What is known about one server and model. A refusal is believed once the lesser form has been answered."""

    def __init__(self, settings: LLMSettings, cache: Cache) -> None:
        self._settings = settings
        self._cache = cache
        self._scout: asyncio.Event | None = None
        since = time.time() - _DAY
        self._known = {ability: cache.ability(settings.server, settings.model, ability, since) for ability in _NAMES}

    def form(self, prepared: Prepared) -> Form:
        """Return the fullest form that the server is not known to refuse."""
        pictures = self._known["pictures"] is not False or self._settings.images == "require"
        schema = self._known["schema"] is not False or self._settings.structured == "always"
        return Form(pictures and prepared.pictures > 0, schema and prepared.schema is not None)

    def lesser(self, form: Form, fault: Fault) -> Form | None:
        """Return the next form to try after a refusal, or None when the refusal is about something else."""
        pictures = form.pictures and self._known["pictures"] is None and fault.refuses_pictures()
        schema = form.schema and self._known["schema"] is None and fault.refuses_schema()
        if pictures and self._settings.images == "auto" and (fault.names_pictures() or not schema):
            return Form(False, form.schema)
        if schema and self._settings.structured == "auto":
            return Form(form.pictures, False)
        return None

    def learn(self, refused: Form | None, answered: Form) -> None:
        """Remember what an answer shows, given the form that was refused right before it."""
        for ability in _NAMES:
            if getattr(answered, ability):
                self._note(ability, True)
            elif refused is not None and getattr(refused, ability):
                self._note(ability, False)

    def _note(self, ability: Ability, works: bool) -> None:
        if self._known[ability] is None:
            self._known[ability] = works
            self._cache.learn(self._settings.server, self._settings.model, ability, works)
            if not works:
                _log.warning("%s refuses %s: going on without", self._settings.server, _NAMES[ability])

    @asynccontextmanager
    async def scouting(self, form: Form) -> AsyncIterator[None]:
        """Let the first request go ahead alone while something it needs is unknown."""
        unknown = any(getattr(form, each) and known is None for each, known in self._known.items())
        if unknown and self._scout is None:
            self._scout = asyncio.Event()
            try:
                yield
            finally:
                self._scout.set()
            return
        if unknown and self._scout is not None:
            await self._scout.wait()
        yield
