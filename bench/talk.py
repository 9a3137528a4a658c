"""Rows like those of a persona, as many as one likes: small talk and questions of a few words."""

import itertools
import random
from collections.abc import Iterator

from jessy_build.example import Example, Message, Origin, example_id

OPENINGS = {
    "tr": ["kanka", "ya", "jessy", "merhaba", "bak şimdi", "bi dakika", "şey", "açıkçası", "valla"],
    "en": [
        "hey",
        "so",
        "jessy",
        "listen",
        "one more thing",
        "okay",
        "well",
        "honestly",
        "by the way",
    ],
}
MIDDLES = {
    "tr": [
        *("bugün hava", "yeni telefonum", "annemin yemeği", "bu kod", "sınav sonucu", "dünkü maç"),
        *("komşunun kedisi", "yarınki toplantı", "eski bisikletim", "bu şarkı", "otobüs", "kahve"),
        *(
            "projenin testi",
            "veritabanı sorgusu",
            "tatil planı",
            "sabah koşusu",
            "bu kitap",
            "saçım",
        ),
    ],
    "en": [
        *(
            "the weather today",
            "my new phone",
            "this piece of code",
            "the exam result",
            "the match",
        ),
        *(
            "the neighbour's cat",
            "the meeting tomorrow",
            "my old bicycle",
            "this song",
            "the late bus",
        ),
        *(
            "the failing test",
            "that database query",
            "our holiday plan",
            "the morning run",
            "my hair",
        ),
    ],
}
LETTERS = {
    "tr": [
        "ba",
        "ka",
        "le",
        "mi",
        "ru",
        "şe",
        "yor",
        "dı",
        "lar",
        "ğu",
        "ne",
        "ço",
        "sün",
        "tek",
        "im",
    ],
    "en": [
        "th",
        "er",
        "ing",
        "on",
        "ly",
        "st",
        "ra",
        "pe",
        "mo",
        "ck",
        "ti",
        "al",
        "be",
        "ou",
        "gra",
    ],
}
"""Of these, words of no meaning: as many different ones as a real language has."""


def rows(count: int, seed: int = 7, repeated: float = 0.02) -> Iterator[Example]:
    """A share of them asks what an earlier one asked, with a letter less."""
    chance = random.Random(seed)
    recent: list[tuple[str, str]] = []
    for number in range(count):
        language = "tr" if chance.random() < 0.6 else "en"
        if recent and chance.random() < repeated:
            language, asked = chance.choice(recent)
            at = chance.randrange(len(asked))
            asked = asked[:at] + asked[at + 1 :]
        else:
            asked = _question(chance, language)
            recent = [*recent[-200:], (language, asked)]
        answer = " ".join(_word(chance, language) for _ in range(chance.randint(4, 30)))
        messages = (Message("user", asked), Message("assistant", answer))
        yield Example(
            id=example_id("talk", messages),
            category="talk",
            topic=f"topic {number % 50}",
            language=language,
            complexity=("low", "medium", "high")[number % 3],
            messages=messages,
            origin=Origin("curated", f"rows.jsonl:{number + 1}"),
        )


def _question(chance: random.Random, language: str) -> str:
    words = (_word(chance, language) for _ in range(chance.randint(2, 9)))
    parts = [chance.choice(OPENINGS[language]), chance.choice(MIDDLES[language]), *words]
    return " ".join(parts) + chance.choice(["", "?", "!", "."])


def _word(chance: random.Random, language: str) -> str:
    # Zipf's law, roughly: few words stand everywhere, most of them hardly anywhere.
    length = min(4, 1 + int(chance.expovariate(0.8)))
    return "".join(itertools.islice(iter(lambda: chance.choice(LETTERS[language]), None), length))
