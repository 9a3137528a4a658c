"""Which rows a category is made of: curated ones picked by its quotas, or questions to a teacher.

The items of a category are never held one by one: those of a cell (topic, language, level) share
one question unless its prompt reads their number, so a plan of 170,000 items renders some hundred.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from jessy_build import digest, teachers
from jessy_build.engine.answers import Answers
from jessy_build.engine.ledger import Ledger
from jessy_build.example import Cited, Example, Origin, Request, example_id, request_digest
from jessy_build.steps import excerpts, weights
from jessy_build.steps.excerpts import Dealt
from jessy_build.teachers import rows
from jessy_build.teachers.asking import Shape
from jessy_build.teachers.rows import Row

if TYPE_CHECKING:
    from jessy_build.plan.slots import Slot
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.model import Category, Level

VERSION = 2
"""Of how a prompt becomes a question. Noted questions of another version are made anew."""
NUMBERED = ("ordinal", "sample")
"""Names that make each item's prompt its own."""
WORTH_NOTING = 1000
"""Questions of one category. Fewer are made sooner than they are read."""
STEM_BYTES = 32
HOW_ASKED = {"concurrency", "timeout", "max_tokens", "host", "base_url", "prices", "batch"}
"""Fields of a teacher that change no whole answer."""
LIMITS = {"max_tokens", "timeout"}
"""Fields of a level that do not either."""


ROUND = 5
"""Rows of a cell that are asked together, where the recipe does not say how many."""


class Asker(Protocol):
    """Renders the request for one item; `asked` are the questions that its teacher is shown, and no
    part of what names the answer."""

    def __call__(self, cell: "Cell", ordinal: int, asked: Sequence[str] = ()) -> Request: ...


class Cell(NamedTuple):
    """The items of one topic, language and level. Item n asks question n modulo their number."""

    topic: str
    language: str
    level: str
    rows: int
    stems: tuple[str, ...]
    firsts: tuple[int, ...]
    """For each question the number of its first sample here: no two items of a category that ask
    the same share an answer."""

    def stem(self, ordinal: int) -> str:
        return self.stems[ordinal % len(self.stems)]

    def sample(self, ordinal: int) -> int:
        turn, which = divmod(ordinal, len(self.stems))
        return self.firsts[which] + turn


@dataclass(frozen=True)
class Questions:
    """What a category asks its teacher."""

    category: str
    cells: tuple[Cell, ...]
    request: "Asker"
    """Renders the prompt of one item, as attempt 0."""
    shape: Callable[[Cell, int], Shape]
    """What the answer for one item holds."""
    dealt: Dealt | None = None
    """Which excerpt each item is about, where the category has sources."""
    round: int | None = None
    """Rows of a cell that are asked together, where the prompt reads what was asked before."""

    @property
    def rows(self) -> int:
        return sum(cell.rows for cell in self.cells)

    @property
    def distinct(self) -> int:
        """How many different prompts stand behind the rows."""
        return len({stem for cell in self.cells for stem in cell.stems})

    @property
    def digest(self) -> str:
        """Of every item's name and question, in order; and what it is about, if that is a file."""
        said = [
            [c.topic, c.language, c.level, c.rows, digest.of_value([c.stems, c.firsts])]
            for c in self.cells
        ]
        return digest.of_value([said, self.dealt.digest] if self.dealt else said)

    def slot(self, cell: Cell, ordinal: int) -> "Slot":
        from jessy_build.plan.slots import Slot

        return Slot(self.category, cell.topic, cell.language, cell.level, ordinal)

    def cited(self, cell: Cell, ordinal: int) -> Cited | None:
        return self.dealt.of(cell, ordinal).cited if self.dealt else None

    def find(self, topic: str, language: str, level: str, ordinal: int) -> Cell | None:
        for cell in self.cells:
            if (cell.topic, cell.language, cell.level) == (topic, language, level):
                return cell if ordinal < cell.rows else None
        return None

    def digests(self) -> Iterator[str]:
        """The request digest of each item's first attempt."""
        for cell in self.cells:
            for ordinal in range(cell.rows):
                yield request_digest(cell.stem(ordinal), cell.sample(ordinal))

    def answered(self, answers: Answers) -> int:
        """How many items have an answer that can become an example."""
        return sum(cell.rows - len(list(open_items(cell, answers))) for cell in self.cells)


def open_items(cell: Cell, answers: Answers) -> Iterator[int]:
    """The ordinals that no usable answer fills yet."""
    filled = answers.usable(cell.stems)
    for ordinal in range(cell.rows):
        if (cell.stem(ordinal), cell.sample(ordinal)) not in filled:
            yield ordinal


