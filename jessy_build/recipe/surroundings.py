"""Rules about what surrounds a build and changes none of its results: prices, pools, store."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

from jessy_build.diagnostics import Diagnostic, code, near
from jessy_build.recipe import scalars
from jessy_build.recipe.placed import IDLE, placed
from jessy_build.recipe.tree import Path
from jessy_build.teachers import ASKING
from jessy_build.teachers.prices import costs_nothing

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

PRICES_OF = code("R224", "prices are old, or of a day to come")
NO_PRICES = code("R225", "a teacher that is paid has no prices")
BAD_STORE = code("R226", "a shared store is not written as one")

OLD_DAYS = 365
LOOK_UP = {
    "anthropic": "look them up in your account",
    "openai": "look them up in your account, or name a server of this machine with `base_url`; "
    "another server of your own costs {input: 0, output: 0, as_of: ...}",
}


def prices_are_of_these_days(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, teacher in loaded.recipe.teachers.items():
        prices = getattr(teacher, "prices", None)
        if prices is not None:
            yield from _dated(loaded, ("teachers", name, "prices", "as_of"), prices.as_of)
    if loaded.recipe.budget is not None:
        yield from a_budget_needs_prices(loaded)
    else:
        for name in _priceless(loaded):
            yield _lacks_prices(loaded, name, "no plan can say what it will cost", "warning")


def a_budget_needs_prices(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """Also asked when the budget comes from the command line."""
    for name in _priceless(loaded):
        yield _lacks_prices(loaded, name, "no budget can hold what it spends", "error")


def _priceless(loaded: "LoadedRecipe") -> Iterator[str]:
    """Teachers that are asked and paid, by prices that nobody named."""
    taking = {category.teacher for category in loaded.recipe.categories.values()}
    if (judge := loaded.recipe.dataset.validate_.judge) is not None:
        taking.add(judge.teacher)
    for name, teacher in loaded.recipe.teachers.items():
        free = costs_nothing(teacher.kind, getattr(teacher, "base_url", None))
        # A teacher that has no such field is never paid.
        if name in taking and not free and getattr(teacher, "prices", False) is None:
            yield name


def _lacks_prices(loaded: "LoadedRecipe", name: str, so: str, severity: str) -> Diagnostic:
    return placed(
        loaded,
        ("teachers", name),
        NO_PRICES,
        f"'{name}' has no prices, so {so}",
        expected="prices: {input, output, as_of}, in dollars per million tokens",
        hint=LOOK_UP[loaded.recipe.teachers[name].kind],
        severity=severity,
    )


def _dated(loaded: "LoadedRecipe", place: Path, as_of: date) -> Iterator[Diagnostic]:
    if as_of > loaded.today:
        yield placed(
            loaded,
            place,
            PRICES_OF,
            f"{as_of} is still to come",
            expected="the day on which the prices were looked up",
            hint="is the year right? the date is written as year-month-day",
        )
    elif (loaded.today - as_of).days > OLD_DAYS:
        yield placed(
            loaded,
            place,
            PRICES_OF,
            f"the prices are of {as_of}, more than a year ago",
            hint="look them up again, and write today's date",
            severity="warning",
        )


def pools_have_someone_to_hold_back(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    kinds = {teacher.kind for teacher in loaded.recipe.teachers.values()}
    for name in loaded.recipe.pools:
        if name in ASKING and name not in kinds:
            yield placed(
                loaded,
                ("pools", name),
                IDLE,
                f"no teacher is of kind '{name}', so its pool holds nobody back",
                key=True,
                severity="warning",
            )


STORES = ("s3", "gs", "file")


def the_store_has_a_known_scheme(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    store = loaded.recipe.store
    if store is None or not (problem := _bad_store(store)):
        return
    yield placed(
        loaded,
        ("store",),
        BAD_STORE,
        problem[0],
        expected="s3://bucket/folder, gs://bucket/folder, file:///folder, or the path of a folder",
        hint=problem[1],
    )


def _bad_store(store: str) -> tuple[str, str] | None:
    """What is wrong, and the next move. A path is taken as it is: it may well lie outside."""
    scheme, colon, rest = store.partition(":")
    if not colon or "/" in scheme:
        home = store.startswith("~")
        return ("the path begins with '~'", "write the whole path") if home else None
    if scheme not in STORES:
        return f"there is no store of kind {scalars.told(scheme)}", near(scheme, STORES)
    host = rest.removeprefix("//").partition("/")[0]
    if "@" in host:
        return "a name or a key stands in the address", "remove it: keys come from the environment"
    if scheme == "file" and not rest.startswith("///"):
        return "a file address has three slashes", f"did you mean 'file:///{rest.lstrip('/')}'?"
    if scheme != "file" and not (rest.startswith("//") and host):
        return "the address names no bucket", f"as in {scheme}://bucket/folder"
    return None
