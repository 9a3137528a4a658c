"""What is read when: phases one after another, each with its rows, its passes and its rate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jessy_build.diagnostics import StepError
from jessy_build.trainers import _batches
from jessy_build.trainers._batches import Batch, Held, Sizes
from jessy_build.trainers._rows import Row
from jessy_build.trainers.config import Config, Phase
from jessy_build.trainers.halves import Fullest


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a training with a learning rate that rises and falls for itself."""

    begin: int
    """Updates before it."""
    updates: int
    rate: float
    """The highest."""
    phase: Phase | None = None
    """None where the recipe has no phases, and this is the whole training."""

    @property
    def end(self) -> int:
        return self.begin + self.updates


@dataclass(frozen=True, slots=True)
class Course:
    batches: tuple[Batch, ...]
    stretches: tuple[Stretch, ...]
    accumulation: int

    @property
    def updates(self) -> int:
        return self.stretches[-1].end

    def passed(self, step: int) -> float:
        """Passes over the rows after so many updates; those of all phases are counted."""
        return self.batches[step * self.accumulation - 1].passed if step else 0.0

    def ends_a_pass(self, step: int) -> bool:
        after = step * self.accumulation
        if after >= len(self.batches):
            return True
        return self.batches[after].epoch != self.batches[after - 1].epoch

    def ended(self, step: int) -> Stretch | None:
        """The phase that ends with this update."""
        return next((s for s in self.stretches if s.end == step and s.phase), None)


def course(rows: Sequence[Row], config: Config) -> Course:
    phases = config.phases or (None,)
    batches: list[Batch] = []
    stretches: list[Stretch] = []
    for phase in phases:
        first = batches[-1].epoch + 1 if batches else 0
        more = _batches_of(rows, config, phase, first)
        rate = (phase and phase.learning_rate) or config.optimizer.learning_rate
        begin = stretches[-1].end if stretches else 0
        stretches.append(Stretch(begin, len(more) // config.grad_accumulation, rate, phase))
        batches += more
    return Course(tuple(batches), tuple(stretches), config.grad_accumulation)


def cut(course: Course, pieces: int) -> Course:
    """The same updates, of so many times more batches."""
    batches = tuple(piece for batch in course.batches for piece in _batches.cut(batch, pieces))
    return replace(course, batches=batches, accumulation=course.accumulation * pieces)


def fullest(course: Course, rows: Sequence[Row]) -> Fullest:
    """The batch that takes the most memory."""

    def size(batch: Batch) -> int:
        return len(batch.rows) * max((len(rows[i]) for i in batch.rows), default=0)

    members = max(course.batches, key=size).rows
    longest = max((rows[i] for i in members), key=len)
    return Fullest(len(members), longest.id, len(longest.tokens))


def _batches_of(
    rows: Sequence[Row], config: Config, phase: Phase | None, first_epoch: int
) -> list[Batch]:
    held = {row.category for row in rows} & config.every_batch.keys()
    if missing := config.every_batch.keys() - held:
        raise StepError(
            f"train.every_batch asks for rows of '{min(missing)}', and the data set has none",
            hint="give that category rows, or take it out",
        )
    places = [
        place
        for place, row in enumerate(rows)
        if _is_read(row, phase) or row.category in held
        for _ in range(_times(row, config) if _is_read(row, phase) else 1)
    ]
    if not any(_is_read(rows[place], phase) for place in places):
        names = ", ".join(phase.categories) if phase else ""
        raise StepError(
            f"the phase '{phase.name if phase else ''}' has no rows to train on: {names}",
            hint="give its categories rows, or take the phase out",
        )
    batches = _batches.schedule(
        [rows[place] for place in places],
        Sizes(config.batch_size, config.batch_tokens),
        average=config.loss.average,
        accumulation=config.grad_accumulation,
        seed=config.seed,
        epochs=phase.epochs if phase else config.epochs,
        updates=None if phase else config.steps,
        held=[_held(rows, places, name, n, phase) for name, n in config.every_batch.items()],
        first_epoch=first_epoch,
    )
    return [replace(batch, rows=tuple(places[i] for i in batch.rows)) for batch in batches]


def _held(
    rows: Sequence[Row], places: Sequence[int], name: str, count: int, phase: Phase | None
) -> Held:
    """Also of a category that the phase does not train: it must not be forgotten meanwhile."""
    its = tuple(i for i, place in enumerate(places) if rows[place].category == name)
    return Held(its, count, phase is None or name in phase.categories)


def _is_read(row: Row, phase: Phase | None) -> bool:
    return phase is None or row.category in phase.categories


def _times(row: Row, config: Config) -> int:
    repeat = config.repeat
    times = repeat.get(row.category, 1)
    return times * repeat.get(row.level, 1) if row.level != row.category else times