class Picked(NamedTuple):
    """The curated rows of a category, as they were read: nothing reads the files again."""

    category: str
    teacher: str
    taken: tuple[Row, ...]
    included: Mapping[str, str] = MappingProxyType({})
    """The files of other tools among them, each with what stands before a row's number."""

    @property
    def rows(self) -> int:
        return len(self.taken)

    @property
    def digest(self) -> str:
        places = [f"{row.file}:{row.line}" for row in self.taken]
        said = [rows.digest_of(self.taken, self.category), places]
        return digest.of_value([*said, dict(self.included)] if self.included else said)

    def examples(self) -> Iterator[Example]:
        for row in self.taken:
            messages = row.messages
            yield Example(
                id=example_id(self.category, messages),
                category=self.category,
                topic=row.topic or "",
                language=row.language or "",
                complexity=row.complexity or "",
                messages=messages,
                origin=self._origin(row),
                iterations=row.iterations,
            )

    def _origin(self, row: Row) -> Origin:
        if mark := self.included.get(row.file):
            return Origin(INCLUDE, f"{row.file}{mark}{row.line}")
        return Origin(self.teacher, f"{row.file}:{row.line}")


INCLUDE = "dataset.include"
"""Who gives the rows of other tools, and the field that says which."""


def picked(loaded: "LoadedRecipe", category: str) -> Picked:
    """`checks` has made sure that the files hold enough of each kind."""
    teacher = loaded.recipe.categories[category].teacher
    files = {
        name: included.mark
        for name, included in loaded.opened.included.items()
        if included.reading.meant.category == category
    }
    return Picked(category, teacher, tuple(loaded.picked(category)), MappingProxyType(files))


def questions(loaded: "LoadedRecipe", category: str, ledger: Ledger) -> Questions:
    table, shape = quotas(loaded, category), _shapes(loaded, category)
    dealt = excerpts.dealt(loaded, category, table)
    config = weights.pinned(loaded, loaded.recipe.categories[category].teacher, ledger)
    ask = _asker(loaded, category, config, shape, dealt)
    names = loaded.templates[category].names
    numbered = bool(dealt) or any(name in names for name in NUMBERED)
    cells = [Cell(*place, rows, (), ()) for place, rows in table.items()]
    periods = [cell.rows if numbered else _period(cell, shape) for cell in cells]

    def rendered() -> list[str]:
        return [
            ask(cell, ordinal).stem
            for cell, period in zip(cells, periods, strict=True)
            for ordinal in range(period)
        ]

    asked = [VERSION, about(loaded, category), sorted(map(list, table)), periods]
    name = digest.of_value([*asked, dealt.places] if dealt else asked)
    stems = iter(
        _noted(ledger, f"questions:{name}", cells, periods, ask)
        or _note(ledger, f"questions:{name}", rendered())
    )
    return Questions(
        category,
        _numbered(cells, [tuple(islice(stems, period)) for period in periods]),
        ask,
        shape,
        dealt,
        (loaded.recipe.categories[category].round or ROUND) if "asked" in names else None,
    )


def _period(cell: Cell, shape: Callable[[Cell, int], Shape]) -> int:
    """After how many items their prompts begin anew: answers may differ in shape."""
    seen = [shape(cell, ordinal) for ordinal in range(min(cell.rows, MOST_SHAPES))]
    return seen.index(seen[0], 1) if seen[0] in seen[1:] else len(seen)


MOST_SHAPES = 33
"""More than a category has, of turns or iterations, so that each shows at least once."""


def _numbered(cells: Sequence[Cell], stems: Sequence[tuple[str, ...]]) -> tuple[Cell, ...]:
    taken: Counter[str] = Counter()
    made = []
    for cell, asked in zip(cells, stems, strict=True):
        firsts = []
        for which, stem in enumerate(asked):
            firsts.append(taken[stem])
            taken[stem] += len(range(which, cell.rows, len(asked)))
        made.append(cell._replace(stems=asked, firsts=tuple(firsts)))
    return tuple(made)


def _noted(
    ledger: Ledger,
    name: str,
    cells: Sequence[Cell],
    periods: Sequence[int],
    ask: Asker,
) -> list[str] | None:
    """The questions as they were noted, if those that are made again to see are still the same."""
    value = ledger.note(name) if sum(periods) >= WORTH_NOTING else None
    if value is None or len(value) != STEM_BYTES * sum(periods):
        return None
    text = value.hex()
    stems = [text[at : at + 2 * STEM_BYTES] for at in range(0, len(text), 2 * STEM_BYTES)]
    start = 0
    for cell, period in zip(cells, periods, strict=True):
        if ask(cell, period - 1).stem != stems[start + period - 1]:
            return None
        start += period
    return stems


def _note(ledger: Ledger, name: str, stems: list[str]) -> list[str]:
    if len(stems) >= WORTH_NOTING:
        ledger.set_note(name, bytes.fromhex("".join(stems)))
    return stems


def quotas(loaded: "LoadedRecipe", category: str) -> Mapping[tuple[str, str, str], int]:
    """Topic, language, level → rows: what a category that asks is to be filled with."""
    wanted = loaded.recipe.categories[category]
    assert isinstance(wanted.count, int), "checks refuse `all` for an asking teacher"
    from jessy_build.plan import slots

    return slots.cells(
        wanted.count,
        {topic.name: topic.count or 0 for topic in loaded.topics(category)},
        languages_of(wanted),
        wanted.complexity or dict.fromkeys(loaded.recipe.complexity, 1),
    )


