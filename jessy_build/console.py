"""The only place that prints: events become lines and bars, problems become text, or all is JSON.

People read `stream`, or scripts do with `json`; problems go to `errors`, so that a redirected
stream stays clean. rich is loaded when the first step really runs in front of a terminal, since a
build with nothing to do must be over before rich has been imported.
"""

import json
import os
import re
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from jessy_build import diagnostics, units
from jessy_build.diagnostics import Diagnostic, StepError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from jessy_build.engine import events

    class BeforeAfter(Protocol):
        """One prompt and two answers, as `reports` chooses them. Notes are figures in words."""

        @property
        def prompt(self) -> str: ...
        @property
        def before(self) -> str: ...
        @property
        def before_note(self) -> str: ...
        @property
        def after(self) -> str: ...
        @property
        def after_note(self) -> str: ...


EVERY_SECONDS = 5.0
PARTS = 10
"""A step without a bar speaks this often, or at each tenth of its way, whichever comes first."""
AT_MOST_EVERY = 1.0
WIDEST = 110
"""Lines longer than this are hard to read however wide the window is."""

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "accent": "36"}
PLAIN_SIGNS = str.maketrans({"✓": "+", "✗": "x", "·": "-", "…": "~", "→": ">", "—": "-"})
PLAIN_SIGNS |= str.maketrans({"–": "-", "≈": "~", "›": ">", "×": "x", "±": "~"})
PLAIN_SIGNS |= str.maketrans({"│": "|", "␣": "_", "↵": "$", "⇥": "^", "«": "<", "»": ">", "◌": "."})
"""For terminals that cannot show anything but ASCII."""

# Escape sequences first, as a whole; then every control character that is left.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x1f\x7f-\x9f]"
)


def clean(text: str) -> str:
    """One line without control characters: a model's answer must not drive the terminal."""
    return " ".join(_CONTROL.sub(" ", text).split())


def cells(text: str) -> int:
    """How many columns a terminal gives to `text`: letters 1, emoji and wide letters 2, marks 0."""
    if text.isascii():
        return len(text)
    total, previous, joined = 0, 0, False
    for letter in text:
        if letter == "\u200d":
            joined = True
        elif letter == "\ufe0f":
            # The emoji form of a sign such as ❤ is two columns wide, its text form is one.
            total += 2 - previous if previous else 0
            previous = 2 if previous else 0
        elif unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
            continue
        elif joined or "\U0001f3fb" <= letter <= "\U0001f3ff":
            # Joined to the emoji before it, or its skin tone: drawn in the same place.
            joined = False
        else:
            previous = 2 if unicodedata.east_asian_width(letter) in "WF" else 1
            total += previous
    return total


def pad(text: str, width: int, right: bool = False) -> str:
    space = " " * max(0, width - cells(text))
    return space + text if right else text + space


def fit(text: str, width: int) -> str:
    """`text` cut to `width` columns, the cut shown by an ellipsis."""
    if cells(text) <= width:
        return text
    kept = text[: max(width, 0)]
    while kept and cells(kept) > width - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…" if width > 0 else ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands at the end of a build."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    """Name and value, such as ("model", "builds/jessy/v1/jessy.gguf   271 MB")."""
    answers: "tuple[BeforeAfter, ...]" = ()
    next: tuple[tuple[str, str], ...] = ()
    """A command, ready to paste, and what it does."""


@dataclass(slots=True)
class _Spoken:
    """When and where a step last said something, for output without bars."""

    at: float
    part: int = 0


@dataclass(slots=True)
class _State:
    """What a build has said so far."""

    names: int = 12
    started: dict[str, float] = field(default_factory=dict)
    spoken: dict[str, _Spoken] = field(default_factory=dict)
    ran: bool = False
    reused: list[str] = field(default_factory=list)
    """Lines held back: they are worth reading only once another step runs."""


