"""Warn of levels whose questions can be told by how they are written instead of what they ask.

A small model learns the easiest sign: where all that is deep begins with a capital letter, it goes
by the capital letter. For each level and each sign we ask how well the sign alone tells the level
from all others, as the mean of the two shares that it gets right; 50 % is chance, whatever the
levels' sizes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jessy_build.example import Example
from jessy_build.validators.finding import Finding, Limits, percent, warning

RULE = "give_aways"

CHANCE = 0.5
MARGIN = 0.3
"""How much better than chance a sign must be. Questions that go deep are longer and more careful by
nature; this is what no variety in them would leave."""
LEAST = 20
"""Questions of a level and of all others, below which a share says little."""
SIGNS = ".!?…"


class Sign(NamedTuple):
    """A way to tell a level: what its questions do, and which share of them and of others."""

    level: str
    words: str
    here: float
    others: float

    @property
    def right(self) -> float:
        return (self.here + 1 - self.others) / 2


class Asked(NamedTuple):
    level: str
    capital: bool
    ended: bool
    words: int


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    asked = [found for example in examples if (found := _asked(example))]
    sizes = Counter(found.level for found in asked)
    for level in sorted(sizes):
        if min(sizes[level], len(asked) - sizes[level]) >= LEAST:
            for sign in _signs(level, asked):
                if sign.right >= CHANCE + MARGIN:
                    yield warning(RULE, _told(sign))


def _asked(example: Example) -> Asked | None:
    text = next((m.content.strip() for m in example.messages if m.role == "user"), "")
    if not text or not example.complexity:
        return None
    return Asked(example.complexity, text[0].isupper(), text[-1] in SIGNS, len(text.split()))


def _signs(level: str, asked: Sequence[Asked]) -> Iterator[Sign]:
    here = [found for found in asked if found.level == level]
    others = [found for found in asked if found.level != level]
    yield _better(
        Sign(level, "begin with a capital letter", _share(here, 1), _share(others, 1)),
        "begin with a small letter or a sign",
    )
    yield _better(
        Sign(level, f"end with one of {SIGNS}", _share(here, 2), _share(others, 2)),
        f"end with none of {SIGNS}",
    )
    yield _by_length(level, Counter(f.words for f in here), Counter(f.words for f in others))


def _share(asked: Sequence[Asked], field: int) -> float:
    return sum(bool(found[field]) for found in asked) / len(asked)


def _better(sign: Sign, opposite: str) -> Sign:
    """What tells the level may as well be that its questions lack the sign."""
    other = Sign(sign.level, opposite, 1 - sign.here, 1 - sign.others)
    return max(sign, other, key=lambda one: one.right)


def _by_length(level: str, here: Mapping[int, int], others: Mapping[int, int]) -> Sign:
    """The bound that parts them best."""
    best = Sign(level, "", 0.0, 1.0)
    below = [0.0, 0.0]
    sums = [sum(here.values()), sum(others.values())]
    for words in sorted({*here, *others}):
        below = [below[0] + here.get(words, 0) / sums[0], below[1] + others.get(words, 0) / sums[1]]
        short = Sign(level, f"have at most {words} words", *below)
        best = max(best, _better(short, f"have more than {words} words"), key=lambda one: one.right)
    return best


def _told(sign: Sign) -> str:
    here, others, right = map(percent, (sign.here, sign.others, sign.right))
    return (
        f"{here} of the questions of '{sign.level}' {sign.words}, {others} of the others:"
        f" by that alone {right} are told apart, where {percent(CHANCE)} is chance"
    )
