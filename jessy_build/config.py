"""The base of every class that reads the user's text: strict, frozen, no unknown keys."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict


def _without_plugins() -> None:
    """Keep pydantic from looking for plugins of its own in every installed package.

    None of them may change what a recipe means; and only to import what it looks with takes longer
    than to read one. Whatever else is asked of its loader is asked of the real one.
    """
    loader = ModuleType("pydantic.plugin._loader")

    def real(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        del sys.modules[loader.__name__]
        return getattr(import_module(loader.__name__), name)

    vars(loader).update(get_plugins=tuple, __getattr__=real)
    sys.modules.setdefault(loader.__name__, loader)


_without_plugins()


class Config(BaseModel):
    """The string under each field is its documentation.

    `recipe.model` puts it into the JSON schema. pydantic could too, but it reads the source of
    each class while importing it, which every command would pay for.
    """

    # Deferred, each class is built once, as a part of the recipe, and not by itself before.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)
