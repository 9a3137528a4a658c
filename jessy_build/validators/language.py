"""An answer is in the language that its row says.

What says nothing about it is left out of the judgement: code, addresses, quotes, names, emoji. And
where words say little (`ok`, `tamam`), the row has the benefit of the doubt: an English term is
part of many a Turkish answer. So a finding needs more words of the other language than of the one
that was asked for, twice as many, or one whole sentence of it. A `mixed` row may be answered in
either language; what it asks and answers, taken together, is not all in one.

Measured on sentences of a chat corpus by other people (chatterbot-corpus without its two technical
parts: 297 Turkish ones, the same without dots and hooks, 1,688 English ones): none is rejected as
its own language. Of those with five words and more 83 of 84, 83 of 84 and 953 of 957 are rejected
as the other one; shorter ones often have the benefit of the doubt. Of the 852 curated rows of this
repository none is rejected.
"""

import re
from collections.abc import Iterator, Sequence

from jessy_build.example import Example
from jessy_build.speech import tongue
from jessy_build.speech.phrases import OTHERS
from jessy_build.speech.tongue import NAMES
from jessy_build.validators.finding import Finding, Limits, error, excerpt

RULE = "language"

NAMED = re.compile("english|[iı]ngilizce|turkish|t[üu]rk[çc]e")
FEW = 3
"""Fewer words than these of the other language are terms, not a language."""
SENTENCE = 5
"""So many words of the other language, and none of the one asked for, make a foreign sentence."""
PURE = 12
"""So many words of one language, and not one that could be of another, are no mixture."""


def check(examples: Sequence[Example], limits: Limits) -> Iterator[Finding]:
    for example in examples:
        problem = (
            _not_mixed(example)
            if example.language == "mixed"
            else _Asked(example.language).problem_of(example)
        )
        if problem:
            yield error(example, RULE, problem)


class _Asked:
    def __init__(self, language: str) -> None:
        self.language = language
        self.name = NAMES.get(language, "")
        self.other = NAMES["en" if language == "tr" else "tr"]

    def problem_of(self, example: Example) -> str:
        for number, message in enumerate(example.messages):
            if message.role == "assistant" and (problem := self.problem(message.content)):
                return problem
            later = any(m.role == "assistant" for m in example.messages[:number])
            if message.role == "user" and later and self._leaves(message.content):
                # Who goes on in another language in the middle, or asks for one, is followed there.
                return ""
        return ""

    def _leaves(self, question: str) -> bool:
        here, foreign = self._parted(tongue.words(question))
        return bool(NAMED.search(question.translate(OTHERS).lower())) or (
            foreign > 1 and foreign > 2 * here
        )

    def problem(self, answer: str) -> str:
        """'' where there is none, or where the row says no language that we can tell."""
        if not self.name:
            return ""
        sentences = tongue.by_sentence(answer)
        here, foreign = self._parted(tongue.total([words for _, words in sentences]))
        if foreign >= FEW and foreign > 2 * here:
            return f"an answer is {self.other}, not {self.name} as asked: {excerpt(answer)}"
        for sentence, words in sentences:
            here, foreign = self._parted(words)
            if foreign >= SENTENCE and not here:
                said = excerpt(sentence)
                return f"a sentence of an answer is {self.other}, not {self.name} as asked: {said}"
        return ""

    def _parted(self, words: tongue.Words) -> tuple[int, int]:
        return (words.tr, words.en) if self.language == "tr" else (words.en, words.tr)


def _not_mixed(example: Example) -> str:
    turns = [message.content for message in example.messages if message.role != "system"]
    words = tongue.words("\n".join(turns))
    for language, many, others in (("tr", words.tr, words.en), ("en", words.en, words.tr)):
        if many >= PURE and not others + words.neither:
            return f"question and answer are all {NAMES[language]}, not mixed as asked"
    return ""
