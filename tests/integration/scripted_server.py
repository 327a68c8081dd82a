"""A chat completions server over real sockets that behaves as a test says, and keeps a log of what it was asked."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 100, "completion_tokens": 10}


@dataclass
class Call:
    """One request that arrived, and the ways to reply to it."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    handler: BaseHTTPRequestHandler = field(repr=False)
    arrived: float = field(default_factory=time.monotonic)
    replied: bool = False

    @property
    def content(self) -> Any:
        """Content of the last message: a text, or a list of parts."""
        return self.body["messages"][-1]["content"]

    @property
    def text(self) -> str:
        content = self.content
        return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)

    @property
    def pictures(self) -> list[str]:
        parts = self.content if isinstance(self.content, list) else []
        return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]

    def say(self, text: str, finish: str = "stop", usage: Any = USAGE) -> None:
        choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
        self.send(json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode())
        self.replied = True

    def refuse(self, status: int, message: str = "no", headers: dict[str, str] | None = None, **error: Any) -> None:
        self.send(json.dumps({"error": {"message": message, **error}}).encode(), status, headers)

    def send(
        self,
        body: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        length: int | None = None,
        kind: str = "application/json",
    ) -> None:
        """Send a body; with a ``length`` that is not its own, close the connection after it."""
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", kind)
        self.handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.handler.wfile.write(body)
        self.handler.wfile.flush()
        self.handler.close_connection = length is not None

    def pour(self, piece: bytes, pieces: int, pause: float = 0.0, kind: str = "application/json") -> int:
        """Send pieces until they are all sent or the client leaves; return how many were taken."""
        self.handler.send_response(200)
        self.handler.send_header("Content-Type", kind)
        self.handler.send_header("Connection", "close")
        self.handler.end_headers()
        self.handler.close_connection = True
        for sent in range(pieces):
            try:
                self.handler.wfile.write(piece)
                self.handler.wfile.flush()
            except OSError:
                return sent
            time.sleep(pause)
        return pieces

    def reset(self) -> None:
        """Break the connection without a reply."""
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.handler.connection.close()
        self.handler.close_connection = True

    def hang(self, seconds: float) -> None:
        """Say nothing until the client leaves, or for some seconds."""
        self.handler.connection.settimeout(seconds)
        with contextlib.suppress(OSError):
            self.handler.connection.recv(1)
        self.handler.close_connection = True


Act = Callable[[Call], object]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536

    def do_POST(self) -> None:
        server: Any = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with server.lock:
            call = Call(len(server.calls), self.path, headers, body, self)
            server.calls.append(call)
        server.act(call)

    def finish(self) -> None:
        """Close both sides; what a client that left did not take is dropped."""
        for side in (self.wfile, self.rfile):
            with contextlib.suppress(OSError):
                side.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the log is ``calls``."""


class Server(ThreadingHTTPServer):
    """Serves on a free port of this machine; ``act`` replies to each call and may be changed at any time."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, act: Act) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.act = act
        self.calls: list[Call] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def replied(self) -> list[Call]:
        """Calls whose whole answer was sent."""
        return [call for call in self.calls if call.replied]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave early are part of the tests."""


@contextlib.contextmanager
def serving(act: Act) -> Iterator[Server]:
    """Serve until the block ends."""
    server = Server(act)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def first_id(call: Call) -> None:
    """Answer with the first offered id, as a well-behaved server does."""
    found = re.search(r"^\[(\w+)\]", call.text, re.MULTILINE)
    call.say(found[1] if found else "none")


def echo(call: Call) -> None:
    """Answer with the text that was asked."""
    call.say(f"you said {call.text}")
