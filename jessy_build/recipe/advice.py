"""The next move for a value that does not fit: the form to copy, where there is one."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from jessy_build.apportion import apportion
from jessy_build.diagnostics import near
from jessy_build.masking import masked
from jessy_build.recipe import model, scalars, vocabulary
from jessy_build.recipe.tree import Path

PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")
OTHER_DATE = re.compile(r"([0-9]{1,2})[./]([0-9]{1,2})[./]([0-9]{4})")
DOTLESS = str.maketrans("ıİ", "iI")
MANY = 6
"""Names beyond which a form is no help any more."""


def for_value(path: Path, value: object, expected: str, choices: Sequence[str]) -> str:
    return (
        (_of_text(value, expected, choices) if isinstance(value, str) else "")
        or _of_share(value, expected)
        or _of_block(path, value)
        or _of_scalar(value, expected)
    )


def for_name(text: str, pattern: str) -> str:
    """A name that is allowed, made out of one that is not."""
    flat = plain_letters(text)
    if pattern == model.NAME_PATTERN:
        flat = flat.lower()
    made = re.sub(r"[^A-Za-z0-9_.-]+" if "." in pattern else r"[^A-Za-z0-9_-]+", "-", flat)
    made = made.strip("-._")
    fits = re.fullmatch(pattern, made) and made != text and masked(text) == text
    return f"did you mean '{made}'?" if fits else ""


def plain_letters(text: str) -> str:
    """`Görüş` as `Gorus`: what names of files and tags take."""
    flat = unicodedata.normalize("NFKD", text.translate(DOTLESS))
    return flat.encode("ascii", "ignore").decode()


def forms(weights: Mapping[str, float], count: int) -> str:
    """The same weights as shares and as rows, to be copied. Nothing where that would be long."""
    kinds = {float(weight).is_integer() for weight in weights.values()}
    if len(weights) > MANY or len(weights) > count:
        return ""
    # Shares beside rows say nothing about each other: none is larger than another then.
    even = weights if len(kinds) == 1 else dict.fromkeys(weights, 1.0)
    rows = apportion(count, even)
    shares = apportion(100, even)
    if not all((*rows.values(), *shares.values())):
        return ""
    return f"as shares {_mapping(_hundredths(shares))}, as rows {_mapping(rows)}"


def _of_text(value: str, expected: str, choices: Sequence[str]) -> str:
    if expected == vocabulary.DATE and (day := OTHER_DATE.fullmatch(value)):
        return f"write it as year-month-day: {day[3]}-{day[2]:0>2}-{day[1]:0>2}"
    if "true or false" in expected:
        if value.lower() in ("yes", "on", "y", "no", "off", "n"):
            return "write true or false: other words are text in YAML 1.2"
        if value.lower() in ("true", "false"):
            return "remove the quotes"
    if "number" in expected and _is_number(value):
        return "remove the quotes"
    for pattern, words in vocabulary.NAMES.items():
        if words in expected and (hint := for_name(value, pattern)):
            return hint
    return near(value, choices)


def _of_scalar(value: object, expected: str) -> str:
    text = isinstance(value, bool | int | float) and vocabulary.is_text(expected)
    return "put it in quotes" if text else ""


def _of_share(value: object, expected: str) -> str:
    if isinstance(value, bool) or "a number" not in expected:
        return ""
    if isinstance(value, str) and (found := PERCENT.fullmatch(value)):
        return f"write {value} as {_share(found[1])}"
    below = "of at most 1" in expected or "below 1" in expected or "from 0 to 1" in expected
    if below and isinstance(value, int | float) and 1 < value <= 100:
        return f"write {value:g} % as {_share(str(value))}"
    return ""


def _of_block(path: Path, value: object) -> str:
    if path[-2:] == ("dataset", "split"):
        return "for example {train: 0.9, valid: 0.1}"
    if len(path) != 3 or path[0] != "categories" or path[2] not in ("languages", "complexity"):
        return ""
    names = value if isinstance(value, list) else [value]
    known = ("tr", "en", "mixed") if path[2] == "languages" else None
    named = [name for name in names if isinstance(name, str) and (not known or name in known)]
    if not named or len(named) != len({*named}) or len(named) != len(names) or len(named) > MANY:
        named = ["tr", "en"] if known else ["low", "medium"]
    return f"for example {_mapping(_hundredths(apportion(100, dict.fromkeys(named, 1.0))))}"


def _share(text: str) -> str:
    return f"{float(Fraction(text) / 100):g}"


def _hundredths(parts: Mapping[str, int]) -> dict[str, float]:
    return {name: part / 100 for name, part in parts.items()}


def _mapping(values: Mapping[str, float]) -> str:
    words: Iterable[str] = (f"{name}: {value:g}" for name, value in values.items())
    return "{" + ", ".join(words) + "}"


def _is_number(text: str) -> bool:
    try:
        return isinstance(scalars.resolve(text), int | float)
    except ValueError:
        return False
