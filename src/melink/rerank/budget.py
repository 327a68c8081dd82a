"""Counting what a run spends, and stopping before it spends too much.

Before a request is sent, a generous estimate of it is set aside; afterwards the server's own count takes its place.
Where the server gives no count, or the reply is lost after the model may have worked, the estimate stays.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from melink.rerank.settings import LLMSettings


@dataclass
class Tally:
    """What a run did and spent.

    Attributes:
        requests: HTTP requests sent, further attempts included.
        retries: How many of them were further attempts.
        answered: Rows answered by the server now.
        cached: Rows answered from the cache, or by another row of the same batch.
        failures: Rows without an answer, by failure.
        tokens_in: Tokens of prompts.
        tokens_out: Tokens of answers.
        reused: Tokens of prompts that the server had kept.
        estimated: How many of all these tokens are estimates, because no count came.
        cost: In the unit of the prices, estimates included.
        text_only: Rows with pictures that the model saw without: refused by the server, or none could be read.
        unreadable: Pictures that could not be read, by reason.
        unstructured: Answers to requests with a schema that the server did not hold to it.
        cut: Answers that reached the longest length.
    """

    requests: int = 0
    retries: int = 0
    answered: int = 0
    cached: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    reused: int = 0
    estimated: int = 0
    cost: float = 0.0
    text_only: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    unstructured: int = 0
    cut: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers."""
        return self.tokens_in + self.tokens_out

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"failures": dict(self.failures), "unreadable": dict(self.unreadable)}

    def __str__(self) -> str:
        said = f"{self.answered:,} answered, {self.cached:,} from the cache, {self.failures.total():,} without answer"
        if self.failures:
            said += f" ({', '.join(f'{n:,} {kind}' for kind, n in self.failures.most_common())})"
        said += f"; {self.requests:,} requests, {self.tokens_in:,} + {self.tokens_out:,} tokens"
        return said + (f", cost {self.cost:.4f}" if self.cost else "")


@dataclass(frozen=True, slots=True)
class Use:
    """Tokens of one request: of the prompt, of the answer, and of the prompt what was kept from an earlier one."""

    tokens_in: int
    tokens_out: int
    reused: int = 0
    estimated: bool = False


class Meter:
    """Keeps a :class:`Tally` within the budgets of the settings."""

    def __init__(self, settings: LLMSettings) -> None:
        self.tally = Tally()
        self._settings = settings
        self._aside: list[Use] = []
        self.exhausted = ""

    def cost(self, use: Use) -> float:
        """Return what tokens cost, in the unit of the prices."""
        prices = self._settings.prices
        reused = prices.input if prices.reused is None else prices.reused
        fresh = max(0, use.tokens_in - use.reused)
        return (fresh * prices.input + use.reused * reused + use.tokens_out * prices.output) / 1e6

    def set_aside(self, use: Use) -> bool | None:
        """Set the estimate of a request aside and count the request, if it may be sent.

        Returns:
            True when it may, None when it is to wait for others under way, False when a budget is used up: nothing may
            be sent any more in this run.
        """
        over = self._over(use)
        if over and self._aside and not self.exhausted:
            return None
        self.exhausted = self.exhausted or over
        if self.exhausted:
            return False
        self._aside.append(use)
        self.tally.requests += 1
        return True

    def settle(self, estimate: Use, use: Use | None) -> None:
        """Put what was really used, or nothing, in the place of an estimate."""
        self._aside.remove(estimate)
        if use is not None:
            self.tally.tokens_in += use.tokens_in
            self.tally.tokens_out += use.tokens_out
            self.tally.reused += use.reused
            self.tally.estimated += use.tokens_in + use.tokens_out if use.estimated else 0
            self.tally.cost += self.cost(use)

    def _over(self, use: Use) -> str:
        """Return which budget a further request would break, or nothing."""
        limits = self._settings
        every = [*self._aside, use]
        tokens = self.tally.tokens + sum(each.tokens_in + each.tokens_out for each in every)
        cost = self.tally.cost + sum(map(self.cost, every))
        if limits.max_requests is not None and self.tally.requests + 1 > limits.max_requests:
            return f"max_requests is {limits.max_requests:,}"
        if limits.max_tokens is not None and tokens > limits.max_tokens:
            return f"max_tokens is {limits.max_tokens:,}"
        if limits.max_cost is not None and cost > limits.max_cost:
            return f"max_cost is {limits.max_cost:g}"
        return ""