class Console:
    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        errors: TextIO | None = None,
        json: bool = False,
        env: Mapping[str, str] | None = None,
        tty: bool | None = None,
        color: bool | None = None,
        width: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        env = os.environ if env is None else env
        self.stream = sys.stdout if stream is None else stream
        self.errors = sys.stderr if errors is None else errors
        self.json = json
        self.tty = _is_terminal(self.stream, env) if tty is None else tty
        self.color = _wants_color(self.tty, env) if color is None else color
        on_terminal = _is_terminal(self.errors, env)
        self._error_color = _wants_color(on_terminal, env) if color is None else color
        self._width = width
        self._clock = clock
        self._state = _State()
        self._bars: _Bars | None = None
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back as it was. Safe to call twice, and after Ctrl-C."""
        with self._lock:
            if self._bars:
                self._bars.close()
                self._bars = None

    @property
    def width(self) -> int:
        if self._width:
            return self._width
        import shutil

        return shutil.get_terminal_size((100, 24)).columns if self.tty else 100

    # What every command uses

    def line(self, text: str = "") -> None:
        """For people only: a script that asked for JSON gets nothing else on the stream."""
        if not self.json:
            self._out(_lines(text))

    def parts(self, parts: Iterable[tuple[str, str]]) -> None:
        """One line of pieces, each with its style: what a style says must be read without it."""
        if not self.json:
            self._out("".join(self._paint(_lines(text), style) for text, style in parts))

    def write(self, text: str) -> None:
        """A piece of an answer as it arrives, with no line end of its own."""
        if not self.json:
            self._put(self.stream, _lines(text))

    def read(self, label: str) -> str | None:
        """One line from the keyboard, or None at its end (Ctrl-D)."""
        if self.tty:
            # Importing it is what gives `input` arrow keys and a history; Windows has none.
            with suppress(ImportError):
                import readline  # noqa: F401
        try:
            return input(label if self.tty and not self.json else "")
        except EOFError:
            self.line()
            return None

    def json_document(self, value: Any) -> None:
        text = json.dumps(value, ensure_ascii=False)
        if not _can_show(self.stream, text):
            # A sign in another's place would be other data.
            text = json.dumps(value)
        with self._lock:
            self._put(self.stream, text + "\n")

    def table(self, rows: Iterable[Sequence[object]], headers: Sequence[str]) -> None:
        if not self.json:
            for text in self._table([[clean(str(cell)) for cell in row] for row in rows], headers):
                self._out(text)

    def warn(self, text: str, hint: str = "") -> None:
        self._problem("warning", "yellow", text, hint)

    def diagnostics(
        self, problems: Sequence[Diagnostic], lines: Callable[[str], Sequence[str]] | None = None
    ) -> None:
        """All of them at once. `lines` gives the source of a file; by default the disk does."""
        if self.json:
            self.json_document({"diagnostics": [asdict(problem) for problem in problems]})
            return
        for problem in problems:
            text = diagnostics.render(problem, lines or _source)
            word = f"{problem.severity}[{problem.code}]"
            if self._error_color:
                style = "red" if problem.severity == "error" else "yellow"
                text = text.replace(word, f"\x1b[{STYLES[style]}m{word}\x1b[0m", 1)
            self._err(text)

    def step_error(self, error: StepError, step: str = "", where: str = "") -> None:
        """A refusal of the world outside a build's own events (a `StepFailed` is shown already)."""
        if self.json:
            self.json_document({"problem": error.problem, "hint": error.hint, "step": step})
            return
        log = f"log: {error.log}" if error.log else ""
        self._problem("error", "red", error.problem, error.hint, where and f"at {where}", log)

    def summary(self, summary: Summary) -> None:
        if not self.json:
            for text in self._summary(summary):
                self._out(text)

    # The build, event by event

    def emit(self, event: "events.Event") -> None:
        """The sink of a build. Steps may call it from several threads at once."""
        with self._lock:
            if self.json:
                from jessy_build.engine import events

                self.json_document(events.to_json(event))
            else:
                self._show(event)

    def _show(self, event: "events.Event") -> None:
        from jessy_build.engine import events

        match event:
            case events.BuildStarted():
                self._state = _State(names=min(max(map(cells, event.steps), default=12), 32))
            case events.StepReused():
                self._reuse(event)
            case events.StepStarted():
                self._start(event)
            case events.StepProgress():
                self._progress(event)
            case events.StepNote():
                self._flush_reused()
                self._out(self._step_line(" ", event.step, "note", event.text))
            case events.StepFinished():
                self._end(event.step)
                spent = units.duration(event.seconds)
                self._out(self._step_line("✓", event.step, spent, event.summary))
            case events.StepFailed():
                self._fail(event)
            case events.BuildFinished():
                self._finish(event)

    def _reuse(self, event: "events.StepReused") -> None:
        if event.step in self._state.started:
            # Another build finished it while this one waited for its turn.
            self._end(event.step)
        self._state.reused.append(self._step_line("·", event.step, "cached", event.summary))
        if self._state.ran:
            self._flush_reused()

    def _start(self, event: "events.StepStarted") -> None:
        self._state.ran = True
        self._flush_reused()
        now = self._clock()
        self._state.started[event.step] = now
        self._state.spoken[event.step] = _Spoken(now)
        reasons = clean("; ".join(event.reasons))
        if self.tty:
            self._bars = self._bars or _Bars(self.stream, self.color, self._width)
            self._bars.start(event.step, self._state.names, reasons)
        else:
            self._out(self._step_line(" ", event.step, "starts", reasons))

    def _progress(self, event: "events.StepProgress") -> None:
        if self._bars:
            self._bars.update(event)
        elif self._is_due(event):
            self._out(self._step_line(" ", event.step, _share(event), _amount(event)))

    def _is_due(self, event: "events.StepProgress") -> bool:
        now = self._clock()
        spoken = self._state.spoken.setdefault(event.step, _Spoken(now))
        part = event.done * PARTS // event.total if event.total else 0
        waited = now - spoken.at
        if waited < EVERY_SECONDS and not (part > spoken.part and waited >= AT_MOST_EVERY):
            return False
        self._state.spoken[event.step] = _Spoken(now, part)
        return True

    def _end(self, step: str) -> float:
        self._state.spoken.pop(step, None)
        now = self._clock()
        began = self._state.started.pop(step, now)
        if self._bars:
            self._bars.end(step)
        return now - began

    def _fail(self, event: "events.StepFailed") -> None:
        self._flush_reused()
        spent = units.duration(self._end(event.step))
        self._out(self._step_line("✗", event.step, spent, "failed"))
        self._problem(
            "error", "red", event.problem, event.hint, event.where and f"at {event.where}"
        )

    def _finish(self, event: "events.BuildFinished") -> None:
        if event.status != "nothing to do":
            self._flush_reused()
        self.close()
        self._out(self._last_line(event))

    def _last_line(self, event: "events.BuildFinished") -> str:
        spent = units.duration(event.seconds)
        counts = f"{_steps(event.ran)} ran, {event.reused} cached"
        kept = "What is finished is kept: the next build goes on from there."
        match event.status:
            case "nothing to do":
                return f"Nothing to do: {_steps(event.reused)} cached ({spent})"
            case "done":
                return self._paint(f"Done in {spent}", "bold") + f" · {counts}"
            case "failed":
                return f"Stopped after {spent} · {counts}\n{kept}"
            case "interrupted":
                return f"Interrupted after {spent} · {counts}\n{kept}"

    def _flush_reused(self) -> None:
        for text in self._state.reused:
            self._out(text)
        self._state.reused.clear()

    # Text

    def _step_line(self, sign: str, step: str, middle: str, rest: str) -> str:
        style = {"✓": "green", "✗": "red"}.get(sign, "dim")
        name = pad(clean(step), self._state.names)
        head = f"{sign} {name}   {pad(middle, 6)}"
        room = self.width - cells(head) - 3 if self.tty else WIDEST
        rest = clean(rest) if middle == "note" else fit(clean(rest), room)
        if sign in "✓✗":
            head = self._paint(sign, style) + head[1:]
            return f"{head}   {rest}".rstrip()
        return self._paint(f"{head}   {rest}".rstrip(), style if sign == "·" else "")

    def _table(self, rows: list[list[str]], headers: Sequence[str]) -> list[str]:
        columns = list(zip(headers, *rows, strict=True)) if rows else [(name,) for name in headers]
        widths = [max(map(cells, column)) for column in columns]
        if self.tty:
            excess = sum(widths) + 3 * (len(widths) - 1) - self.width
            widest = widths.index(max(widths))
            widths[widest] -= min(max(excess, 0), max(widths[widest] - 12, 0))
        right = [_is_numeric(column[1:]) for column in columns]

        def joined(row: Sequence[str]) -> str:
            parts = (pad(fit(c, w), w, r) for c, w, r in zip(row, widths, right, strict=True))
            return "   ".join(parts).rstrip()

        return [self._paint(joined(headers), "dim"), *(joined(row) for row in rows)]

    def _summary(self, summary: Summary) -> list[str]:
        width = min(self.width, WIDEST)
        out = ["", self._paint(clean(summary.title), "bold"), *([""] if summary.facts else [])]
        names = max((cells(name) for name, _ in summary.facts), default=0)
        out += [f"  {self._paint(pad(n, names), 'dim')}   {_one_line(v)}" for n, v in summary.facts]
        for answer in summary.answers:
            out += ["", f"  {fit(clean(answer.prompt), width - 2)}"]
            out.append(self._answer("before", answer.before, answer.before_note, width, "dim"))
            out.append(self._answer("after", answer.after, answer.after_note, width, "accent"))
        if summary.next:
            out += ["", self._paint("Next:", "bold")]
            longest = max(cells(command) for command, _ in summary.next)
            # A column for what a command does, unless long commands leave no room for it.
            column = longest if longest <= width * 0.6 else 0
            for command, does in summary.next:
                text = self._paint(pad(command, column), "accent")
                out.append(f"  {text}   {self._paint(does, 'dim')}".rstrip())
        return out

    def _answer(self, label: str, text: str, note: str, width: int, style: str) -> str:
        note = f"({note})" if note and width >= 70 else ""
        room = max(width - 4 - 9 - cells(note) - 1, 16)
        shown = fit(clean(text) or "(nothing)", room)
        return (
            f"    {pad(label, 6)}   {self._paint(shown, style)} {self._paint(note, 'dim')}".rstrip()
        )

    def _problem(self, word: str, style: str, problem: str, hint: str, *more: str) -> None:
        paint = self._paint if self._error_color else lambda text, _: text
        self._err(f"{paint(word + ':', style)} {_lines(problem)}")
        for text in (hint and f"hint: {_lines(hint)}", *more):
            if text:
                self._err(f"  {text}")

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.color and style and text else text

    # The two streams

    def _out(self, text: str) -> None:
        with self._lock:
            if self._bars and self._bars.running:
                self._bars.print(text)
            else:
                self._put(self.stream, text + "\n")

    def _err(self, text: str) -> None:
        with self._lock, self._bars.away() if self._bars else nullcontext():
            self._put(self.errors, text + "\n")

    def _put(self, stream: TextIO, text: str) -> None:
        if not _can_show(stream, text):
            encoding = _encoding(stream)
            text = text.translate(PLAIN_SIGNS).encode(encoding, "replace").decode(encoding)
        stream.write(text)
        stream.flush()


