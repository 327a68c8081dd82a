"""Progress on stderr with rate and time left. Silent until a program turns it on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
_shown: ContextVar[bool] = ContextVar("melink_progress", default=False)


def enable(on: bool = True) -> None:
    """Show progress from now on (the command line calls this; a library user may)."""
    _shown.set(on)


@contextmanager
def task(what: str, total: int | None = None, unit: str = "rows") -> Iterator[Callable[[int], None]]:
    """Give a function that reports work done.

    Args:
        what: What is being done, for a person.
        total: How many units there are, or None when nobody knows.
        unit: Name of the unit in the rate.

    Yields:
        ``advance(n)``, to be called after each ``n`` units.
    """
    if not _shown.get():
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        job = bar.add_task(what, total=total, rate="")

        def advance(n: int) -> None:
            bar.advance(job, n)
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(job, rate=f"{speed:,.0f} {unit}/s" if speed else "")

        yield advance


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "rows") -> Iterator[T]:
    """Yield the items, reporting each as one unit of work."""
    with task(what, total, unit) as advance:
        for item in items:
            yield item
            advance(1)
