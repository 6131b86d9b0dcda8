"""`budget` of a policy file: one number for all that its policies keep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from policies.budget import BudgetRule
from policies.errors import nearest
from sampler.config.base import Section
from sampler.config.document import Document
from sampler.config.errors import KeyPath, Problem
from sampler.config.units import Duration, DurationField, Size, parse_duration

DAY_S = 86_400
DAYS = {"day": 1.0, "month": 365.25 / 12}
GB = 10**9
SHORTEST, LONGEST = parse_duration("1s"), parse_duration("1h")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Priority = Annotated[int, Field(ge=0, le=100)]


class Spending(Section):
    """An amount of money for a time, at the price a backend takes."""

    amount: Positive
    """In the currency of the price."""
    per: Literal["day", "month"] = "month"
    """A month is a twelfth of 365.25 days."""
    price_per_gb: Positive | None = None
    """Price of 10^9 bytes of spans, uncompressed; this or `price_per_million_spans`."""
    price_per_million_spans: Positive | None = None
    """Price of 10^6 spans."""

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if (self.price_per_gb is None) == (self.price_per_million_spans is None):
            raise ValueError("needs one price: price_per_gb or price_per_million_spans")
        return self


class Budget(Section):
    """What all policies together may keep, of all workers, on average. What is too much is cut by priority, and the
    probabilities written on kept spans say so. Exactly one of the first four keys.
    """

    spans_per_second: Positive | None = None
    bytes_per_second: Annotated[Size, Field(gt=0)] | None = None
    """Bytes of spans as they arrive, uncompressed."""
    gb_per_day: Positive | None = None
    """10^9 bytes of spans as they arrive, uncompressed, in 24 hours."""
    spending: Spending | None = None
    """Money, at a price per GB or per million spans."""
    interval: DurationField = parse_duration("10s")
    """Stream time over which demand is counted, 1s to 1h; it takes effect two intervals later, bursts sooner."""
    priorities: dict[str, Priority] = Field(default={})
    """By name of a policy, 0 to 100: lower ones are cut first. 0, the baseline, for policies not named. A trace that
    several policies keep has the highest priority of theirs."""
    error_priority: Priority = 100
    """Least priority of a trace with an error, whatever policy keeps it."""
    minimum_share: float = Field(default=0.01, ge=0, lt=1, allow_inf_nan=False)
    """A priority is cut to this share before the next one is cut, so that something of everything remains."""

    @field_validator("interval")
    @classmethod
    def _between(cls, interval: Duration) -> Duration:
        if not SHORTEST.ms <= interval.ms <= LONGEST.ms:
            raise ValueError(f"must be {SHORTEST} to {LONGEST}")
        return interval

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        keys = ("spans_per_second", "bytes_per_second", "gb_per_day", "spending")
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(keys)}, not {' and '.join(given) or 'none'}")
        return self

    @property
    def rule(self) -> BudgetRule:
        """The budget as the policies know it."""
        per_second, unit = self._measure()
        return BudgetRule(per_second, unit, self.interval.ms, self.priorities, self.error_priority, self.minimum_share)

    def _measure(self) -> tuple[float, Literal["spans", "bytes"]]:
        if self.spans_per_second is not None:
            return self.spans_per_second, "spans"
        if self.bytes_per_second is not None:
            return float(self.bytes_per_second), "bytes"
        if self.gb_per_day is not None:
            return self.gb_per_day * GB / DAY_S, "bytes"
        assert self.spending is not None, "the validator has seen to it"
        money_per_second = self.spending.amount / (DAYS[self.spending.per] * DAY_S)
        if self.spending.price_per_gb is not None:
            return money_per_second / self.spending.price_per_gb * GB, "bytes"
        assert self.spending.price_per_million_spans is not None, "the validator has seen to it"
        return money_per_second / self.spending.price_per_million_spans * 10**6, "spans"


def unknown_names(budget: Budget | None, names: Iterable[str], document: Document, place: KeyPath) -> list[Problem]:
    """The priorities that name none of the policies; `place` is that of the budget."""
    known = list(names)
    return [
        document.problem((*place, "priorities", name), f"there is no policy {name!r}", nearest(name, known))
        for name in (budget.priorities if budget is not None else ())
        if name not in known
    ]
