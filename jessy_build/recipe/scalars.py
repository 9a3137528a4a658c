"""Single values by the YAML 1.2 core rules, where `no` is a word and `1e-5` a number."""

import re
from typing import TypeAlias

from jessy_build.masking import masked

Scalar: TypeAlias = bool | int | float | str | None

NULL = frozenset(("", "~", "null", "Null", "NULL"))
TRUE = frozenset(("true", "True", "TRUE"))
FALSE = frozenset(("false", "False", "FALSE"))
INT = re.compile(r"[-+]?[0-9]+")
BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
MAX_DIGITS = 18


def resolve(text: str) -> Scalar:
    """A plain scalar by the YAML 1.2 core rules. ValueError for a number JSON could not hold."""
    if text in NULL:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    if INT.fullmatch(text) or BASED.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(text)
        return int(text, 10 if INT.fullmatch(text) else 0)
    if NOT_FINITE.fullmatch(text):
        raise ValueError(text)
    if FLOAT.fullmatch(text):
        number = float(text)
        if number - number != 0:
            raise ValueError(text)
        return number
    return text


def told(value: object) -> str:
    """A value as a person would name it in a sentence."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            value = masked(value)
            return repr(value if len(value) <= 60 else value[:59] + "…")
        case int() | float():
            return str(value) if len(str(value)) <= 40 else str(value)[:39] + "…"
        case list() | tuple():
            return "an empty list" if not value else f"a list of {len(value)}"
    return "a mapping" if value else "an empty mapping"
