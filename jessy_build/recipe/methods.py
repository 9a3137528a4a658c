"""Rules about the method of training: what it can do with the base, and what it reads."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jessy_build.diagnostics import Diagnostic, code
from jessy_build.recipe import served
from jessy_build.recipe.placed import IDLE, placed
from jessy_build.trainers.config import ADAPTER

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

QUANTISED = code("R243", "a base is quantised already")


def it_can_train_the_base(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """Of bases in a local place, and of known ones; of others the training says it."""
    train = loaded.recipe.train
    if train.base_bits is not None and served.quantised(loaded):
        yield placed(
            loaded,
            ("train", "base_bits"),
            QUANTISED,
            "the base is quantised already, and its weights would be packed twice",
            expected="a base of whole weights, or no base_bits",
            hint="leave base_bits out: what learns beside quantised weights is QLoRA",
        )
    if train.method == "full" and served.quantised(loaded):
        yield placed(
            loaded,
            ("train", "method"),
            QUANTISED,
            "the weights of the base are quantised, and cannot learn",
            expected="a base of whole weights, or method: lora",
            hint="write method: lora, which learns beside them",
        )


def it_reads_the_adapter(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """A warning, since a matrix may train the same recipe with an adapter as well."""
    train = loaded.recipe.train
    for name in ADAPTER if train.method == "full" else ():
        if name in train.lora.model_fields_set:
            yield placed(
                loaded,
                ("train", "lora", name),
                IDLE,
                f"method: full trains no adapter, so '{name}' does nothing",
                key=True,
                hint="remove it, or train with method: lora",
                severity="warning",
            )
