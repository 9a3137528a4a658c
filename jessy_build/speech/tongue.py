"""Tell Turkish and English words apart, so that a text is Turkish, English or both.

Word by word, since no detector that gives a text one label can say that two languages are mixed. A
word counts for a language where it stands in one of our lists (`lexicon`), has letters that only
one of them has, or is spelt much more like the words of one list than of the other (three letters
at a time). Everything else counts for none: names, abbreviations, code, addresses, what stands in
quotes, and words that both languages have.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Literal, NamedTuple

from jessy_build.speech import lexicon

Tongue = Literal["tr", "en"]
NAMES = {"tr": "Turkish", "en": "English"}

LEFT_OUT = re.compile(
    r"""```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)  # blocks of code
      | `[^`\n]*`                          # code in a line
      | \w+://\S+ | www\.\S+ | \S+@\S+     # addresses
      | "[^"\n]*" | “[^”\n]*” | «[^»\n]*»  # what is quoted
      | [\w.]*[/\\=<>{}()\[\]_|]+[\w./\\=<>{}()\[\]_|]*\w   # paths, calls, snake_case
      | \b\w+\.\w{1,4}\b                   # file.py
      | [@#]\w+ | \b\w*\d\w*\b""",
    re.VERBOSE | re.DOTALL,
)
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
SENTENCE = re.compile(r"(?<=[.!?…:])\s+|\n+")
MANY = re.compile(r"(.)\1{2,}")
LAUGH = re.compile(r"(?:[ha]{3,}|[js]{3,}|[xd]{2,}|random|lo+l|k{2,})")

FOLDED = str.maketrans("çğıöşüâîûÇĞIİÖŞÜ", "cgiosuaiucgiiosu")
ONLY_TURKISH = re.compile("[çğışÇĞİŞöüÖÜ]")
NOT_TURKISH = re.compile("[wxq]")
ENGLISH_ENDINGS = frozenset(("s", "t", "re", "ve", "ll", "d", "m"))
"""What may stand behind an apostrophe in English. In Turkish it parts a case from a name."""
SURE = 2.5
"""How much more likely a spelling must be in one language than in the other, as a logarithm."""


class Words(NamedTuple):
    """How many words of a text are clearly of one language, or of none."""

    tr: int
    en: int
    neither: int


def sentences(text: str) -> Iterator[str]:
    """Without what says nothing about the language that they are written in."""
    return (part for part in SENTENCE.split(LEFT_OUT.sub(" ", text)) if part.strip())


def words(text: str) -> Words:
    return total([_counted(sentence) for sentence in sentences(text)])


def by_sentence(text: str) -> list[tuple[str, Words]]:
    return [(sentence, _counted(sentence)) for sentence in sentences(text)]


def total(counts: Sequence[Words]) -> Words:
    return Words(
        sum(found.tr for found in counts),
        sum(found.en for found in counts),
        sum(found.neither for found in counts),
    )


def _counted(sentence: str) -> Words:
    found = Counter(_of_sentence(sentence))
    return Words(found["tr"], found["en"], found[""])


def _of_sentence(sentence: str) -> Iterator[str]:
    shouted = sentence.isupper()
    for number, word in enumerate(WORD.findall(sentence)):
        stem, _, ending = word.replace("’", "'").partition("'")
        if ending and ending.lower() not in ENGLISH_ENDINGS:
            yield "tr"
            if _of_word(stem, named=stem[:1].isupper() and number > 0) == "en":
                yield "en"
        elif ending and not ONLY_TURKISH.search(stem):
            yield "en"
        else:
            yield _of_word(stem, named=word[:1].isupper() and number > 0 and not shouted)


@lru_cache(maxsize=16384)
def _of_word(word: str, named: bool) -> str:
    short = MANY.sub(r"\1", word.translate(FOLDED).lower())
    turkish, english = short in _listed("tr"), short in _listed("en")
    if turkish or english:
        return "" if turkish and english else "tr" if turkish else "en"
    if ONLY_TURKISH.search(word):
        return "tr"
    if named or len(short) < 3 or word.isupper() or LAUGH.fullmatch(short):
        return ""
    return _spelt(short)


_TONGUES: tuple[Tongue, ...] = ("tr", "en")


@cache
def _listed(tongue: Tongue) -> frozenset[str]:
    return frozenset((lexicon.TURKISH if tongue == "tr" else lexicon.ENGLISH).split())


def _spelt(word: str) -> str:
    if NOT_TURKISH.search(word):
        return "en"
    weights = _weights()
    much = sum(weights.get(piece, 0.0) for piece in _pieces(word))
    return "tr" if much > SURE else "en" if much < -SURE else ""


@cache
def _weights() -> Mapping[str, float]:
    """How much each piece speaks for Turkish."""
    both = _listed("tr") & _listed("en")
    counts = {
        tongue: Counter(piece for word in _listed(tongue) - both for piece in _pieces(word))
        for tongue in _TONGUES
    }
    known = counts["tr"].keys() | counts["en"].keys()
    totals = {tongue: counts[tongue].total() + len(known) / 2 for tongue in _TONGUES}
    return {
        piece: math.log((counts["tr"][piece] + 0.5) / totals["tr"])
        - math.log((counts["en"][piece] + 0.5) / totals["en"])
        for piece in known
    }


def _pieces(word: str) -> Iterator[str]:
    word = f"^{word}$"
    return (word[at : at + 3] for at in range(len(word) - 2))
