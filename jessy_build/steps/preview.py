"""preview: some items of each category as a teacher gets them, and what it answered to them.

They are items of the build, asked as it would ask them: an answer that came to one of them fills it
there, too. Always the same ones, so that another look costs nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from jessy_build import digest, teachers
from jessy_build.diagnostics import UsageError, near
from jessy_build.engine.answers import Answer, Answers
from jessy_build.example import Message, Reply, Request
from jessy_build.steps import desk, items, prices, weights
from jessy_build.steps.asked_before import Before
from jessy_build.steps.builds import Workspace
from jessy_build.steps.desk import TRIES, Asking
from jessy_build.steps.items import Cell, Questions
from jessy_build.teachers.asking import Shape


@dataclass(frozen=True)
class Answered:
    """The answer that fills the item, or the last one that could not."""

    usable: bool
    problem: str
    """Why it cannot become an example; empty when it can."""
    messages: tuple[Mapping[str, str], ...]
    """The example that it becomes."""
    text: str
    """The answer as it came, where it cannot become one."""
    tries: int
    """Answers that were asked for this item so far."""
    new: bool
    """Asked by this command; else it was here before, and cost nothing now."""
    model: str
    seconds: float
    usage: Mapping[str, int]


@dataclass(frozen=True)
class Prompt:
    slot: str
    """category/topic/language/level/number, as `jessy show` takes it once it is built."""
    topic: str
    language: str
    level: str
    ordinal: int
    request: str
    """The digest of the request."""
    messages: tuple[Mapping[str, str], ...]
    """As they are sent: the system text, if there is one, and the prompt."""
    answer_shape: str
    """What the answer has to look like: its JSON schema in short."""
    max_tokens: int
    usd_at_most: float | None
    """Of one request whose answer is as long as it may be; null without prices."""
    answer: Answered | None


@dataclass(frozen=True)
class Category:
    category: str
    teacher: str
    kind: str
    model: str
    """Empty for curated rows."""
    rows: int
    cells: int
    """Topics × languages × levels that have rows; 0 for curated rows."""
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True)
class Problem:
    category: str
    problem: str
    hint: str


@dataclass(frozen=True)
class Document:
    """What `jessy preview --json` prints."""

    format: Literal[1]
    recipe: str
    name: str
    version: str
    categories: tuple[Category, ...]
    usd_at_most: float | None
    """To ask what has no answer yet, every answer as long as it may be and each item with all its
    tries; null where prices are missing."""
    asked: int
    """Answers that this command paid for."""
    problems: tuple[Problem, ...]
    """Why asking stopped, by category."""


@dataclass(frozen=True)
class Chosen:
    """Some items of a category that asks: the questions are its own, with fewer rows a cell."""

    category: str
    asking: Asking

    @property
    def items(self) -> Iterator[tuple[Cell, int]]:
        for cell in self.asking.questions.cells:
            for ordinal in range(cell.rows):
                yield cell, ordinal

    def answers(self, answers: Answers) -> dict[tuple[str, int], list[Answer]]:
        """By stem and sample, in the order of the tries."""
        stems = list(dict.fromkeys(cell.stem(ordinal) for cell, ordinal in self.items))
        found: dict[tuple[str, int], list[Answer]] = {}
        for answer in answers.of(stems):
            found.setdefault((answer.stem, answer.sample), []).append(answer)
        return found


def categories(workspace: Workspace, words: Sequence[str]) -> list[str]:
    """Those that are named, in the recipe's order; all of them where none is."""
    known = list(workspace.loaded.recipe.categories)
    for word in words:
        if word not in known:
            hint = near(word, known) or f"categories: {', '.join(known)}"
            raise UsageError(f"there is no category '{word}'", hint=hint)
    return [name for name in known if name in words or not words]


def choose(workspace: Workspace, names: Sequence[str], count: int) -> list[Chosen]:
    """So many items of each category that asks a teacher."""
    recipe, ledger = workspace.loaded.recipe, workspace.store.ledger
    found = []
    for name in names:
        teacher = recipe.categories[name].teacher
        config = weights.pinned(workspace.loaded, teacher, ledger)
        if config.kind != "curated":
            every = items.questions(workspace.loaded, name, ledger)
            some = spread(every, count)
            found.append(Chosen(name, Asking(config, teacher, some, in_batches=False)))
    return found


