"""The Jinja2 that published chat templates are written for, in a sandbox."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


def make_environment(now: Callable[[], datetime]) -> ImmutableSandboxedEnvironment:
    """Set up as transformers does: published templates are written for that, and for no other.

    So an undefined name is false here rather than an error; every one of them counts on it.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda style: now().strftime(style)
    environment.filters["tojson"] = _tojson
    return environment


class _GenerationBlock(Extension):
    """`{% generation %} … {% endgeneration %}` marks answers for other tools; here it is no-op."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
