"""A diff as one HTML page that asks nothing of the network and runs no script."""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def render(view: Mapping[str, Any]) -> str:
    """`view` is the document of `schemas/diff.schema.json`, its entries in words beside it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    style = (HERE / "diff.css").read_text("utf-8")
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    page = environment.get_template("diff.html.j2").render(
        diff=view,
        # A page whose names are `items` or `keys` must not meet the methods of a mapping.
        categories=[_category(category) for category in view["categories"]],
        groups=_grouped(view["fields"]),
        style=Markup(style),
        style_hash="sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
    page = page.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return _CONTROL.sub("\ufffd", page)


def _category(category: Mapping[str, Any]) -> dict[str, Any]:
    found = category["items"]
    samples = found["samples"] if found else {}
    return {
        **category,
        "samples": [(kind, sample) for kind, some in samples.items() for sample in some],
    }


def _grouped(fields: list[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for field in fields:
        groups.setdefault(field["group"], []).append(field)
    return groups


def _breakable(name: str) -> Any:
    """A long name may break after its signs, not in the middle of a word."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split(r"(?<=[:_/.-])", name))
