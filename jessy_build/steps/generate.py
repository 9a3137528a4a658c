"""generate:<category>: fill the category's items from its teacher, each answer paid for once."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jessy_build import digest, teachers
from jessy_build.diagnostics import StepError
from jessy_build.engine.events import StepProgress
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.example import (
    Example,
    Message,
    Origin,
    Reply,
    Request,
    Usage,
    example_id,
    write_jsonl,
)
from jessy_build.plan.slots import Slot
from jessy_build.plan.step import Step
from jessy_build.steps import items

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

name = "generate"
version = 1
holds = always

TRIES = 3
"""Fresh answers asked for one item before its shortfall is reported."""


@dataclass(frozen=True)
class Asked:
    """An item that a teacher answers: the request, and the slot it fills."""

    slot: Slot
    request: Request


def expand(loaded: "LoadedRecipe") -> list[Step]:
    return [_step(loaded, category) for category in loaded.recipe.categories]


def _step(loaded: "LoadedRecipe", category: str) -> Step:
    teacher = loaded.recipe.teachers[loaded.recipe.categories[category].teacher]
    span = loaded.span_of(("categories", category))
    if teacher.kind == "curated":
        examples = items.curated(loaded, category)
        params = {"category": category, "rows": digest.of_value([asdict(e) for e in examples])}
        return Step(f"{name}:{category}", name, version, params, span=span, payload=examples)
    asked = tuple(Asked(slot, request) for slot, request in items.asked(loaded, category))
    params = {
        "category": category,
        "items": digest.of_value([[item.slot.name, item.request.digest] for item in asked]),
    }
    payload = (teacher, loaded.recipe.categories[category].teacher, asked)
    step = Step(f"{name}:{category}", name, version, params, span=span, payload=payload)
    return Step(**{**step.__dict__, "pool": "network"})


def run(job: Job) -> Facts:
    if isinstance(job.step.payload[0], Example):
        examples: Sequence[Example] = job.step.payload
        facts: dict[str, Any] = {"asked": 0, "teacher": examples[0].origin.teacher}
    else:
        config, teacher, asked = job.step.payload
        import asyncio

        examples, facts = asyncio.run(_ask_all(job, config, teacher, asked))
    count = write_jsonl(job.out / "examples.jsonl", examples)
    return {"rows": count, **facts}


async def _ask_all(
    job: Job, config: Any, teacher_name: str, asked: Sequence[Asked]
) -> tuple[list[Example], dict[str, Any]]:
    """All items through one teacher. After a failure nothing new is asked, and what is under way
    is waited for: it is being paid for, so it is kept."""
    import asyncio

    teacher = teachers.ASKING[config.kind].open(config, job.settings)
    gate = asyncio.Semaphore(teacher.concurrency)
    counts = {"asked": 0, "remembered": 0, "malformed": 0, "input_tokens": 0, "output_tokens": 0}
    failures: list[StepError] = []
    examples: dict[Slot, Example] = {}

    async def fill(item: Asked) -> None:
        async with gate:
            if failures:
                return
            try:
                examples[item.slot] = await _fill(job, teacher, teacher_name, item, counts)
            except StepError as error:
                failures.append(error)
                return
        text = f"{counts['asked']} asked"
        job.emit(StepProgress(job.step.name, len(examples), len(asked), "items", text))

    everything = asyncio.gather(*(fill(item) for item in asked))
    watch = asyncio.create_task(_watch(job))
    try:
        await asyncio.wait((everything, watch), return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            raise KeyboardInterrupt
        await everything
    finally:
        everything.cancel()
        watch.cancel()
        await asyncio.gather(everything, watch, return_exceptions=True)
        await teacher.close()
    if failures:
        raise failures[0]
    return [examples[item.slot] for item in asked], {"teacher": teacher_name, **counts}


async def _watch(job: Job) -> None:
    import asyncio

    while not job.cancelled():
        await asyncio.sleep(0.1)


async def _fill(
    job: Job, teacher: teachers.Teacher, teacher_name: str, item: Asked, counts: dict[str, int]
) -> Example:
    problems = []
    for attempt in range(TRIES):
        request = items.again(item.request, attempt)
        reply = _remembered(job, request)
        if reply is None:
            reply = await teacher.ask(request)
            job.answers.add_answer(request.digest, {**asdict(reply), "at": time.time()})
            counts["asked"] += 1
            counts["input_tokens"] += reply.usage.input_tokens
            counts["output_tokens"] += reply.usage.output_tokens
        else:
            counts["remembered"] += 1
        if reply.stop != "end":
            problems.append({"length": "cut off", "refusal": "refused"}[reply.stop])
            continue
        try:
            messages = teachers.parse(reply.text)
        except teachers.Malformed as malformed:
            counts["malformed"] += 1
            problems.append(str(malformed))
            continue
        return _example(item.slot, messages, Origin(teacher_name, request.digest))
    raise StepError(
        f"{item.slot.name}: no usable answer in {TRIES} tries ({'; '.join(problems)})",
        hint="the answers are kept; raise max_tokens, change the prompt, or take another teacher",
    )


def _remembered(job: Job, request: Request) -> Reply | None:
    row = job.answers.answer(request.digest)
    if row is None:
        return None
    row.pop("at", None)
    return Reply(**{**row, "usage": Usage(**row["usage"])})


def _example(slot: Slot, messages: Sequence[Message], origin: Origin) -> Example:
    return Example(
        id=example_id(slot.category, messages),
        category=slot.category,
        topic=slot.topic,
        language=slot.language,
        complexity=slot.complexity,
        messages=tuple(messages),
        origin=origin,
    )


def summary(facts: Facts) -> str:
    if facts["asked"] or facts.get("remembered"):
        return f"{facts['rows']} rows, {facts['asked']} asked, {facts['remembered']} remembered"
    return f"{facts['rows']} rows"
