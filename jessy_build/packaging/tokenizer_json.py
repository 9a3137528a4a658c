"""A tokenizer.json, whose two long lists are taken apart by NumPy.

A parser makes a list and two texts of each merge: 1.5 million objects for Gemma. Here each merge
is cut out as one text, once it is known which bytes stand in strings.
"""

import re
from typing import Any

import pydantic_core

MERGES = rb'"merges"\s*:\s*\['
Span = tuple[int, int]
NOWHERE = 0, 0


class TokenizerJson:
    """ValueError: it is no JSON, or no BPE's; of the merges, this is seen when they are read."""

    rest: dict[str, Any]
    """All of the file, but vocabulary and merges are empty."""
    tokens: list[bytes]
    """In UTF-8."""
    ids: list[int]
    """Of the tokens, in the same order."""

    def __init__(self, text: bytes) -> None:
        self._marked = _Marked(text)
        vocab = self._marked.span(rb'"vocab"\s*:\s*\{', rb"\}")
        self._pairs = self._marked.span(MERGES + rb"(?=\s*\[)", rb"\]\s*\]")
        self._lines = NOWHERE if any(self._pairs) else self._marked.span(MERGES, rb"\]")
        kept, at = b"", 0
        for start, stop in sorted((vocab, self._pairs, self._lines)):
            kept, at = kept + text[at:start], stop
        self.rest = pydantic_core.from_json(kept + text[at:])
        if not isinstance(self.rest, dict):
            raise ValueError("no object")
        self.tokens, self.ids = _vocab(self._marked, vocab)

    def merges(self, between: bytes) -> list[bytes]:
        """Each as one text: its left part, what comes between, its right part."""
        pairs = _pairs(self._marked, self._pairs) + _halved(self._marked.lines(self._lines))
        return _plain(pairs.replace(b"\0", between))


class _Marked:
    """A JSON text, and which of its bytes stand in strings: opening quotes do, closing ones not."""

    def __init__(self, text: bytes) -> None:
        import numpy as np

        self.text = text
        self.data = np.frombuffer(text, np.uint8)
        quotes = self.data == ord('"')
        escaped = (found.end() - 1 for found in re.finditer(rb"\\.", text, re.DOTALL))
        quotes[np.fromiter(escaped, np.intp)] = False
        self.quotes = np.flatnonzero(quotes)
        lengths = np.diff(self.quotes, prepend=0, append=len(text))
        every_second = np.arange(len(lengths), dtype=np.uint32) & 1
        self.inside: Any = np.repeat(every_second.astype(np.bool_), lengths)

    def span(self, opening: bytes, closing: bytes) -> Span:
        """What stands between the two, which are patterns; NOWHERE if nothing opens."""
        for key in re.finditer(opening, self.text):
            if self.inside[key.start()] and not self.inside[key.start() - 1]:
                break
        else:
            return NOWHERE
        for end in re.compile(closing).finditer(self.text, key.end()):
            if not self.inside[end.start()]:
                return key.end(), end.end() - 1
        raise ValueError("a list without an end")

    def texts(self, span: Span) -> tuple[Any, Any]:
        """The strings as they are written, with a line's end for a quote; where those stand.

        In JSON, no character below a space stands in a string."""
        import numpy as np

        start, stop = span
        # A byte behind one that is inside is text, or the quote that closes it.
        texts = self.data[start + 1 : stop + 1][self.inside[start:stop]]
        if (texts < ord(" ")).any():
            raise ValueError("a control character in a string")
        first, last = (int(np.searchsorted(self.quotes, at)) for at in span)
        quotes = self.quotes[first:last]
        ends = np.cumsum(quotes[1::2] - quotes[0::2]) - 1
        texts[ends] = ord("\n")
        return texts, ends

    def lines(self, span: Span) -> bytes:
        return bytes(self.texts(span)[0])

    def around(self, span: Span) -> bytes:
        """All but strings and spaces."""
        outside = ~self.inside[slice(*span)]
        return bytes(self.data[slice(*span)][outside]).translate(None, b'" \n\r\t')


def _vocab(marked: _Marked, span: Span) -> tuple[list[bytes], list[int]]:
    tokens = _plain(marked.lines(span))
    ids = pydantic_core.from_json(b"[" + marked.around(span)[1:].replace(b",:", b",") + b"]")
    if len(ids) != len(tokens):
        raise ValueError("tokens without ids")
    return tokens, ids


def _pairs(marked: _Marked, span: Span) -> bytes:
    """Left, NUL, right and a line's end."""
    texts, ends = marked.texts(span)
    if marked.around(span) != (b"[,]," * (len(ends) // 2))[:-1]:
        raise ValueError("a merge of other than two")
    texts[ends[0::2]] = 0
    return bytes(texts)


def _halved(lines: bytes) -> bytes:
    """The same of merges that are written as one string."""
    # The first character belongs to the left part, even when it is itself a space.
    pairs = re.sub(rb"^([^\n][^ \n]*) ", rb"\1\0", lines, flags=re.MULTILINE)
    if pairs.count(b"\0") != pairs.count(b"\n"):
        raise ValueError("a merge of other than two")
    return pairs


def _plain(lines: bytes) -> list[bytes]:
    """What JSON's strings stand for, in UTF-8."""
    import numpy as np

    texts = lines.split(b"\n")[:-1]
    if b"\\" not in lines:
        return texts
    data = np.frombuffer(lines, np.uint8)
    ends, marks = (np.flatnonzero(data == ord(mark)) for mark in "\n\\")
    numbers: Any = np.searchsorted(ends, marks)
    escaped = dict.fromkeys(numbers.tolist())
    written = b'","'.join([texts[number] for number in escaped])
    plain = pydantic_core.from_json(b'["' + written + b'"]')
    for number, text in zip(escaped, plain, strict=True):
        texts[number] = text.encode()
    return texts
