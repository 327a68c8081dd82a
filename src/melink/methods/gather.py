"""One batch over several processes: each encodes its share, all score against all.

Shares are cut so that their concatenation is the batch of a single process; sums of losses are scaled so that the
mean which data-parallel training takes over processes equals the loss of that single process.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch import distributed as dist


def share(n: int, rank: int, world: int) -> slice:
    """Return which of ``n`` items belong to a process."""
    size = -(-n // world)
    return slice(min(rank * size, n), min((rank + 1) * size, n))


def gather_rows(own: Float[Tensor, "c d"], total: int) -> Float[Tensor, "n d"]:
    """Return the rows of all processes, in order, with gradients that flow back to their owners.

    Args:
        own: This process's share (see :func:`share`), which may be empty.
        total: Rows over all processes.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return own
    size = -(-total // dist.get_world_size())
    padded = torch.cat([own, own.new_zeros(size - len(own), *own.shape[1:])])
    return torch.cat(list(_Gather.apply(padded)))[:total]


class _Gather(torch.autograd.Function):
    """All-gather whose backward sums what every process has to say about a share and gives it to its owner."""

    @staticmethod
    def forward(ctx: object, own: Tensor) -> tuple[Tensor, ...]:
        found = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(found, own.contiguous())
        return tuple(found)

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        summed = torch.stack(grads)
        dist.all_reduce(summed)
        own: Tensor = summed[dist.get_rank()]
        return own
