"""Markdown by headings, text by paragraphs, anything by size."""

from jessy_build.sources import cutting
from jessy_build.sources.config import Sources, Unit
from jessy_build.sources.excerpt import Excerpt


def cut(file: str, text: str, unit: Unit, max_tokens: int = 1000) -> list[Excerpt]:
    return list(
        cutting.cut(text, file, Sources(files=("x",), unit=unit, max_tokens=max_tokens)).excerpts
    )


def places(file: str, text: str, unit: Unit, max_tokens: int = 1000) -> list[str]:
    return [f"{excerpt.lines} {excerpt.name}" for excerpt in cut(file, text, unit, max_tokens)]


GUIDE = """\
---
title: a guide
# no heading
---
Before all of it.

# Guide

First, çok önemli.

```sh
# a comment, and no heading
## nor this

~~~
```

## Install ##

Run it.
#no heading without a space

    # nor this one

### Linux

Here.

Second
------
Below.

## Empty

## Last

End.
"""


def test_sections_go_from_heading_to_heading_and_know_those_above() -> None:
    assert places("guide.md", GUIDE, "section") == [
        "5 guide.md",
        "7-16 Guide",
        "18-23 Guide > Install",
        "25-27 Guide > Install > Linux",
        "29-31 Guide > Second",
        "35-37 Guide > Last",
    ]
    second = cut("guide.md", GUIDE, "section")[1]
    assert second.text.startswith("# Guide\n\nFirst") and second.text.endswith("~~~\n```")
    assert second.language == "Markdown"


def test_line_ends_of_windows_change_no_section() -> None:
    for unit in ("section", "paragraph", "chunk", "file"):
        windows = GUIDE.replace("\n", "\r\n")
        assert cut("guide.md", windows, unit) == cut("guide.md", GUIDE, unit)  # type: ignore[arg-type]


def test_paragraphs_of_markdown_are_neither_headings_nor_parts_of_a_fence() -> None:
    assert places("guide.md", GUIDE, "paragraph") == [
        "5 Before all of it.",
        "9 Guide",
        "11-16 Guide",
        "20-21 Install",
        "23 Install",
        "27 Linux",
        "31 Second",
        "37 Last",
    ]


def test_paragraphs_of_text_are_what_lies_between_blank_lines() -> None:
    text = "\n\nOne line.\nAnd another.\n \n\n# Three\n\n" + "w " * 20
    assert places("a.txt", text, "paragraph") == [
        "3-4 One line. And another.",
        "7 # Three",
        "9 w w w w w w w w",
    ]


def test_a_paragraph_is_the_same_one_while_its_first_words_are() -> None:
    one, two = (
        "Once upon a time there was a king. ",
        "Another paragraph altogether, quite long now.",
    )
    before = cut("a.txt", f"{one}\n\n{two}\n", "paragraph")
    after = cut("a.txt", f"New.\n\n{one}He was old.\n\n{two}\n", "paragraph")
    assert [e.key for e in after[1:]] == [e.key for e in before]
    assert after[1].digest != before[0].digest and after[2].digest == before[1].digest


def test_chunks_are_whole_lines_that_fit_and_end_at_blank_ones_where_that_costs_little() -> None:
    lines = [f"line number {n}" for n in range(30)]
    lines[4] = lines[21] = ""
    chunks = cut("a.txt", "\n".join(lines), "chunk", max_tokens=20)
    assert all(len(chunk.text) <= 80 and not chunk.left_out for chunk in chunks)
    kept = [line for chunk in chunks for line in chunk.text.split("\n")]
    assert list(filter(None, kept)) == list(filter(None, lines))
    assert chunks[0].lines == "1-4"


def test_a_file_is_one_excerpt_without_the_blank_lines_around_it() -> None:
    (whole,) = cut("src/a.py", "\n\nx = 1\n\ny = 2\n\n", "file")
    assert (whole.text, whole.lines, whole.name) == ("x = 1\n\ny = 2", "3-5", "a.py")
    assert whole.variables["path"] == "src/a.py" and whole.variables["language"] == "Python"


def test_what_is_too_long_is_cut_at_the_end_of_a_line() -> None:
    (cut_off,) = cut("a.txt", "a" * 30 + "\n" + "b" * 30 + "\n" + "c" * 30, "file", max_tokens=20)
    assert cut_off.text == "a" * 30 + "\n" + "b" * 30 + "\n… (1 more line)"
    assert cut_off.left_out == 1
    (one_line,) = cut("a.txt", "a" * 500, "file", max_tokens=20)
    assert one_line.text.startswith("a" * 80 + "\n") and one_line.left_out == 1
