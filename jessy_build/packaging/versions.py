"""Versions of an Ollama server, as `modelfile.requires` and the server itself write them."""

import re

NUMBER = re.compile(
    r"v?(0|[1-9]\d*)(?:\.(0|[1-9]\d*)(?:\.(0|[1-9]\d*)(?P<rest>-[\w.-]+)?(?:\+[\w.-]+)?)?)?",
    re.ASCII,
)
Ordered = tuple[int, int, int, bool]
"""Release candidates (false) come before their version (true)."""


def parsed(text: str) -> Ordered | None:
    found = NUMBER.fullmatch(text)
    if found is None:
        return None
    major, minor, patch = (int(found[place] or 0) for place in (1, 2, 3))
    return major, minor, patch, found["rest"] is None


def is_older(server: str, wanted: str) -> bool:
    """False where the server does not say: one built by hand calls itself 0.0.0."""
    has, needs = parsed(server), parsed(wanted)
    return has is not None and needs is not None and any(has[:3]) and has < needs