class _Bars:
    """One bar per running step, drawn by rich below the lines that stay."""

    def __init__(self, stream: TextIO, color: bool, width: int | None) -> None:
        from rich import console, progress, table

        self.running = False
        self._console = console.Console(
            file=stream, force_terminal=True, no_color=not color, width=width, highlight=False
        )
        total = self._console.width
        cut = {"no_wrap": True, "overflow": "ellipsis"}
        columns: list[Any] = [
            progress.TextColumn("  {task.description}", markup=False),
            progress.BarColumn(min(max(total // 6, 6), 24), finished_style="bar.complete"),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[amount]}", markup=False),
            # The text takes what is left, so a narrow window cuts it first.
            progress.TextColumn(
                "{task.fields[text]}",
                markup=False,
                style="dim",
                table_column=table.Column(ratio=1, **cut),  # type: ignore[arg-type]
            ),
            _times(with_rest=total >= 70),
        ]
        # Four frames a second: a training on the same cores wants them more than the picture does.
        self._progress: Progress = progress.Progress(
            *columns,
            console=self._console,
            refresh_per_second=4,
            speed_estimate_period=120,
            transient=True,
            expand=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[str, TaskID] = {}

    def start(self, step: str, names: int, text: str) -> None:
        name = pad(clean(step), names)
        self._tasks[step] = self._progress.add_task(name, total=None, amount="", text=text)
        if not self.running:
            self._progress.start()
            self.running = True

    def update(self, event: "events.StepProgress") -> None:
        task = self._tasks.get(event.step)
        if task is None:
            return
        bar = self._progress.tasks[self._progress.task_ids.index(task)]
        if event.done < bar.completed or (bar.total is not None and event.total != bar.total):
            self._progress.reset(task)
        amount, text = _amount(event, with_text=False), clean(event.text)
        self._progress.update(
            task, completed=event.done, total=event.total, amount=amount, text=text
        )

    def end(self, step: str) -> None:
        task = self._tasks.pop(step, None)
        if task is not None:
            self._progress.remove_task(task)
        if not self._tasks:
            self.close()

    def print(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.from_ansi(text), soft_wrap=True)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The bars are gone while another stream writes to the same terminal."""
        if not self.running:
            yield
            return
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def close(self) -> None:
        if self.running:
            self._progress.stop()
            self.running = False


def _times(with_rest: bool) -> Any:
    """A rich column such as `42s, ~1m10s left`, in the words of the lines above the bars."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Times(ProgressColumn):
        max_refresh = 0.5

        def render(self, task: Task) -> Text:
            elapsed, rest = task.elapsed or 0.0, task.time_remaining or 0.0
            text = _ticking(elapsed)
            if with_rest and rest >= 1 and elapsed >= 2:
                text += f", ~{_ticking(rest)} left"
            return Text(text, style="dim", justify="right")

    return Times(table_column=None)


def _ticking(seconds: float) -> str:
    """Whole seconds, since tenths that change every frame only draw the eye."""
    return f"{seconds:.0f}s" if seconds < 59.5 else units.duration(seconds)


def _encoding(stream: TextIO) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def _can_show(stream: TextIO, text: str) -> bool:
    try:
        text.encode(_encoding(stream))
    except UnicodeEncodeError:
        return False
    return True


def _is_terminal(stream: TextIO, env: Mapping[str, str]) -> bool:
    return env.get("TERM") != "dumb" and stream.isatty()


def _wants_color(terminal: bool, env: Mapping[str, str]) -> bool:
    """NO_COLOR wins over FORCE_COLOR, as no-color.org asks; both count only when not empty."""
    if env.get("NO_COLOR"):
        return False
    return terminal or bool(env.get("FORCE_COLOR"))


def _source(file: str) -> list[str]:
    """A problem without its line is still a problem: a file that cannot be read gives none."""
    try:
        return Path(file).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text)


def _lines(text: str) -> str:
    """Control characters gone, line ends and tabs kept."""
    return _CONTROL.sub(lambda found: found[0] if found[0] in "\n\t" else "", text)


def _share(event: "events.StepProgress") -> str:
    return f"{event.done / event.total:4.0%}" if event.total else ""


def _amount(event: "events.StepProgress", with_text: bool = True) -> str:
    of = f"{event.done:,}/{event.total:,}" if event.total is not None else f"{event.done:,}"
    if event.unit == "bytes":
        of = units.size(event.done)
        of += f" of {units.size(event.total)}" if event.total else ""
    elif event.unit:
        of += f" {event.unit}"
    if with_text and event.text:
        return f"{of} · {clean(event.text)}" if of else clean(event.text)
    return of


def _steps(count: int) -> str:
    return f"{count} step" if count == 1 else f"{count} steps"


def _is_numeric(cells_of_column: Sequence[str]) -> bool:
    return bool(cells_of_column) and all(
        re.fullmatch(r"[-+~≈]?[\d.,]+ ?(%|[a-zA-Z]{1,2})?|[–-]?", cell) for cell in cells_of_column
    )
