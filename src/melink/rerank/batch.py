"""One batch inside an event loop: workers take requests in turn, look them up, ask, try again, and keep each answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from melink.rerank.abilities import Abilities, Form
from melink.rerank.answer import NOT_ASKED, Answer
from melink.rerank.budget import Meter, Use
from melink.rerank.cache import Cache, Stored
from melink.rerank.faults import Fault, backoff
from melink.rerank.keeper import Keeper
from melink.rerank.reply import Reply
from melink.rerank.request import Prepared, Request, prepare
from melink.rerank.settings import LLMSettings
from melink.rerank.wire import Wire


@dataclass
class Silence:
    """How many requests in a row had no answer, over all batches of one model.

    Attributes:
        rows: So many.
    """

    rows: int = 0


class Batch:
    """Asks a list of requests. Make it and use it inside one event loop.

    Args:
        settings: Which server, and the limits.
        cache: Where answers are looked up and kept.
        meter: Counts and stops.
        silence: Counts rows without an answer.
        advance: Told 1 after each row.
    """

    def __init__(
        self, settings: LLMSettings, cache: Cache, meter: Meter, silence: Silence, advance: Callable[[int], None]
    ) -> None:
        self._settings, self._cache, self._meter, self._advance = settings, cache, meter, advance
        self._silence = silence
        self._abilities = Abilities(settings, cache)
        self._keeper = Keeper(cache)
        self._wire: Wire | None = None
        self._twins: dict[bytes, asyncio.Future[Answer]] = {}
        self._not_before = 0.0
        self._stopping = asyncio.Event()
        self._settled = asyncio.Event()
        self._reason = ""

    async def run(self, requests: Sequence[Request]) -> list[Answer]:
        """Return an answer for each request, in order."""
        answers: list[Answer] = [Answer(failure="stopped")] * len(requests)
        rows = iter(enumerate(requests))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._settings.concurrency, len(requests))):
                    group.create_task(self._work(rows, answers))
        finally:
            if self._wire is not None:
                await self._wire.close()
        return answers

    def stop(self, reason: str) -> None:
        """Send nothing more; what is under way goes on."""
        self._reason = self._reason or reason
        self._stopping.set()
        self._settled.set()

    async def _work(self, rows: Iterator[tuple[int, Request]], answers: list[Answer]) -> None:
        for place, request in rows:
            answers[place] = answer = await self._row(request)
            self._count(request, answer)
            self._advance(1)

    def _count(self, request: Request, answer: Answer) -> None:
        tally = self._meter.tally
        if answer.failure is not None:
            tally.failures[answer.failure] += 1
        elif answer.cached:
            tally.cached += 1
        else:
            tally.answered += 1
        tally.text_only += answer.ok and answer.text_only
        tally.cut += answer.ok and answer.cut
        tally.unstructured += answer.ok and request.schema is not None and not answer.structured

    async def _row(self, request: Request) -> Answer:
        prepared = await self._prepared(request)
        self._meter.tally.unreadable.update(prepared.unreadable)
        if self._settings.images == "require" and (prepared.unreadable or prepared.dropped):
            return Answer(failure="picture", detail=f"picture not readable: {', '.join(prepared.unreadable)}")
        twin = self._twins.get(prepared.key)
        if twin is not None:
            answer = await asyncio.shield(twin)
            return replace(answer, cached=True, cost=0.0) if answer.ok else answer
        mine = self._twins[prepared.key] = asyncio.get_running_loop().create_future()
        try:
            answer = self._looked_up(prepared) or await self._asked(prepared)
        except BaseException:
            mine.cancel()
            raise
        mine.set_result(answer)
        return answer

    async def _prepared(self, request: Request) -> Prepared:
        if all(isinstance(part, str) for part in request.parts):
            return prepare(request, self._settings)
        return await asyncio.to_thread(prepare, request, self._settings)

    def _looked_up(self, prepared: Prepared) -> Answer | None:
        found = self._cache.get(prepared.key)
        if found is None or (found.text_only and self._settings.images == "require"):
            return None
        if self._settings.structured == "always" and prepared.schema is not None and not found.structured:
            return None
        return _answer(found, cached=True)

    async def _asked(self, prepared: Prepared) -> Answer:
        if self._settings.offline:
            return Answer(failure="offline", detail="not in the cache")
        if self._wire is None:
            self._wire = Wire(self._settings, self._settings.key())
        async with self._abilities.scouting(self._abilities.form(prepared)):
            answer = await self._attempts(prepared, self._wire)
        if answer.failure is None:
            self._silence.rows = 0
        elif answer.failure not in NOT_ASKED:
            self._silence.rows += 1
            if self._silence.rows >= self._settings.give_up_after:
                self.stop(f"{self._silence.rows} requests in a row had no answer; the last: {answer.detail}")
        return answer

    async def _attempts(self, prepared: Prepared, wire: Wire) -> Answer:
        form, refused, attempt = self._abilities.form(prepared), None, 0
        estimate = Use(prepared.estimate(), prepared.longest(), estimated=True)
        failed: Answer | None = None
        while True:
            barred = await self._barred(estimate)
            if barred is not None:
                return failed or barred
            try:
                answer = await self._once(prepared, form, estimate, wire)
            except Fault as fault:
                failed = Answer(failure=fault.kind, detail=fault.detail)
                lesser = self._abilities.lesser(form, fault)
                if lesser is not None:
                    refused, form = form, lesser
                    continue
                if fault.fatal or (fault.wait or 0) > self._settings.longest_wait:
                    self.stop(fault.detail)
                if not fault.again or attempt >= self._settings.retries or self._stopping.is_set():
                    return failed
                await self._pause(fault, attempt)
                attempt += 1
                self._meter.tally.retries += 1
            else:
                self._abilities.learn(refused, form)
                return answer

    async def _barred(self, estimate: Use) -> Answer | None:
        """Wait until the next request may be sent, or return why it may not."""
        while not self._stopping.is_set():
            wait = self._not_before - time.monotonic()
            if wait > 0:
                await self._sleep(wait)
                continue
            free = self._meter.set_aside(estimate)
            if free:
                return None
            if free is False:
                return Answer(failure="budget", detail=self._meter.exhausted)
            self._settled.clear()
            await self._settled.wait()
        return Answer(failure="stopped", detail=self._reason)

    async def _once(self, prepared: Prepared, form: Form, estimate: Use, wire: Wire) -> Answer:
        """Send one request and keep its answer, and settle what it used either way."""
        use: Use | None = estimate
        began = time.monotonic()
        try:
            reply = await wire.send(prepared.body(form.pictures, form.schema))
            use = _use(reply, estimate)
            stored = _stored(reply, use, prepared, form, time.monotonic() - began)
            await self._keeper.keep(prepared.key, stored)
            return _answer(stored, cost=self._meter.cost(use))
        except Fault as fault:
            use = estimate if fault.worked else None
            raise
        finally:
            self._meter.settle(estimate, use)
            self._settled.set()

    async def _pause(self, fault: Fault, attempt: int) -> None:
        wait = backoff(attempt, self._settings.first_wait, self._settings.longest_wait)
        if fault.wait is not None:
            wait = max(wait, fault.wait)
            self._not_before = max(self._not_before, time.monotonic() + fault.wait)
        await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


def _use(reply: Reply, estimate: Use) -> Use:
    if reply.counts is None:
        return Use(estimate.tokens_in, len(reply.text.encode()) // 3 + 1, estimated=True)
    return Use(*reply.counts)


def _stored(reply: Reply, use: Use, prepared: Prepared, form: Form, seconds: float) -> Stored:
    return Stored(
        text=reply.text,
        cut=reply.cut,
        structured=form.schema,
        pictures=prepared.pictures if form.pictures else 0,
        text_only=prepared.dropped or (prepared.pictures > 0 and not form.pictures),
        tokens_in=use.tokens_in,
        tokens_out=use.tokens_out,
        reused=use.reused,
        seconds=seconds,
    )


def _answer(stored: Stored, cached: bool = False, cost: float = 0.0) -> Answer:
    return Answer(
        text=stored.text,
        cached=cached,
        cut=stored.cut,
        structured=stored.structured,
        pictures=stored.pictures,
        text_only=stored.text_only,
        tokens_in=stored.tokens_in,
        tokens_out=stored.tokens_out,
        reused=stored.reused,
        cost=cost,
        seconds=stored.seconds,
    )
