"""Loss points to coordinates: scales, ticks, paths. Knows nothing of HTML or colours."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from jessy_build.reports.data import Point
from jessy_build.reports.figures import is_number, train_losses, valid_losses

MOST_POINTS = 300
"""A screen has no room for more; a longer curve is averaged in equal groups."""
LINE_HEIGHT = 16.0


@dataclass(frozen=True, slots=True)
class Frame:
    width: int
    height: int
    left: int = 40
    right: int = 84
    top: int = 32
    bottom: int = 38

    @property
    def inner_right(self) -> int:
        return self.width - self.right

    @property
    def inner_bottom(self) -> int:
        return self.height - self.bottom


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """`path` is SVG path data; the label stands at the line's right end."""

    name: str
    path: str
    dots: tuple[tuple[float, float], ...]
    label_y: float


@dataclass(frozen=True, slots=True)
class Best:
    x: float
    y: float
    label: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Curve:
    frame: Frame
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    epochs: tuple[Tick, ...]
    lines: tuple[Line, ...]
    best: Best | None
    hover: str
    """JSON for the tooltip: x, step, epoch, both losses with their y, tokens per second."""


def curve(points: Sequence[Point], best_step: int | None, frame: Frame) -> Curve | None:
    """None when no point holds a finite loss: there is nothing to draw."""
    train, valid = train_losses(points), valid_losses(points)
    if not train and not valid:
        return None
    steps = [step for step, _ in (*train, *valid)]
    losses = [loss for _, loss in (*train, *valid)]
    # An axis from 0 would squeeze the part that matters; round ticks enclose the curve instead.
    y_values = ticks(min(losses), max(losses), max(3, (frame.height - 60) // 56))
    x_low, x_high = min(0, *steps), max(max(steps), 1)
    x_scale = _Scale(x_low, x_high, frame.left, frame.inner_right)
    y_scale = _Scale(y_values[0], y_values[-1], frame.inner_bottom, frame.top)
    lines = _lines(thinned(train), valid, x_scale, y_scale)
    x_values = ticks(x_low, x_high, max(3, (frame.inner_right - frame.left) // 110))
    return Curve(
        frame=frame,
        x_ticks=tuple(Tick(x_scale(v), f"{v:,.0f}") for v in x_values if v <= x_high),
        y_ticks=tuple(Tick(y_scale(v), _label(v, y_values)) for v in y_values),
        epochs=_epochs(points, x_scale, frame),
        lines=lines,
        best=_best(valid, train, best_step, x_scale, y_scale),
        hover=_hover(points, x_scale, y_scale),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    from_px: float
    to_px: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.from_px + share * (self.to_px - self.from_px), 1)


def ticks(low: float, high: float, about: int) -> tuple[float, ...]:
    """Round values, 1, 2 or 5 apart in some power of ten, that enclose `low` and `high`."""
    span = high - low
    if span < 1e-4 * max(abs(low), abs(high), 1.0):
        # A flat line needs some room around it; ticks closer than floats can tell need none.
        span = max(abs(high), 1.0)
    raw = span / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * power for unit in (1, 2, 5, 10) if unit * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return tuple(round(index * step, 10) for index in range(first, last + 1))


def thinned(values: list[tuple[int, float]], most: int = MOST_POINTS) -> list[tuple[int, float]]:
    """Means of equal groups, each at its last step, so that the curve ends where training did."""
    size = math.ceil(len(values) / most) if values else 1
    groups = [values[at : at + size] for at in range(0, len(values), size)]
    return [(group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups]


def _label(value: float, ticks_of_axis: Sequence[float]) -> str:
    """As many decimals as tell two ticks apart; a diverged loss of millions stays short."""
    step = ticks_of_axis[1] - ticks_of_axis[0]
    decimals = max(0, min(4, -math.floor(math.log10(step) + 1e-9)))
    return f"{value:.{decimals}f}" if abs(value) < 1e5 else f"{value:.0e}"


def _lines(
    train: list[tuple[int, float]], valid: list[tuple[int, float]], x: _Scale, y: _Scale
) -> tuple[Line, ...]:
    found = [
        (name, values) for name, values in (("training", train), ("validation", valid)) if values
    ]
    ends = [y(values[-1][1]) for _, values in found]
    if len(ends) == 2 and abs(ends[0] - ends[1]) < LINE_HEIGHT:
        middle = sum(ends) / 2
        half = LINE_HEIGHT / 2
        ends = (
            [middle + half, middle - half] if ends[0] >= ends[1] else [middle - half, middle + half]
        )
    return tuple(
        Line(
            name=name,
            path="M" + "L".join(f"{x(step):g} {y(loss):g}" for step, loss in values),
            # Few points are measurements worth seeing; many would hide the line.
            dots=tuple((x(s), y(v)) for s, v in values) if len(values) <= 40 else (),
            label_y=round(end, 1),
        )
        for (name, values), end in zip(found, ends, strict=True)
    )


def _best(
    valid: list[tuple[int, float]],
    train: list[tuple[int, float]],
    best_step: int | None,
    x: _Scale,
    y: _Scale,
) -> Best | None:
    losses = dict(valid) or dict(train)
    if best_step not in losses:
        return None
    at = x(best_step)
    share = (at - x.from_px) / (x.to_px - x.from_px)
    anchor = "start" if share < 0.2 else "end" if share > 0.7 else "middle"
    label = f"exported: {losses[best_step]:.2f} at step {best_step:,}"
    return Best(at, y(losses[best_step]), label, anchor)


def _epochs(points: Sequence[Point], x: _Scale, frame: Frame) -> tuple[Tick, ...]:
    """Where each whole epoch ends. None when they would stand closer than their labels."""
    ends: dict[int, float] = {}
    for point in points:
        for whole in range(len(ends) + 1, math.floor(point.epoch + 1e-6) + 1):
            # Points are rarer than epochs may end; every epoch has the same number of steps.
            ends[whole] = point.step * whole / point.epoch
    found = tuple(Tick(x(step), f"epoch {number}") for number, step in ends.items())
    gaps = [b.at - a.at for a, b in pairwise(found)]
    return found if all(gap >= 56 for gap in gaps) else ()


def _hover(points: Sequence[Point], x: _Scale, y: _Scale) -> str:
    shown = [p for p in points if is_number(p.train_loss) or is_number(p.valid_loss)]
    every = math.ceil(len(shown) / MOST_POINTS) if shown else 1
    # A point with a validation loss is rare and never left out.
    kept = [p for i, p in enumerate(shown) if i % every == 0 or is_number(p.valid_loss)]
    return json.dumps([_hover_row(p, x, y) for p in kept], separators=(",", ":"))


def _hover_row(point: Point, x: _Scale, y: _Scale) -> list[float | None]:
    row: list[float | None] = [x(point.step), point.step, round(point.epoch, 2)]
    for loss in (point.train_loss, point.valid_loss):
        row += [round(loss, 3), y(loss)] if is_number(loss) else [None, None]
    speed = point.tokens_per_second
    return [*row, round(speed) if is_number(speed) else None]
