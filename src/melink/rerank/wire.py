"""One HTTP request to a chat completions server, by the ``openai`` package; the only file that imports it.

The package is given no key: the key is put on the request as it leaves, together with an allow-list of headers, so that
neither what the package writes to logs nor what it reads from the environment can carry one somewhere else. Redirects
are not followed, compressed replies not taken, and a reply is read up to a number of bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from melink.errors import NotInstalled
from melink.rerank.faults import Fault, of_status
from melink.rerank.reply import Reply, complaint, read_reply
from melink.rerank.scrub import Quiet, Scrub
from melink.rerank.settings import LLMSettings

if TYPE_CHECKING:
    import httpx2
    import openai

_HEADERS: Final = frozenset({"host", "accept", "content-type", "content-length", "connection", "user-agent"})
_CONNECT: Final = 10.0


class _TooLong(Exception):
    """The reply is longer than it may be, or compressed."""


class Wire:
    """Connections to one server. Make it and use it inside one event loop.

    Args:
        settings: Which server, and the limits.
        key: Sent as bearer token; none when empty.

    Raises:
        NotInstalled: The package ``openai`` is missing.
    """

    def __init__(self, settings: LLMSettings, key: str) -> None:
        self._settings = settings
        self._scrub = Scrub(key)
        self._client = _client(settings, key)
        self._quiet = Quiet(self._scrub)
        self._quiet.begin()

    async def send(self, body: Mapping[str, Any]) -> Reply:
        """Send one request and read the whole reply.

        Raises:
            Fault: There is no answer.
        """
        import httpx2
        import openai

        seconds = self._settings.timeout
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.post("/chat/completions", cast_to=httpx2.Response, body=body)
                return read_reply(response.content, self._scrub)
        except TimeoutError:
            raise Fault("timeout", f"no answer within {seconds:g} s", worked=True) from None
        except _TooLong as error:
            raise Fault("nonsense", str(error), worked=True) from None
        except openai.APIStatusError as error:
            code, said = complaint(error.response.content, self._scrub)
            raise of_status(error.status_code, error.response.headers, code, said) from None
        except openai.APIConnectionError as error:
            raise self._lost(error.__cause__) from None
        except httpx2.HTTPError as error:
            raise self._lost(error) from None

    async def close(self) -> None:
        """Close the connections."""
        try:
            await self._client.close()
        finally:
            self._quiet.end()

    def _lost(self, cause: BaseException | None) -> Fault:
        import httpx2

        said = self._scrub(f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__)
        if isinstance(cause, httpx2.TimeoutException) and not isinstance(cause, httpx2.ConnectTimeout):
            return Fault("timeout", said, worked=True)
        begun = not isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
        return Fault("connection", said[:300], again=True, worked=begun)


def _client(settings: LLMSettings, key: str) -> openai.AsyncOpenAI:
    try:
        import httpx2
        import openai
    except ModuleNotFoundError as error:
        raise NotInstalled("openai", "llm") from error

    async def leaving(request: httpx2.Request) -> None:
        for name in [name for name in request.headers if name.lower() not in _HEADERS]:
            del request.headers[name]
        request.headers["accept-encoding"] = "identity"
        if key:
            request.headers["authorization"] = f"Bearer {key}"

    async def arriving(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise _TooLong("the reply is compressed, which was not asked for")
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _bounded(response.stream, settings.reply_bytes)

    http = httpx2.AsyncClient(
        timeout=httpx2.Timeout(settings.timeout, connect=min(_CONNECT, settings.timeout), pool=None),
        limits=httpx2.Limits(max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency),
        follow_redirects=False,
        event_hooks={"request": [leaving], "response": [arriving]},
    )
    return openai.AsyncOpenAI(api_key="unused", base_url=settings.url, max_retries=0, http_client=http)


def _bounded(stream: httpx2.AsyncByteStream, most: int) -> httpx2.AsyncByteStream:
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            read = 0
            async for piece in stream:
                read += len(piece)
                if read > most:
                    raise _TooLong(f"the reply is longer than {most:,} bytes")
                yield piece

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()
