"""generate:<category>: fill the category's items from its teacher, each answer paid for once."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jessy_build import teachers
from jessy_build.diagnostics import StepError
from jessy_build.engine.answers import Answers
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.engine.ledger import Ledger
from jessy_build.example import (
    Example,
    Origin,
    Reply,
    example_id,
    write_jsonl,
)
from jessy_build.plan.step import Step
from jessy_build.steps import desk, items, weights
from jessy_build.steps.desk import TRIES, Asking, Counts
from jessy_build.steps.items import Cell, Picked

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "generate"
version = 2
holds = always

SHORTFALLS_SHOWN = 10


def expand(loaded: "LoadedRecipe", ledger: Ledger) -> list[Step]:
    return [_step(loaded, category, ledger) for category in loaded.recipe.categories]


def _step(loaded: "LoadedRecipe", category: str, ledger: Ledger) -> Step:
    wanted = loaded.recipe.categories[category]
    config = weights.pinned(loaded, wanted.teacher, ledger)
    step = Step(
        f"{name}:{category}",
        name,
        version,
        # Each row names its teacher as the recipe does.
        {"category": category, "teacher": wanted.teacher},
        span=loaded.span_of(("categories", category)),
        about={
            **items.about(loaded, category),
            **weights.about(wanted.teacher, config),
        },
    )
    if config.kind == "curated":
        picked = items.picked(loaded, category)
        return replace(step, params={**step.params, "rows": picked.digest}, payload=picked)
    asked = items.questions(loaded, category, ledger)
    return replace(
        step,
        params={**step.params, "items": asked.digest},
        pool=weights.pool(config),
        payload=Asking(config, wanted.teacher, asked),
    )


def run(job: Job) -> Facts:
    if isinstance(job.step.payload, Picked):
        picked = job.step.payload
        count = write_jsonl(job.out / "examples.jsonl", picked.examples())
        return {"rows": count, "asked": 0, "teacher": picked.teacher}
    import asyncio

    asking = job.step.payload
    counts = asyncio.run(ask_all(job, asking))
    if counts.short:
        raise _shortfall(asking, counts)
    measured: Counter[str] = Counter()
    count = write_jsonl(job.out / "examples.jsonl", _examples(job, asking, measured))
    return {
        "rows": count,
        "teacher": asking.teacher,
        "asked": counts.asked,
        "remembered": counts.remembered,
        "malformed": counts.malformed,
        **measured,
    }


async def ask_all(job: Job, asking: Asking) -> Counts:
    """Fill what is not filled yet."""
    missing = list(desk.missing(job, asking.questions))
    counts = Counts(total=asking.questions.rows)
    counts.remembered = counts.total - len(missing)
    await desk.fill(job, asking, missing, counts)
    return counts


def _shortfall(asking: Asking, counts: Counts) -> StepError:
    """A table by cell: what was wanted, what is there, and why the rest is not."""
    by_cell: dict[tuple[str, str, str], list[str]] = {}
    for slot, problem in counts.short.items():
        by_cell.setdefault((slot.topic, slot.language, slot.complexity), []).append(problem)
    lines = []
    for cell in asking.questions.cells:
        problems = by_cell.get((cell.topic, cell.language, cell.level))
        if problems:
            there = cell.rows - len(problems)
            lines.append(
                f"{cell.topic} · {cell.language} · {cell.level}: {there} of {cell.rows} rows"
                f" ({problems[0]})"
            )
    more = len(lines) - SHORTFALLS_SHOWN
    rest = [f"and {more} more cells"] if more > 0 else []
    return StepError(
        f"{len(counts.short)} of {counts.total} items have no usable answer in {TRIES} tries:\n  "
        + "\n  ".join([*lines[:SHORTFALLS_SHOWN], *rest]),
        hint="the answers are kept; raise max_tokens, change the prompt, or take another teacher",
    )


def _examples(job: Job, asking: Asking, measured: Counter[str]) -> Iterator[Example]:
    """The rows in the order of their slots, a cell at a time; sums up what they once cost."""
    for cell in asking.questions.cells:
        filled = replies(job.answers, cell)
        for ordinal in range(cell.rows):
            reply = filled[cell.stem(ordinal), cell.sample(ordinal)]
            measured.update(reply.usage.measures)
            measured.update({reply.mended: 1} if reply.mended else {})
            yield example(asking, cell, ordinal, reply)


def replies(answers: Answers, cell: Cell) -> dict[tuple[str, int], Reply]:
    """By stem and sample, the first answer to each that can become an example."""
    found: dict[tuple[str, int], Reply] = {}
    for answer in answers.of(cell.stems):
        if answer.usable:
            found.setdefault((answer.stem, answer.sample), Reply.of(answer.reply))
    return found


def example(asking: Asking, cell: Cell, ordinal: int, reply: Reply) -> Example:
    """What a usable answer to an item is in the data set."""
    questions = asking.questions
    slot = questions.slot(cell, ordinal)
    shape = questions.shape(cell, ordinal)
    messages = teachers.parse(reply.text, shape)
    cited = questions.cited(cell, ordinal)
    return Example(
        id=example_id(slot.category, messages),
        category=slot.category,
        topic=slot.topic,
        language=slot.language,
        complexity=slot.complexity,
        messages=messages,
        origin=Origin(asking.teacher, reply.request, cited, reply.mended),
        iterations=len(shape.parts) or None,
    )


def summary(facts: Mapping[str, Any]) -> str:
    if facts["asked"] or facts.get("remembered"):
        told = f"{facts['rows']} rows, {facts['asked']} asked, {facts['remembered']} remembered"
        mended = facts.get("corrected", 0) + facts.get("repaired", 0)
        return f"{told}, {mended} mended" if mended else told
    return f"{facts['rows']} rows"