def languages_of(category: "Category") -> dict[str, float]:
    return {str(name): weight for name, weight in (category.languages or {"tr": 1}).items()}


def _shapes(loaded: "LoadedRecipe", category: str) -> Callable[[Cell, int], Shape]:
    from jessy_build.recipe.answering import shape_of

    wanted, levels = loaded.recipe.categories[category], loaded.recipe.complexity
    topics = {topic.name: topic for topic in loaded.topics(category)}

    def shape(cell: Cell, ordinal: int) -> Shape:
        return shape_of(wanted, topics[cell.topic], cell.language, levels[cell.level], ordinal)

    return shape


def _asker(
    loaded: "LoadedRecipe",
    category: str,
    config: Any,
    shape: Callable[[Cell, int], Shape],
    dealt: Dealt | None,
) -> Asker:
    from jessy_build.recipe import templates

    recipe = loaded.recipe
    teacher = teachers.ASKING[config.kind]
    topics = {topic.name: topic for topic in loaded.topics(category)}
    schema = cache(teachers.example_schema)

    def ask(cell: Cell, ordinal: int, asked: Sequence[str] = ()) -> Request:
        variables = templates.variables(
            category=category,
            topic=topics[cell.topic],
            language=cell.language,
            complexity=cell.level,
            level=recipe.complexity[cell.level],
            persona=recipe.persona,
            system=loaded.system,
            ordinal=ordinal,
            shape=shape(cell, ordinal),
            source=dealt.of(cell, ordinal).variables if dealt else None,
            asked=asked,
        )
        request = teacher.request(
            config,
            prompt=templates.render(loaded.templates[category], variables),
            system=loaded.system,
            schema=schema(shape(cell, ordinal)),
            sample=cell.sample(ordinal) if cell.stems else 0,
        )
        if asked:
            request = request._replace(shown=tuple(asked), plain_stem=cell.stem(ordinal))
        return _limited(request, recipe.complexity[cell.level])

    return ask


def _limited(request: Request, level: "Level") -> Request:
    most = min(request.max_tokens, level.max_tokens or request.max_tokens)
    return request._replace(max_tokens=most, timeout=level.timeout)


def about(loaded: "LoadedRecipe", category: str) -> dict[str, Any]:
    """What the recipe says about the category's rows, in its own words: to tell what changed."""
    recipe, wanted = loaded.recipe, loaded.recipe.categories[category]
    block = f"categories.{category}"
    # By the recipe's own writer: that of a category would have to be made first.
    one = recipe.model_dump(mode="json", exclude_none=True, include={"categories": {category}})
    said = {
        f"{block}.{name}": value
        for name, value in one["categories"][category].items()
        if name not in ("prompt", "topics")
    }
    if wanted.topics is not None:
        said[f"{block}.topics"] = topics_by_name(one["categories"][category]["topics"])
    teacher = recipe.teachers[wanted.teacher]
    if teacher.kind == "curated":
        files = sorted({row.file for row in loaded.rows[category]})
        own = [file for file in files if file not in loaded.opened.included]
        said[f"teachers.{wanted.teacher}.files"] = {file: loaded.files[file] for file in own}
        config = recipe.model_dump(mode="json", exclude_none=True, include={"dataset": {"include"}})
        if blocks := included_in(config, category):
            said[INCLUDE] = blocks
            others = [file for file in files if file in loaded.opened.included]
            said[f"{INCLUDE}.files"] = {file: loaded.files[file] for file in others}
        return said
    said[f"{block}.prompt"] = loaded.templates[category].text
    said |= excerpts.about(loaded, category)
    said[f"teachers.{wanted.teacher}"] = teacher.model_dump(mode="json", exclude=HOW_ASKED)
    levels = wanted.complexity or recipe.complexity
    said["complexity"] = {
        name: recipe.complexity[name].model_dump(mode="json", exclude=LIMITS) for name in levels
    }
    return {**said, **about_system(loaded)}


def included_in(config: Mapping[str, Any] | None, category: str) -> list[dict[str, Any]]:
    """What a resolved recipe includes in a category, without what is left open."""
    blocks = (config or {}).get("dataset", {}).get("include", ())
    return [
        {name: value for name, value in block.items() if value is not None}
        for block in blocks
        if block["category"] == category
    ]


def about_system(loaded: "LoadedRecipe") -> dict[str, Any]:
    """The persona, and its system text as it was written: what it renders to is no edit."""
    persona = loaded.recipe.persona
    if persona is None:
        return {}
    said = {"persona.name": persona.name, "persona.vars": persona.vars}
    return {**said, "persona.system": loaded.opened.system_source}


def topics_by_name(
    written: Mapping[str, int] | Sequence[str | Mapping[str, Any]],
) -> dict[str, Any]:
    """By name, so that one of a list is told by itself. One that says nothing more is its name."""
    if isinstance(written, Mapping):
        return dict(written)
    said = {}
    for topic in written:
        name = topic if isinstance(topic, str) else topic["name"]
        said[name] = name
        if isinstance(topic, Mapping):
            said[name] = {word: value for word, value in topic.items() if word != "name"} or name
    return said
