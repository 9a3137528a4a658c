"""Find texts that are nearly the same without comparing each with each (MinHash, Broder 1997).

A text is the set of its three-letter pieces. Of two texts, the share of pieces that they have in
common is also the chance that a random order of all pieces puts the same one first in both; so a
few such firsts, taken together, are equal only where the share is high. They only say which texts
are worth a look: each pair is then compared piece by piece, so that no figure is an estimate.

Texts in one frame share more keys the more of them there are. So a look is cheap: of each text a
number stands by whose bits show at once that two differ by too much (a bitmap filter, Sandes et al.
2020), which drops no pair that is alike.

Written here since datasketch needs NumPy and SciPy: 52 MB of wheels, more than all of our core.
"""

import hashlib
import re
import struct
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

ORDERS = 40
"""Random orders of all pieces, and so numbers in a signature."""
FOUND = 0.99
"""The chance to look at a pair that is just as much alike as asked for; above it soon reaches 1."""
MOST = 64
"""Texts that are looked at for each key. Very many in one frame ("What is … in one word?") share
keys without being alike enough; work and memory stay proportional to the number of texts."""
BITS = 512
"""Several times the pieces of a question, so that hardly two of them fall on one bit."""

DIGITS = re.compile(r"\d+")
LAYOUT = struct.Struct(f"<{ORDERS}H")

Pieces = frozenset[str]


@lru_cache(maxsize=4096)
def pieces(text: str) -> Pieces:
    """Three letters at each place, the ends of the text among them."""
    text = f"  {text}  "
    once: set[str] = set()
    again = []
    for at in range(len(text) - 2):
        piece = text[at : at + 3]
        if piece in once:
            again.append(piece)
        once.add(piece)
    # The second of the same is another one: haha is not hahaha.
    for piece, count in Counter(again).items():
        once.update(f"{piece}{number}" for number in range(count))
    return frozenset(once)


def alike(one: str, other: str) -> float:
    """Of the pieces of both, the share that they have in common (Jaccard's index).

    Texts with other numbers ask something else, however much the rest is alike.
    """
    if _numbers(one) != _numbers(other):
        return 0.0
    common = len(pieces(one) & pieces(other))
    return common / (len(pieces(one)) + len(pieces(other)) - common)


def _numbers(text: str) -> str:
    return " ".join(DIGITS.findall(text))


def width(least: float) -> int:
    """How many firsts make one key: as many as still find pairs that are alike by `least`."""
    fitting = [
        wide for wide in range(1, ORDERS + 1) if 1 - (1 - least**wide) ** (ORDERS // wide) >= FOUND
    ]
    return max(fitting, default=1)


def keys(text: str, wide: int) -> Iterator[int]:
    """Texts that share one of their keys, at the same place, are worth a look."""
    signature = tuple(map(min, *map(_orders, pieces(text))))
    told = zlib.crc32(_numbers(text).encode())
    for start in range(0, ORDERS - wide + 1, wide):
        yield hash((told, signature[start : start + wide]))


@lru_cache(maxsize=8192)
def _orders(piece: str) -> tuple[int, ...]:
    """Where the piece stands in each of the orders: the same on every machine."""
    return LAYOUT.unpack(hashlib.shake_128(piece.encode()).digest(LAYOUT.size))


def bits(text: str) -> int:
    """A bit for each piece: texts differ by at least as many pieces as bits."""
    found = 0
    for piece in pieces(text):
        found |= _bit(piece)
    return found


@lru_cache(maxsize=8192)
def _bit(piece: str) -> int:
    return 1 << zlib.crc32(piece.encode()) % BITS


class Looks:
    """Whether a pair may be alike at all, said in much less time than comparing it takes."""

    def __init__(self, least: float) -> None:
        self.sizes = array("q")
        self.bits: list[int] = []
        self.may_differ = (1 - least) / (1 + least) + 1e-9

    def add(self, text: str) -> None:
        self.sizes.append(len(text) + 2)  # each place of a text is one piece
        self.bits.append(bits(text))

    def worth(self, ones: Sequence[int], other: int) -> list[int]:
        size, set_there, may = self.sizes[other], self.bits[other], self.may_differ
        return [
            one
            for one in ones
            if (self.bits[one] ^ set_there).bit_count() <= may * (self.sizes[one] + size)
        ]


def pairs(texts: Sequence[str], least: float) -> Iterator[tuple[int, int, float]]:
    """Earlier and later text of each pair that is alike enough, and how much, in any order."""
    wide = width(least)
    many = ORDERS // wide
    found = array("q")
    looks = Looks(least)
    for text in texts:
        found.extend(keys(text, wide))
        looks.add(text)
    told: set[tuple[int, int]] = set()
    # One place after another, so that only one table of keys is held.
    for place in range(many):
        for one, later in _sharing(found[place::many], looks):
            if (one, later) not in told:
                share = alike(texts[one], texts[later])
                if share >= least:
                    told.add((one, later))
                    yield one, later, share


def _sharing(found: Sequence[int], looks: Looks) -> Iterator[tuple[int, int]]:
    # Most keys stand once: a list for each of them would be most of the memory.
    first: dict[int, int] = {}
    others: dict[int, list[int]] = {}
    for later, key in enumerate(found):
        one = first.setdefault(key, later)
        if one == later:
            continue
        earlier = others.setdefault(key, [one])
        for worth in looks.worth(earlier, later):
            yield worth, later
        if len(earlier) < MOST:
            earlier.append(later)
