"""The command line in fresh processes that start at once: a server imports everything, then forks for each command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

SERVER = """
import contextlib, json, os, sys
import accelerate, pyarrow.dataset, torch, transformers.models.bert.modeling_bert
with contextlib.suppress(ImportError):  # most of what lancedb imports; lancedb itself must not be forked
    import lance_namespace
import melink.methods.biencoder, melink.train.run
from melink.cli.main import app

for line in sys.stdin:
    arguments, output = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, name in ((1, output + ".out"), (2, output + ".err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        try:
            app(arguments)
        except SystemExit as end:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Command:
    """A command that runs: ``pid`` is its process, ``wait()`` gives its exit status, minus the signal if killed."""

    def __init__(self, server: subprocess.Popen[str], output: Path) -> None:
        self._server, self._output = server, output
        self.pid = int(self._read())

    def _read(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()

    def wait(self) -> int:
        return int(self._read())

    @property
    def out(self) -> bytes:
        return Path(f"{self._output}.out").read_bytes()

    @property
    def err(self) -> str:
        return Path(f"{self._output}.err").read_text()


class Warmed:
    """Starts commands, one at a time."""

    def __init__(self, server: subprocess.Popen[str], folder: Path) -> None:
        self._server, self._folder = server, folder

    def start(self, *arguments: object) -> Command:
        assert self._server.stdin is not None
        output = self._folder / "command"
        self._server.stdin.write(orjson.dumps([[str(each) for each in arguments], str(output)]).decode() + "\n")
        self._server.stdin.flush()
        return Command(self._server, output)

    def run(self, *arguments: object) -> Command:
        """Run a command to its end; it must succeed."""
        command = self.start(*arguments)
        status = command.wait()
        assert status == 0, command.err
        return command


@contextmanager
def warmed(folder: Path) -> Iterator[Warmed]:
    """Run a server while the block lasts."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            yield Warmed(server, folder)
        finally:
            assert server.stdin is not None
            server.stdin.close()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.send_signal(signal.SIGKILL)
