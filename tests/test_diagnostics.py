"""A problem as people read it: the place, the line with carets, the next move."""

import pytest

from jessy_build.diagnostics import CODES, Diagnostic, RecipeError, Span, code, near, render


def shown(line: str, span: Span, **words: str) -> list[str]:
    diagnostic = Diagnostic("R104", span, words.pop("field", ""), "unknown field", **words)
    text = render(diagnostic, lambda file: [""] * (span.line - 1) + [line])
    return text.splitlines()


def test_a_problem_is_shown_as_the_architecture_says() -> None:
    diagnostic = Diagnostic(
        "R104",
        Span("recipes/jessy.yaml", 5, 5, 10),
        "teachers.local.modle",
        "unknown field 'modle'",
        expected="kind, model, host, temperature",
        got="text",
        hint="did you mean 'model'?",
    )
    lines = [*["x"] * 4, "    modle: qwen3:8b"]
    assert render(diagnostic, lambda file: lines) == (
        "recipes/jessy.yaml:5:5: error[R104]: unknown field 'modle'      (teachers.local.modle)\n"
        "   5 |     modle: qwen3:8b\n"
        "     |     ^^^^^\n"
        "  expected: kind, model, host, temperature\n"
        "  got: text\n"
        "  hint: did you mean 'model'?"
    )


def test_what_is_not_known_is_left_out() -> None:
    diagnostic = Diagnostic("R001", Span("r.yaml", 1, 1, 2), "", "the file does not exist")
    assert render(diagnostic, lambda file: []) == (
        "r.yaml:1:1: error[R001]: the file does not exist"
    )


@pytest.mark.parametrize(
    ("line", "columns", "carets"),
    [
        ("a: b", (4, 5), "   ^"),
        ("çığ: ü", (6, 7), "     ^"),
        # An emoji takes two columns of a terminal.
        ("🎯: x", (4, 5), "    ^"),
        ("x: 🎯", (4, 5), "   ^^"),
        ("\tx: y", (2, 3), " ^"),
        ("a", (2, 3), " ^"),
    ],
)
def test_carets_stand_under_what_is_meant(line: str, columns: tuple[int, int], carets: str) -> None:
    text = shown(line, Span("r.yaml", 1, *columns))
    assert text[2] == "     | " + carets


@pytest.mark.parametrize("column", [1, 60, 109, 500, 960])
def test_of_a_long_line_the_part_around_the_problem_is_shown(column: int) -> None:
    line = "".join(f"{i:<8}" for i in range(0, 960, 8)) + "end"
    text = shown(line, Span("r.yaml", 3, column, column + 3))
    assert len(text[1]) <= 120
    under = text[2].index("^")
    assert text[1][under : under + 3] == line[column - 1 : column + 2].replace("\n", "")


def test_a_long_stretch_ends_with_the_shown_line() -> None:
    text = shown("x" * 500, Span("r.yaml", 1, 1, 501))
    assert len(text[2]) <= 120


def test_a_file_cannot_drive_the_terminal() -> None:
    text = shown("a: \x1b[31m\u202eb", Span("r.yaml", 1, 1, 2), got="\x1b[2J", hint="\r")
    assert not set("".join(text)) & set("\x1b\r\u202e")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("modle", "did you mean 'model'?"),
        ("lora", "did you mean 'lora'?"),
        # No hint is better than a wild one.
        ("colour", ""),
        ("", ""),
        ("x", ""),
    ],
)
def test_a_hint_is_given_only_where_a_name_is_close(word: str, hint: str) -> None:
    assert near(word, ["model", "lora", "epochs"]) == hint


def test_problems_are_sorted_by_their_place() -> None:
    first = Diagnostic("R104", Span("a.yaml", 2, 9, 10), "", "first")
    second = Diagnostic("R001", Span("a.yaml", 10, 1, 2), "", "second")
    third = Diagnostic("R001", Span("b.j2", 1, 1, 2), "", "third")
    assert RecipeError([third, second, first]).diagnostics == [first, second, third]


def test_a_code_means_one_thing() -> None:
    known = next(iter(CODES), None) or code("T001", "a test")
    assert code(known, CODES[known]) == known
    with pytest.raises(ValueError, match="is already"):
        code(known, "something else")
