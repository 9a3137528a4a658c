"""What builds have spent on teachers: requests, tokens, and dollars by the prices of that time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jessy_build.engine.answers import Spent
from jessy_build.engine.ledger import Build
from jessy_build.example import BATCH
from jessy_build.steps import prices
from jessy_build.steps.past import Past

READ = ("input", "cached_input", "cache_write")
"""What a server read, in the words of a lock."""


@dataclass(frozen=True)
class Spending:
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = 0.0
    """None where a recipe gave no prices for some of it."""

    def __add__(self, other: "Spending") -> "Spending":
        known = None not in (self.dollars, other.dollars)
        return Spending(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            round((self.dollars or 0) + (other.dollars or 0), 6) if known else None,
        )

    @property
    def words(self) -> str:
        """As it stands in a table: dollars where they are known."""
        if not self.requests:
            return "–"
        if self.dollars is None:
            return f"{self.requests} requests"
        return f"${self.dollars:.2f}" if self.dollars >= 0.01 or not self.dollars else "<$0.01"


def by_build(past: Past, builds: Iterable[Build]) -> dict[int, Spending]:
    """Also of builds that failed or were killed: what they asked was paid for."""
    wanted = {build.id: build for build in builds}
    found = dict.fromkeys(wanted, Spending())
    for spent in past.store.ledger.answers.spent():
        if spent.build in wanted:
            found[spent.build] += _of(spent, wanted[spent.build].config["teachers"])
    return found


def _of(spent: Spent, teachers: Mapping[str, Mapping[str, object]]) -> Spending:
    table = prices.of_resolved(teachers.get(spent.teacher, {}))
    both = {
        name: int(spent.measures.get(name, 0) + spent.measures.get(f"{BATCH}{name}", 0))
        for name in ("requests", *(f"{name}_tokens" for name in READ), "output_tokens")
    }
    return Spending(
        both["requests"],
        sum(both[f"{name}_tokens"] for name in READ),
        both["output_tokens"],
        None if table is None else round(prices.of_usage(table, spent.measures), 6),
    )
