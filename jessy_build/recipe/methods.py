"""Rules about the method of training: what it can do with the base, and what it reads."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jessy_build.diagnostics import Diagnostic, code
from jessy_build.recipe import served
from jessy_build.recipe.placed import placed

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

QUANTISED = code("R243", "a base is quantised already")


def a_base_is_packed_once(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """Of bases in a local place, and of known ones; of others the training says it."""
    if loaded.recipe.train.base_bits is None or not served.quantised(loaded):
        return
    yield placed(
        loaded,
        ("train", "base_bits"),
        QUANTISED,
        "the base is quantised already, and its weights would be packed twice",
        expected="a base of whole weights, or no base_bits",
        hint="leave base_bits out: what learns beside quantised weights is QLoRA",
    )
