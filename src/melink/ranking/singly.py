"""Small work, mention by mention: a core for each, since two cores on one small product only wait for each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from melink.features.encoder import cores

T = TypeVar("T")


def singly(work: Callable[[int], T], places: Iterable[int], device: str) -> list[T]:
    """Return what some work gives for each place, in order; one after the other on an accelerator."""
    if device != "cpu" or cores() == 1:
        return [work(place) for place in places]
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, places))
    finally:
        torch.set_num_threads(threads)
