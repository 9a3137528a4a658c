"""What the user sees: exact lines without a terminal, real bars in one, JSON and nothing else."""

import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build import console as module
from jessy_build.console import Console, Summary, cells, clean, fit, pad
from jessy_build.diagnostics import Diagnostic, Span, StepError
from jessy_build.engine.events import (
    BuildFinished,
    BuildStarted,
    Event,
    StepFailed,
    StepFinished,
    StepNote,
    StepProgress,
    StepReused,
    StepStarted,
)
from jessy_build.reports.data import BeforeAfter

STEPS = ("fetch base", "generate:türkçe", "train", "gguf")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Shown:
    """A console over memory, with what came out of it."""

    def __init__(self, **how: object) -> None:
        self.out, self.problems, self.clock = io.StringIO(), io.StringIO(), Clock()
        how = {"env": {}, **how}
        self.console = Console(self.out, errors=self.problems, clock=self.clock, **how)  # type: ignore[arg-type]

    def after(self, *events: Event) -> str:
        for event in events:
            self.console.emit(event)
        return self.out.getvalue()


def test_a_build_reads_as_one_line_a_step() -> None:
    assert (
        Shown().after(
            BuildStarted("jessy", "v1", STEPS),
            StepReused("fetch base", "135 M parameters"),
            StepReused("generate:türkçe", "62 rows"),
            StepStarted("train", "train", ("lora.rank 8 → 16",)),
            StepNote("train", "the validation loss no longer falls"),
            StepFinished("train", 112.4, "best loss 1.92 at step 120"),
            StepStarted("gguf", "gguf", ("never built",)),
            StepFinished("gguf", 1.9, "271 MB"),
            BuildFinished("done", 115.0, 2, 2),
        )
        == """\
· fetch base        cached   135 M parameters
· generate:türkçe   cached   62 rows
  train             starts   lora.rank 8 → 16
  train             note     the validation loss no longer falls
✓ train             1m52s    best loss 1.92 at step 120
  gguf              starts   never built
✓ gguf              1.9s     271 MB
Done in 1m55s · 2 steps ran, 2 cached
"""
    )


def test_a_build_with_nothing_to_do_says_so_in_one_line() -> None:
    reused = [StepReused(step) for step in STEPS]
    finished = BuildFinished("nothing to do", 0.081, 0, 4)
    told = Shown().after(BuildStarted("jessy", "v1", STEPS), *reused, finished)
    assert told == "Nothing to do: 4 steps cached (0.08s)\n"


def test_a_step_that_another_build_finished_meanwhile_is_cached() -> None:
    started = (BuildStarted("jessy", "v1", STEPS), StepStarted("train", "train"))
    told = Shown().after(*started, StepReused("train", "best loss 1.92"))
    assert told.splitlines()[-1] == "· train             cached   best loss 1.92"


def test_a_failed_step_names_problem_hint_and_recipe_line_on_the_error_stream() -> None:
    shown = Shown()
    told = shown.after(
        BuildStarted("jessy", "v1", STEPS),
        StepReused("fetch base"),
        StepStarted("gguf", "gguf"),
        StepFailed("gguf", "no space left on device", "free 300 MB", "recipe.yaml:44:3"),
        BuildFinished("failed", 3.2, 1, 1),
    )
    assert told.splitlines()[-3:] == [
        "✗ gguf              0.00s    failed",
        "Stopped after 3.2s · 1 step ran, 1 cached",
        "What is finished is kept: the next build goes on from there.",
    ]
    assert shown.problems.getvalue() == (
        "error: no space left on device\n  hint: free 300 MB\n  at recipe.yaml:44:3\n"
    )


def test_progress_without_a_terminal_speaks_every_five_seconds_or_tenth() -> None:
    shown = Shown()
    shown.after(BuildStarted("jessy", "v1", STEPS), StepStarted("train", "train"))
    said = []
    for step in range(1, 101):
        shown.clock.now += 0.3
        before = len(shown.out.getvalue())
        told = shown.after(StepProgress("train", step, 100, "steps", f"loss {step}"))
        if len(told) > before:
            said.append((step, told[before:]))
    # A tenth is reached after three seconds here, so the tenths decide.
    assert [step for step, _ in said] == list(range(10, 101, 10))
    assert said[0][1] == "  train              10%     10/100 steps · loss 10\n"


def test_progress_without_a_total_speaks_every_five_seconds() -> None:
    shown = Shown()
    shown.after(BuildStarted("jessy", "v1", STEPS), StepStarted("fetch base", "fetch"))
    for second in range(1, 13):
        shown.clock.now += 1
        shown.after(StepProgress("fetch base", second * 1_000_000, None, "bytes"))
    assert shown.out.getvalue().count(" MB") == 2


def test_a_hundred_quick_items_do_not_make_a_hundred_lines() -> None:
    shown = Shown()
    shown.after(BuildStarted("jessy", "v1", STEPS), StepStarted("train", "train"))
    quick = [StepProgress("train", item, 100, "rows") for item in range(101)]
    assert shown.after(*quick).count("rows") == 0


