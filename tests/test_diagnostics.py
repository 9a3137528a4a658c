"""A problem as people read it: the place, the line with carets, the next move."""

import time
from dataclasses import asdict

import pytest

from jessy_build.diagnostics import CODES, Diagnostic, RecipeError, Span, code, near, render
from jessy_build.masking import masked


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


@pytest.mark.parametrize(
    ("line", "masked_line"),
    [
        ("api_key: sk-ant-api03-Zm9v", "api_key: " + "*" * 17),
        ("model: sk-ant-api03-Zm9v", "model: sk-ant-" + "*" * 10),
        ('auth_token: "correct horse"', 'auth_token: "*************"'),
        ('{"password": "hunter2"}', '{"password": "*******"}'),
        ("teachers.a.api_key=abcdefgh", "teachers.a.api_key=********"),
        ("key: 0123456789abcdef0123", "key: ********************"),
        ("hf_abcdefghij", "hf_**********"),
        # What only sounds alike is shown.
        ("max_tokens: 8000", "max_tokens: 8000"),
        ("batch_tokens: 448000", "batch_tokens: 448000"),
        ("key: C major", "key: C major"),
        ("task-oriented answers", "task-oriented answers"),
        ("sha256: a5fd3b62230aa5ec60212297dc9d", "sha256: a5fd3b62230aa5ec60212297dc9d"),
    ],
)
def test_a_key_in_a_file_is_not_shown(line: str, masked_line: str) -> None:
    text = shown(line, Span("r.yaml", 1, 1, 2), got=line)
    assert text[1] == f"   1 | {masked_line}"
    assert text[3] == f"  got: {masked_line}"
    assert masked(masked_line) == masked_line


def test_a_problem_holds_no_key_in_whatever_form_it_is_told() -> None:
    problem = Diagnostic("R1", Span("r.yaml", 1, 1, 2), "", "'sk-ant-api03-Zm9v' is no model")
    assert "Zm9v" not in str(asdict(problem)) + str(RecipeError([problem]))


def test_masking_takes_no_time_on_a_long_line() -> None:
    for line in ("x" * 1_000_000, "key" * 300_000, "sk-" * 300_000, "token: " * 100_000):
        began = time.process_time()
        masked(line)
        assert time.process_time() - began < 2


def test_problems_of_the_files_that_come_first_are_told_first() -> None:
    row, field = (Diagnostic("R1", Span(file, 1, 1, 2), "", file) for file in ("a.jsonl", "x.yaml"))
    assert RecipeError([row, field], first=["x.yaml"]).diagnostics == [field, row]
