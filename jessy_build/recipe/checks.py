"""Rules between fields, one function each. A new rule: a function, a code, a case in tests/failing."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from jessy_build.diagnostics import Diagnostic

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

Check: TypeAlias = "Callable[[LoadedRecipe], Iterable[Diagnostic]]"

CHECKS: tuple[Check, ...] = ()
