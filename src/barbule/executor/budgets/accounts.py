"""The usage of model calls: the account of one answer, and the usual lengths of answers.

Owns these counts. `metering` decides which budgets they are charged to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from barbule.models.base import Usage
    from barbule.models.estimates import Estimate

__all__ = ["Account", "AnswerLengths"]

_MIN_ANSWERS = 5  # minimum number of answers before the longest one is used as a bound

N = TypeVar("N", int, float)


@dataclass
class Account:
    """The usage of the requests for one answer.

    Attributes
    ----------
    requests
        The number of requests that count: those that a provider answers with an error are free.
    tokens_in, tokens_out, usd
        The totals; None if nothing is known.
    estimated
        Whether a provider did not report the usage of a request.
    """

    requests: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None
    estimated: bool = False

    def add(self, usage: Usage) -> None:
        """Add a request that was sent."""
        self.join(Account(1, usage.tokens_in, usage.tokens_out, usage.usd, usage.estimated))

    def join(self, other: Account) -> None:
        """Add another account."""
        self.requests += other.requests
        self.tokens_in = _sum(self.tokens_in, other.tokens_in)
        self.tokens_out = _sum(self.tokens_out, other.tokens_out)
        self.usd = _sum(self.usd, other.usd)
        self.estimated = self.estimated or other.estimated

    def shares(self, count: int) -> list[Account]:
        """Divide it among the rows of a request, so that the sum stays the same."""
        usd = None if self.usd is None else self.usd / count
        return [
            Account(requests or 0, tokens_in, tokens_out, usd, self.estimated)
            for requests, tokens_in, tokens_out in zip(
                _shares(self.requests, count),
                _shares(self.tokens_in, count),
                _shares(self.tokens_out, count),
                strict=True,
            )
        ]

    @property
    def columns(self) -> dict[str, Any]:
        """Its columns in the ledger."""
        return dict(vars(self))


def _shares(number: int | None, count: int) -> list[int | None]:
    if number is None:
        return [None] * count
    share, remainder = divmod(number, count)
    return [share + (index < remainder) for index in range(count)]


def _sum(left: N | None, right: N | None) -> N | None:
    return left if right is None else right if left is None else left + right


@dataclass
class AnswerLengths:
    """Token counts of the requests and answers of a function, by model, in one session.

    Attributes
    ----------
    counts, sums, maxima
        The tokens of answers.
    tokens_in
        The tokens of requests, as estimated by barbule and as counted by the provider.
    """

    counts: dict[str, int] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    maxima: dict[str, int] = field(default_factory=dict)
    tokens_in: dict[str, tuple[int, int]] = field(default_factory=dict)

    def compare(self, model: str, estimated: int, counted: int) -> None:
        """Add the estimate of a request's tokens, and the count of its provider."""
        estimates, counts = self.tokens_in.get(model, (0, 0))
        self.tokens_in[model] = estimates + estimated, counts + counted

    def corrected(self, model: str, estimated: int) -> int:
        """Return an estimate in the provider's tokens, if that is not lower."""
        estimates, counts = self.tokens_in.get(model, (1, 1))
        return max(estimated, round(estimated * counts / estimates))

    def add(self, model: str, tokens: int) -> None:
        """Add the length of an answer."""
        self.counts[model] = self.counts.get(model, 0) + 1
        self.sums[model] = self.sums.get(model, 0) + tokens
        self.maxima[model] = max(self.maxima.get(model, 0), tokens)

    def is_calibrated(self, model: str, estimate: Estimate) -> bool:
        """Whether the provider's token count, and a bound of answers, are known."""
        return model in self.tokens_in and (
            estimate.bounded or self.likely_maximum(model) is not None
        )

    def average(self, model: str) -> float | None:
        """Return the average length of an answer; None before the first answer."""
        count = self.counts.get(model)
        return self.sums[model] / count if count else None

    def likely_maximum(self, model: str) -> int | None:
        """Return a length that hardly any answer exceeds; None before there are enough."""
        return 2 * self.maxima[model] if self.counts.get(model, 0) >= _MIN_ANSWERS else None