def spread(questions: Questions, count: int) -> Questions:
    """So many items, each of a topic, language and level of which the least is there already.

    More of them begin with the same. In each cell they are its first ones, so their questions and
    samples are those of the build.
    """
    names = [(cell.topic, cell.language, cell.level) for cell in questions.cells]
    order = [digest.of_value([questions.category, *name]) for name in names]
    taken = [0] * len(names)
    seen: Counter[tuple[int, str]] = Counter()
    for _ in range(min(count, questions.rows)):
        open_cells = (n for n, cell in enumerate(questions.cells) if taken[n] < cell.rows)
        best = min(
            open_cells,
            key=lambda n: (taken[n], sum(seen[part] for part in enumerate(names[n])), order[n]),
        )
        taken[best] += 1
        seen.update(enumerate(names[best]))
    cells = zip(questions.cells, taken, strict=True)
    return replace(questions, cells=tuple(cell._replace(rows=n) for cell, n in cells if n))


def document(
    workspace: Workspace,
    names: Sequence[str],
    chosen: Sequence[Chosen],
    since: float,
    asked: int = 0,
    problems: Sequence[Problem] = (),
) -> Document:
    """With what was answered so far; an answer is new if it was made after that moment."""
    recipe = workspace.loaded.recipe
    asking = {one.category: one for one in chosen}
    answers = {one.category: one.answers(workspace.store.ledger.answers) for one in asking.values()}
    told = []
    for name in names:
        if name in asking:
            told.append(_asking(workspace, asking[name], answers[name], since))
        else:
            rows = items.picked(workspace.loaded, name).rows
            told.append(Category(name, recipe.categories[name].teacher, "curated", "", rows, 0, ()))
    return Document(
        format=1,
        recipe=workspace.id,
        name=recipe.name,
        version=recipe.version,
        categories=tuple(told),
        usd_at_most=_at_most(told),
        asked=asked,
        problems=tuple(problems),
    )


def _at_most(categories: Sequence[Category]) -> float | None:
    left = [
        (prompt.usd_at_most, TRIES - (prompt.answer.tries if prompt.answer else 0))
        for category in categories
        for prompt in category.prompts
        if prompt.answer is None or not prompt.answer.usable
    ]
    if any(usd is None for usd, _ in left):
        return None
    return sum((usd or 0.0) * max(tries, 0) for usd, tries in left)


def _asking(
    workspace: Workspace,
    chosen: Chosen,
    answers: Mapping[tuple[str, int], Sequence[Answer]],
    since: float,
) -> Category:
    asking = chosen.asking
    table = items.quotas(workspace.loaded, chosen.category)
    before = Before(workspace.store.ledger.answers, asking.questions)
    return Category(
        category=chosen.category,
        teacher=asking.teacher,
        kind=asking.config.kind,
        model=asking.config.model,
        rows=sum(table.values()),
        cells=len(table),
        prompts=tuple(
            _prompt(asking, before, cell, ordinal, answers, since) for cell, ordinal in chosen.items
        ),
    )


def _prompt(
    asking: Asking,
    before: Before,
    cell: Cell,
    ordinal: int,
    answers: Mapping[tuple[str, int], Sequence[Answer]],
    since: float,
) -> Prompt:
    questions = asking.questions
    request = before.request(cell, ordinal)
    tries = answers.get((cell.stem(ordinal), cell.sample(ordinal)), ())
    table = prices.of(asking.config)
    return Prompt(
        slot=questions.slot(cell, ordinal).name,
        topic=cell.topic,
        language=cell.language,
        level=cell.level,
        ordinal=ordinal,
        request=request.digest,
        messages=tuple(map(_plain, request.messages)),
        answer_shape=_shape(request),
        max_tokens=request.max_tokens,
        usd_at_most=None if table is None else prices.of_a_try(table, request),
        answer=_answered(tries, questions.shape(cell, ordinal), since) if tries else None,
    )


