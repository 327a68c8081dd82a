"""Keeping answers as they come: those that arrive while the disk is busy share its next write."""

from __future__ import annotations

import asyncio

from melink.rerank.cache import Cache, Stored


class Keeper:
    """Writes answers to a cache from an event loop, without holding the loop up.

    Args:
        cache: Where they are kept.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._waiting: dict[bytes, Stored] = {}
        self._turn = asyncio.Lock()

    async def keep(self, key: bytes, stored: Stored) -> None:
        """Keep an answer; it is on disk when this returns.

        Raises:
            StoreError: It cannot be written.
        """
        self._waiting[key] = stored
        async with self._turn:
            if key in self._waiting:  # else the one before wrote it as well
                every, self._waiting = self._waiting, {}
                await asyncio.to_thread(self._cache.put_all, every)
