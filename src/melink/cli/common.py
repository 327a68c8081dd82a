"""What every verb shares: data on stdout, talk on stderr, errors as two lines and an exit status."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console

from melink import progress
from melink.errors import MelinkError, Problems

P = ParamSpec("P")
R = TypeVar("R")

err = Console(stderr=True, highlight=False, soft_wrap=True)
"""Talk: progress, warnings, summaries."""

INTERRUPTED = 130
FAILED = 2


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """Run a command: show progress, and turn an expected error into a message and exit status 2.

    Ctrl-C exits with 130 after saying that the same command resumes.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        progress.enable(sys.stderr.isatty())
        try:
            return function(*args, **kwargs)
        except MelinkError as error:
            err.print(f"[bold red]error:[/] {_plain(error.message)}")
            err.print(f"[dim]try:[/] {_plain(error.remedy)}")
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as stop:
            err.print("stopped; what was finished is kept, and the same command goes on from there")
            raise typer.Exit(INTERRUPTED) from stop
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(0) from None

    return run


def write_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    sys.stdout.write(orjson.dumps(value, option=options).decode() + "\n")


def report(problems: Problems, fail: bool = False) -> None:
    """Print what was repaired or passed over; with ``fail``, exit with status 1 when a whole row was passed over.

    Raises:
        typer.Exit: With status 1 when asked to fail.
    """
    from melink.datasets.mentions import PASSED_OVER

    if problems.total:
        err.print(_plain(problems.summary()), style="yellow")
    if fail and any(problems.counts[kind] for kind in PASSED_OVER):
        raise typer.Exit(1)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