def _answered(tries: Sequence[Answer], shape: Shape, since: float) -> Answered:
    answer = next((one for one in tries if one.usable), tries[-1])
    reply = Reply.of(answer.reply)
    return Answered(
        usable=answer.usable,
        problem="" if answer.usable else desk.why_unusable(reply, shape),
        messages=tuple(map(_plain, teachers.parse(reply.text, shape))) if answer.usable else (),
        text="" if answer.usable else reply.text,
        tries=len(tries),
        new=answer.made_at >= since,
        model=reply.model,
        seconds=reply.seconds,
        usage={name: count for name, count in reply.usage.plain.items() if count},
    )


def _plain(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _shape(request: Request) -> str:
    return short(request.schema) if request.schema else "free text"


def short(schema: Mapping[str, Any]) -> str:
    """A JSON schema as one writes down an example of it."""
    if "properties" in schema:
        inner = (f"{name}: {short(part)}" for name, part in schema["properties"].items())
        return "{" + ", ".join(inner) + "}"
    if "items" in schema:
        return f"[{short(schema['items'])}]"
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    return str(schema.get("type", "anything"))


# For people


def to_json(document: Document) -> dict[str, Any]:
    return asdict(document)


def lines(document: Document) -> Iterator[str]:
    for category in document.categories:
        yield from _category(category)
        yield ""


def _category(category: Category) -> Iterator[str]:
    if category.kind == "curated":
        yield f"{category.category}: {category.rows} rows out of files, no teacher is asked"
        return
    cells = f"{category.cells} cells" if category.cells > 1 else "one cell"
    yield (
        f"{category.category}: {len(category.prompts)} of {category.rows} items in {cells},"
        f" asked from {category.teacher} ({category.model})"
    )
    # All prompts of a recipe share it.
    for message in category.prompts[0].messages if category.prompts else ():
        if message["role"] == "system":
            yield from _said("system", message["content"])
    for prompt in category.prompts:
        yield ""
        yield from _of_prompt(prompt)


def _of_prompt(prompt: Prompt) -> Iterator[str]:
    yield f"  {prompt.slot}   at most {prompt.max_tokens:,} tokens{_usd(', ', prompt.usd_at_most)}"
    for message in prompt.messages:
        if message["role"] != "system":
            yield from _said("asked", message["content"])
    yield from _said("shape", prompt.answer_shape)
    if prompt.answer:
        yield from _of_answer(prompt.answer)


def _of_answer(answer: Answered) -> Iterator[str]:
    fate = "usable" if answer.usable else f"not usable: {answer.problem}"
    when = f"{answer.seconds:.1f} s" if answer.new else "here before"
    tries = f", try {answer.tries}" if answer.tries > 1 else ""
    usage = "".join(f", {n} {name.replace('_', ' ')}" for name, n in answer.usage.items())
    yield f"  → {fate}   {when}{tries}{usage}"
    for message in answer.messages:
        yield from _said(message["role"], message["content"])
    if answer.text:
        yield from _said("answer", answer.text)


def _said(role: str, text: str) -> Iterator[str]:
    first, *rest = text.splitlines() or [""]
    yield f"    {role:9}  {first}".rstrip()
    for line in rest:
        yield f"    {'':9}  {line}".rstrip()


def _usd(before: str, amount: float | None) -> str:
    """What is free, or has no price in the recipe, is not told."""
    if not amount:
        return ""
    return before + (f"${amount:.4f}" if amount < 1 else f"${amount:,.2f}")


def last_line(document: Document, again: str) -> str:
    """What asking would cost, or what came of it. `again` is the command that asks."""
    prompts = [prompt for category in document.categories for prompt in category.prompts]
    usable = sum(prompt.answer is not None and prompt.answer.usable for prompt in prompts)
    if not prompts:
        return "No teacher is asked for any of it."
    if usable == len(prompts):
        return f"All {usable} have a usable answer. They count: a build asks for the rest."
    if document.asked:
        return f"{usable} of {len(prompts)} have a usable answer. They count in the next build."
    there = f", {usable} are answered" if usable else ""
    cost = _usd(" for at most ", document.usd_at_most)
    return f"Nothing was asked{there}. To ask these{cost}, counting in the next build: {again}"