def test_json_is_one_line_an_event_and_nothing_else() -> None:
    shown = Shown(json=True)
    shown.console.line("for people")
    shown.console.table([["a", 1]], ["name", "rows"])
    shown.console.summary(Summary("jessy v1"))
    shown.after(BuildStarted("jessy", "v1", STEPS), StepProgress("train", 1, None, "", "türkçe"))
    first, second = shown.out.getvalue().splitlines()
    assert json.loads(first)["steps"] == list(STEPS)
    assert json.loads(second)["text"] == "türkçe"


def test_problems_in_json_are_a_document() -> None:
    shown = Shown(json=True)
    problem = Diagnostic("R104", Span("r.yaml", 5, 5, 10), "base", "unknown field 'modle'")
    shown.console.diagnostics([problem])
    (line,) = shown.out.getvalue().splitlines()
    assert json.loads(line)["diagnostics"][0]["span"]["line"] == 5
    assert shown.problems.getvalue() == ""


def test_diagnostics_show_the_line_of_the_file(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("recipe: 1\nmodle: x\n")
    shown = Shown()
    problem = Diagnostic(
        "R104",
        Span(str(recipe), 2, 1, 6),
        "",
        "unknown field 'modle'",
        hint="did you mean 'model'?",
    )
    shown.console.diagnostics([problem])
    assert shown.problems.getvalue() == (
        f"{recipe}:2:1: error[R104]: unknown field 'modle'\n"
        "   2 | modle: x\n     | ^^^^^\n  hint: did you mean 'model'?\n"
    )


def test_a_diagnostic_of_a_file_that_is_gone_is_still_shown(tmp_path: Path) -> None:
    shown = Shown()
    span = Span(str(tmp_path / "gone.yaml"), 2, 1, 6)
    shown.console.diagnostics([Diagnostic("R104", span, "", "unknown field")])
    assert "error[R104]: unknown field" in shown.problems.getvalue()


def test_a_step_error_outside_a_build_names_hint_and_log() -> None:
    shown = Shown()
    shown.console.step_error(StepError("no model here", hint="build it", log=Path("bug.log")))
    assert shown.problems.getvalue() == ("error: no model here\n  hint: build it\n  log: bug.log\n")


@pytest.mark.parametrize(
    ("tty", "env", "colored"),
    [
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_color_follows_the_terminal_and_no_color(
    tty: bool, env: dict[str, str], colored: bool
) -> None:
    told = Shown(tty=tty, env=env, width=80).after(BuildFinished("done", 1, 1, 0))
    assert ("\x1b[1m" in told) is colored


def test_a_models_answer_cannot_drive_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07hello\r\x9b31mworld\x00"
    answer = BeforeAfter("hi", evil, "", evil, "")
    shown = Shown()
    shown.console.summary(Summary("jessy v1", answers=(answer,)))
    shown.console.line(evil)
    shown.console.write(evil)
    shown.console.table([[evil]], ["answer"])
    shown.after(StepStarted("x", "x", (evil,)), StepFinished("x", 1, evil))
    assert not set(shown.out.getvalue()) & set("\x1b\x07\r\x9b\x00")
    assert "owned" not in shown.out.getvalue()


def test_the_end_of_a_build_shows_files_answers_and_what_to_type_next() -> None:
    shown = Shown()
    shown.console.summary(
        Summary(
            title="jessy v1",
            facts=(("model", "builds/jessy/v1/model.gguf   271 MB"), ("report", "report.html")),
            answers=(
                BeforeAfter(
                    "sana bisi\nsorucam", "Sorry. " * 30, "96 tokens", "Sor! 🎯", "5 tokens"
                ),
            ),
            next=(("just chat r.yaml", "talk to it"), ("ollama run jessy:v1", "in Ollama")),
        )
    )
    before = "Sorry. " * 10 + "Sorr"
    assert shown.out.getvalue() == (
        "\njessy v1\n\n"
        "  model    builds/jessy/v1/model.gguf   271 MB\n"
        "  report   report.html\n\n"
        "  sana bisi sorucam\n"
        f"    before   {before}… (96 tokens)\n"
        "    after    Sor! 🎯 (5 tokens)\n\n"
        "Next:\n"
        "  just chat r.yaml      talk to it\n"
        "  ollama run jessy:v1   in Ollama\n"
    )


def test_a_table_lines_up_turkish_letters_and_emoji() -> None:
    shown = Shown()
    shown.console.table(
        [["türkçe", 62, "31 %"], ["🎯 hedef", 5, "100 %"]], ["name", "rows", "share"]
    )
    assert shown.out.getvalue() == (
        "name       rows   share\ntürkçe       62    31 %\n🎯 hedef      5   100 %\n"
    )


def test_a_table_in_a_narrow_window_cuts_its_widest_column() -> None:
    shown = Shown(tty=True, color=False, width=40)
    shown.console.table([["x" * 60, "y" * 8]], ["a", "b"])
    assert all(cells(line) <= 40 for line in shown.out.getvalue().splitlines())
    assert "…" in shown.out.getvalue() and "y" * 8 in shown.out.getvalue()


def test_a_table_without_rows_shows_its_headers() -> None:
    shown = Shown()
    shown.console.table([], ["name", "rows"])
    assert shown.out.getvalue() == "name   rows\n"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        *(("abc", 3), ("ışığı", 5), ("i\u0307", 1), ("🎯", 2), ("⚡", 2), ("✨x", 3), ("日本", 4)),
        *(("❤\ufe0f", 2), ("❤", 1), ("👩\u200d💻", 2), ("👍🏽", 2), ("", 0)),
    ],
)
def test_columns_of_a_text(text: str, columns: int) -> None:
    assert cells(text) == columns
    assert cells(pad(text, 6)) == 6


@given(st.text(), st.integers(min_value=1, max_value=30))
def test_a_fitted_text_is_never_too_wide_and_kept_when_it_fits(text: str, width: int) -> None:
    text = clean(text)
    assert cells(fit(text, width)) <= width
    if cells(text) <= width:
        assert fit(text, width) == text


@given(st.text())
def test_clean_text_is_one_printable_line(text: str) -> None:
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in clean(text))


