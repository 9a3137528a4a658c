"""Walk the classes of the recipe language, to hold documentation, table and code against them."""

from collections.abc import Iterator

from pydantic import BaseModel

from jessy_build.recipe import later
from jessy_build.recipe.model import Recipe

Class = type[BaseModel]


def fields(cls: Class = Recipe, at: str = "") -> Iterator[tuple[Class, str, str]]:
    """Each field with its class and its dotted path, `*` for a name of the user's own."""
    for name, info in cls.model_fields.items():
        path = f"{at}{info.alias or name}"
        yield cls, name, path
        own = "*." if "dict[" in str(info.annotation) else ""
        for inner in later.classes_in(info.annotation):
            yield from fields(inner, f"{path}.{own}")


def fields_of_today() -> Iterator[tuple[Class, str, str]]:
    """Less those that the table of later things names, and all that stands only inside them."""
    gone = [path for path in later.LATER if "=" not in path]
    for cls, name, path in fields():
        inside = any(path == field or path.startswith(f"{field}.") for field in gone)
        if not inside:
            yield cls, name, path
