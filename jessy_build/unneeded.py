"""What mlx-lm loads for its own downloads, tokenizers and callbacks, and nothing here calls: most
of the time that a training or an answer waits for its libraries.

For processes that are all ours: whoever else asks there gets names that cannot be used.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PACKAGES = ("transformers", "huggingface_hub", "wandb")


def leave_out() -> None:
    """From now on, in all of this process. What is loaded already stays as it is, and what is not
    installed is still missing."""
    sys.meta_path.insert(0, _Instead())


class _Instead:
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        package = name.partition(".")[0]
        if package not in PACKAGES or PathFinder.find_spec(package) is None:
            return None
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


class _Empty(ModuleType):
    def __getattr__(self, name: str) -> type["_Name"]:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Name,), {"__module__": self.__name__})


class _Name:
    """May be imported, and stand as a base class or in an annotation."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError(f"{type(self).__module__}.{type(self).__name__} is left out here")

    @classmethod
    def register(cls, *_: Any, **__: Any) -> None:
        """mlx-lm makes a tokenizer of its own known to transformers."""