def test_a_terminal_that_knows_only_ascii_gets_ascii() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(out, env={})
    console.emit(StepFinished("train", 1, "best loss → 1.92"))
    out.flush()
    assert out.buffer.getvalue() == b"+ train          1.0s     best loss > 1.92\n"  # type: ignore[attr-defined]


def test_steps_in_several_threads_write_whole_lines() -> None:
    shown = Shown()
    shown.after(BuildStarted("jessy", "v1", STEPS))

    def work(step: str) -> None:
        for _ in range(200):
            shown.console.emit(StepNote(step, "x" * 40))

    threads = [threading.Thread(target=work, args=(step,)) for step in STEPS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = shown.out.getvalue().splitlines()
    assert len(lines) == 800
    assert all(line.endswith("x" * 40) and cells(line) == 69 for line in lines)


IN_A_TERMINAL = """
import sys, time
from jessy_build.console import Console
from jessy_build.engine.events import *
with Console() as console:
    console.emit(BuildStarted("jessy", "v1", ("fetch", "train")))
    console.emit(StepReused("fetch", "kept"))
    if sys.argv[1] == "runs":
        console.emit(StepStarted("train", "train", ("never built",)))
        for step in range(4):
            console.emit(StepProgress("train", step * 10, 40, "steps", "loss 2.31"))
            time.sleep(0.3)
        console.warn("the disk is nearly full")
        console.emit(StepFinished("train", 1.2, "best loss 1.92"))
        if sys.argv[-1] == "raise":
            console.emit(StepStarted("train", "train"))
            raise SystemExit(7)
        console.emit(BuildFinished("done", 1.3, 1, 1))
    else:
        console.emit(BuildFinished("nothing to do", 0.1, 0, 2))
print("rich" in sys.modules)
"""


def in_a_terminal(*arguments: str, columns: int = 100) -> str:
    """Everything that a child with a real terminal of its own wrote to it."""
    main, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color"}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        env.pop(name, None)
    command = [sys.executable, "-c", IN_A_TERMINAL, *arguments]
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=env)
    os.close(child)
    written = b""
    while True:
        try:
            data = os.read(main, 65536)
        except OSError:  # Linux reports the end of a terminal as an error
            break
        if not data:
            break
        written += data
    process.wait()
    os.close(main)
    return written.decode()


def test_a_terminal_shows_a_bar_and_keeps_only_finished_lines() -> None:
    written = in_a_terminal("runs")
    assert "━" in written and "30/40 steps" in written and "loss 2.31" in written
    # Whatever was drawn is erased again; what stays are the lines after the last erasure.
    kept = written.split("\x1b[2K")[-1]
    assert "━" not in kept
    assert "best loss 1.92" in kept and "Done in" in kept
    assert "warning:" in written
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") > 0


def test_the_cursor_comes_back_when_a_step_dies() -> None:
    written = in_a_terminal("runs", "raise")
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_a_build_with_nothing_to_do_does_not_load_rich() -> None:
    told = in_a_terminal("idle")
    assert told.splitlines() == ["Nothing to do: 2 steps cached (0.10s)", "False"]


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_bars_fit_the_window(columns: int) -> None:
    import re

    written = in_a_terminal("runs", columns=columns)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n")
    bars = [line for line in plain.splitlines() if "━" in line]
    assert bars and all(cells(line) <= columns for line in bars)


def test_the_console_imports_nothing_heavy() -> None:
    heavy = ["rich", "jinja2", "yaml", "pydantic", "numpy", "mlx", "anthropic", "ollama", "openai"]
    script = f"import sys, {module.__name__}; print([n for n in {heavy} if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout == "[]\n", found.stderr
