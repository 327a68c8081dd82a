"""Chat with any OpenAI-compatible server: many requests in, an answer or a named failure for each, in order.

>>> settings = LLMSettings(url="http://127.0.0.1:8080/v1", model="qwen")
>>> with LanguageModel(settings, cache="answers.sqlite") as model:                    # doctest: +SKIP
...     answers = model.ask_all([Request(("Which is the capital of Georgia?",))])
...     print(answers[0].text, model.tally)

The caller stays synchronous: a thread of its own runs an event loop for each batch, so that this works inside another
loop too (a notebook). Ctrl-C sends nothing more, leaves ``grace`` seconds to what is under way, so that answers that
were paid for are kept, and then raises; a second Ctrl-C leaves at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from melink import progress
from melink.rerank.answer import Answer
from melink.rerank.batch import Batch, Silence
from melink.rerank.budget import Meter, Tally
from melink.rerank.cache import Cache
from melink.rerank.request import Picture, Request
from melink.rerank.settings import LLMSettings, Prices

__all__ = ["Answer", "LLMSettings", "LanguageModel", "Picture", "Prices", "Request", "Tally"]
_POLL: Final = 0.2
_LEAVE: Final = 2.0
_log = logging.getLogger("melink")


class LanguageModel:
    """A language model behind a server, with a cache of what was paid for and budgets for a run.

    Budgets and counts run over all batches of one object, one batch at a time.

    Args:
        settings: Which server, how to ask, what it may cost.
        cache: File of answers; None keeps them in memory.

    Raises:
        StoreError: The cache cannot be opened.
    """

    def __init__(self, settings: LLMSettings, cache: str | Path | None = None) -> None:
        self.settings = settings
        self._cache = Cache(cache)
        self._meter = Meter(settings)
        self._silence = Silence()
        self._turn = threading.Lock()

    @property
    def gone(self) -> bool:
        """Whether so many requests in a row had no answer that the server is taken for gone."""
        return self._silence.rows >= self.settings.give_up_after

    @property
    def tally(self) -> Tally:
        """What was asked and spent so far."""
        return self._meter.tally

    def ask(self, request: Request) -> Answer:
        """Ask one request; as :meth:`ask_all`."""
        return self.ask_all([request])[0]

    def ask_all(self, requests: Iterable[Request], what: str = "asking the language model") -> list[Answer]:
        """Ask many requests, several at a time.

        Args:
            requests: Each is looked up in the cache first; equal ones are asked once.
            what: For the progress bar.

        Returns:
            One answer per request, in order. A row never raises: it has a text or names a failure.

        Raises:
            NotInstalled: The package ``openai`` is missing and something is not in the cache.
            ConfigError: The variable with the key is not set, and something is not in the cache.
            StoreError: An answer cannot be kept; what was kept before stays.
            KeyboardInterrupt: After Ctrl-C, when what was paid is kept.
        """
        rows = list(requests)
        with self._turn, progress.task(what, len(rows), "answers") as advance:
            return _Run(self.settings, self._cache, self._meter, self._silence, advance).wait(rows)

    def close(self) -> None:
        """Close the cache."""
        self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Run:
    """One batch in a thread of its own."""

    def __init__(
        self, settings: LLMSettings, cache: Cache, meter: Meter, silence: Silence, advance: Callable[[int], None]
    ) -> None:
        self._parts = (settings, cache, meter, silence, advance)
        self._grace = settings.grace
        self._answers: list[Answer] = []
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._batch: Batch | None = None
        self._task: asyncio.Task[None] | None = None
        self._left = threading.Event()
        self._over = threading.Event()  # joining a thread that Ctrl-C interrupts would take it for ended (bpo-45274)

    def wait(self, rows: list[Request]) -> list[Answer]:
        """Run the batch and return its answers; on Ctrl-C stop it first."""
        threading.Thread(target=self._thread, args=(rows,), daemon=True, name="melink-llm").start()
        try:
            while not self._over.wait(_POLL):
                continue
        except KeyboardInterrupt:
            self._leave()
            raise
        if self._error is not None:
            raise self._error
        return self._answers

    def _thread(self, rows: list[Request]) -> None:
        try:
            asyncio.run(self._main(rows))
        except asyncio.CancelledError as error:
            self._error = error
        except BaseExceptionGroup as group:
            self._error = _first(group)
        except BaseException as error:  # handed to the caller, who waits in another thread
            self._error = error
        finally:
            self._over.set()

    async def _main(self, rows: list[Request]) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._batch = Batch(*self._parts)
        if self._left.is_set():
            self._batch.stop("interrupted")
        self._answers = await self._batch.run(rows)

    def _leave(self) -> None:
        self._left.set()
        with contextlib.suppress(RuntimeError, KeyboardInterrupt):  # the loop is gone, or a second Ctrl-C
            self._call(self._batch.stop if self._batch else None, "interrupted")
            if not self._over.wait(_POLL):
                _log.warning("stopping: answers under way have %g s; Ctrl-C again leaves at once", self._grace)
            self._over.wait(self._grace)
        with contextlib.suppress(RuntimeError, KeyboardInterrupt):
            self._call(self._task.cancel if self._task else None)
            self._over.wait(_LEAVE)

    def _call(self, function: Callable[..., object] | None, *values: str) -> None:
        if self._loop is not None and function is not None:
            self._loop.call_soon_threadsafe(function, *values)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first plain error of a group: workers that fail together fail for one reason."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
