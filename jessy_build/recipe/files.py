"""Open the files that a recipe names: templates, rows, prompts. Collects what is wrong in them."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jessy_build.diagnostics import Diagnostic, RecipeError, Span, code, near
from jessy_build.recipe import merge, paths, scalars, templates, tree
from jessy_build.recipe.merge import Merged
from jessy_build.recipe.model import Include, Recipe
from jessy_build.recipe.paths import Folder, Found, Ground, PathProblem
from jessy_build.recipe.source import Node
from jessy_build.recipe.templates import RenderError, Template
from jessy_build.recipe.text import MAX_BYTES, UnreadableText, half_character, read_text
from jessy_build.recipe.tree import Path as Place
from jessy_build.teachers import curated, json_places, mlx
from jessy_build.teachers.curated import Read, Row

if TYPE_CHECKING:
    from jessy_build.formats.reading import Reading
    from jessy_build.sources.excerpt import Excerpt

NOT_A_PROMPT = code("R501", "a line is no evaluation prompt")

MAX_PROMPTS = 16 * MAX_BYTES


@dataclass(frozen=True, slots=True)
class EvalPrompt:
    """One question asked of the base and of the tuned model. None: the recipe does not say."""

    prompt: str
    language: str | None = None
    complexity: str | None = None
    seen: bool | None = None
    """Whether it stands in the training rows."""


class Included(NamedTuple):
    """A file of another tool: what it is read as, and which block of `dataset.include` says so."""

    reading: "Reading"
    format: str
    block: int
    mark: str
    """Between file and number in the names of its rows."""


@dataclass
class Files:
    """What stood in the files, as far as it could be read."""

    recipe: Recipe
    root: Node
    merged: Merged
    ground: Ground
    problems: list[Diagnostic] = field(default_factory=list)
    templates: dict[str, Template] = field(default_factory=dict)
    parsed: dict[tuple[Path, tuple[str, ...]], Template | None] = field(default_factory=dict)
    """Each template once, however many categories share it."""
    system: str | None = None
    system_source: str | None = None
    """The template that `system` was rendered from."""
    data: dict[Path, Read] = field(default_factory=dict)
    """Each data file as it was read, once for all teachers that name it."""
    curated: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    """All rows of each curated teacher that a category takes from."""
    rows: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    judge: Template | None = None
    """What a judge is asked, where the recipe has one."""
    evaluate_prompts: tuple[EvalPrompt, ...] = ()
    chat_template_text: str | None = None
    go_template: str | None = None
    """When `modelfile.template` is a file."""
    license_text: str | None = None
    """What stands in `modelfile.license_file`."""
    chat_templates: dict[str, str] = field(default_factory=dict)
    """Of teachers that name a file."""
    incomplete: set[str] = field(default_factory=set)
    """Curated teachers that have more rows than could be read."""
    included: dict[str, Included] = field(default_factory=dict)
    """Files of other tools, by the name that rows carry."""
    excerpts: "dict[str, tuple[Excerpt, ...]]" = field(default_factory=dict)
    """Of each category that has sources: what its rows are written about."""
    folders: set[Path] = field(default_factory=set)
    """Every folder that was looked through for sources: a new file changes its times."""
    base_path: Found | None = None
    env_file: Path | None = None
    """Where the name of the live model is written."""
    tracked: dict[str, Path] = field(default_factory=dict)
    """Where services that follow a training put files, as far as the recipe says so."""
    digests: dict[str, str] = field(default_factory=dict)
    named: set[Path] = field(default_factory=set)
    """Every file as it is named, which may be a link to one of `digests`."""
    shown: dict[str, Found] = field(default_factory=dict)
    """Data files by the name that rows carry, which is the same from every working directory."""

    def span(self, place: Place) -> Span:
        return tree.span(self.root, place)

    @property
    def levels(self) -> tuple[str, ...] | None:
        """Those that are declared, be they right or not; None where that cannot be told."""
        if tree.child(self.root, "complexity") is None:
            return tuple(self.recipe.complexity)
        return tree.names(self.root, ("complexity",)) or None

    def folder(self, span: Span) -> Folder:
        return self.merged.folders[span.file]

    def row_span(self, row: Row, key: str) -> Span:
        """Where a label of a row stands in its line, or in the block that says it for the row."""
        found = self.shown[row.file]
        if (included := self.included.get(row.file)) is not None:
            return self._included_span(included, row, key)
        place = json_places.value(curated.line_of(found.path, row.line), (key,))
        return Span(found.shown, row.line, place.column, place.end)

    def _included_span(self, included: Included, row: Row, key: str) -> Span:
        from jessy_build import formats
        from jessy_build.formats import shape

        again = formats.named(included.format).again(included.reading, row.line)
        path = shape.label_path(again.value, key) if again else None
        if again is None or path is None or not included.reading.meant.own_labels:
            return self.span(("dataset", "include", included.block, key))
        return replace(again.span(path), file=self.shown[row.file].shown)


def open_all(recipe: Recipe, root: Node, merged: Merged, ground: Ground) -> Files:
    files = Files(recipe, root, merged, ground)
    files.named.update(merged.files)
    for path, sha256 in merged.files.items():
        files.digests[_name(path, ground)] = sha256
    _open_persona(files)
    _open_prompts(files)
    _open_judge(files)
    _open_rows(files)
    _open_included(files)
    _open_sources(files)
    _open_chat_templates(files)
    _open_license(files)
    _open_base(files)
    _open_evaluation(files)
    _place_env_file(files)
    _place_tracked(files)
    return files


def _open_persona(files: Files) -> None:
    persona = files.recipe.persona
    if persona is None or persona.system is None:
        return
    template = _template(files, ("persona", "system"), persona.system, templates.KNOWN_TO_SYSTEM)
    if template is None:
        return
    files.system_source = template.text
    try:
        variables = {"persona": templates.persona_variables(persona)}
        files.system = templates.render(template, variables)
    except RenderError as error:
        files.problems.append(error.diagnostic())


def _open_prompts(files: Files) -> None:
    for name, category in files.recipe.categories.items():
        if category.prompt is not None:
            place = ("categories", name, "prompt")
            known = templates.KNOWN + (("source",) if category.sources else ())
            template = _template(files, place, category.prompt, known)
            if template is not None:
                files.templates[name] = template


def _open_judge(files: Files) -> None:
    judge = files.recipe.dataset.validate_.judge
    if judge is None:
        return
    if judge.prompt is None:
        files.judge = templates.packaged("judge.j2")
        return
    place = ("dataset", "validate", "judge", "prompt")
    files.judge = _template(files, place, judge.prompt, templates.KNOWN_TO_JUDGE)


def _open_rows(files: Files) -> None:
    for name, teacher in files.recipe.teachers.items():
        if not isinstance(teacher, curated.Config):
            continue
        takers = [c for c, category in files.recipe.categories.items() if category.teacher == name]
        if not takers:
            continue
        rows = files.curated[name] = _curated(files, name, teacher)
        files.rows.update(_by_category(rows, takers))


def _by_category(rows: Iterable[Row], takers: Iterable[str]) -> dict[str, tuple[Row, ...]]:
    """A row that says no category fits each of them."""
    taken: dict[str, list[Row]] = {category: [] for category in takers}
    for row in rows:
        if row.category is None:
            for some in taken.values():
                some.append(row)
        elif row.category in taken:
            taken[row.category].append(row)
    return {category: tuple(some) for category, some in taken.items()}


def _curated(files: Files, name: str, teacher: curated.Config) -> tuple[Row, ...]:
    found = {
        match.path.resolve(): match
        for match in _matches(files, ("teachers", name, "files"), teacher.files, name)
    }
    for path, match in found.items():
        if path not in files.data:
            shown = _name(path, files.ground)
            files.shown[shown] = match
            read = files.data[path] = curated.read(path, shown)
            _add_once(files, [_as_shown(files, problem) for problem in read.problems])
            if read.sha256:
                files.digests[shown] = read.sha256
        if files.data[path].problems:
            files.incomplete.add(name)
    return tuple(chain.from_iterable(files.data[path].rows for path in found))


def _matches(files: Files, place: Place, patterns: Iterable[str], teacher: str) -> list[Found]:
    """The files of all patterns, each once however many match it."""
    found: dict[Path, Found] = {}
    for index, pattern in enumerate(patterns):
        span = files.span((*place, index))
        try:
            matches = paths.glob(pattern, files.folder(span), files.ground)
        except PathProblem as problem:
            field_name = ".".join(str(word) for word in place if not isinstance(word, int))
            files.problems.append(merge.diagnostic(problem, span, field_name))
            files.incomplete.add(teacher)
            continue
        files.named.update(match.path for match in matches)
        found.update((match.path.resolve(), match) for match in matches)
    return list(found.values())


def _open_included(files: Files) -> None:
    """Behind the rows of the category's own teacher. What no curated category takes is not read."""
    for index, block in enumerate(files.recipe.dataset.include):
        if block.category not in files.rows:
            continue
        place = ("dataset", "include", index, "files")
        teacher = files.recipe.categories[block.category].teacher
        for found in _matches(files, place, block.files, teacher):
            _include(files, index, block, found)


def _include(files: Files, index: int, block: Include, found: Found) -> None:
    from jessy_build import formats
    from jessy_build.formats.reading import Meant, Reading

    name = _name(found.path, files.ground)
    if name in files.shown:
        place = ("dataset", "include", index, "files")
        problem = f"'{found.shown}' is taken twice: its rows would be two of each"
        files.problems.append(
            Diagnostic(TWICE, files.span(place), "dataset.include", problem, hint=TAKE_ONCE)
        )
        return
    files.shown[name] = found
    meant = Meant(
        block.category,
        block.topic or "",
        block.language or "",
        block.complexity or "",
        block.own_labels,
        files.system,
        block.system == "drop",
    )
    read = formats.named(block.format).read(Reading(found.path, name, meant))
    files.included[name] = Included(
        Reading(found.path, name, meant), block.format, index, read.mark
    )
    _add_once(files, [_as_shown(files, problem) for problem in read.problems])
    if read.sha256:
        files.digests[name] = read.sha256
    if read.problems:
        files.incomplete.add(files.recipe.categories[block.category].teacher)
    files.rows[block.category] += read.rows


TWICE = code("R270", "a data file is taken twice")
TAKE_ONCE = "name each file once, under a teacher or in one block of dataset.include"


def _open_sources(files: Files) -> None:
    for name, category in files.recipe.categories.items():
        if category.sources is not None and category.prompt is not None:
            from jessy_build.recipe import cuttings

            cuttings.open_all(files, name, category.sources)


def _as_shown(files: Files, problem: Diagnostic) -> Diagnostic:
    name = files.shown[problem.span.file].shown
    return replace(problem, span=replace(problem.span, file=name))


def _open_chat_templates(files: Files) -> None:
    recipe = files.recipe
    files.chat_template_text = _chat_template(files, ("base",), recipe.base.chat_template)
    for name, teacher in recipe.teachers.items():
        if isinstance(teacher, mlx.Config):
            text = _chat_template(files, ("teachers", name), teacher.chat_template)
            files.chat_templates.update({name: text} if text else {})
    if recipe.modelfile.template != "auto":
        _open_go_template(files, recipe.modelfile.template)


MAX_LICENSE = 1 << 20


def _open_license(files: Files) -> None:
    named = files.recipe.modelfile.license_file
    if named is None:
        return
    read = _text(files, ("modelfile", "license_file"), named, limit=MAX_LICENSE)
    files.license_text = read[1] if read else None


def _open_go_template(files: Files, named: str) -> None:
    """Whether it is well formed, and makes the right prompts, only a server can tell."""
    place = ("modelfile", "template")
    if (read := _text(files, place, named, limit=templates.MAX_TEMPLATE)) is None:
        return
    files.go_template = read[1]
    if not read[1].strip():
        problem = f"'{named}' holds no template"
        hint = "template: auto derives one from the chat template of the training"
        files.problems.append(
            Diagnostic(EMPTY, files.span(place), ".".join(place), problem, hint=hint)
        )


EMPTY = code("R306", "a template for Ollama is empty")


def _chat_template(files: Files, block: Place, named: str | None) -> str | None:
    """The text of a file; None where it is one of ours, or none can be read."""
    from jessy_build import chat

    if named is None or named in chat.BUILTIN:
        return None
    place = (*block, "chat_template")
    if not any(sign in named for sign in "./"):
        files.problems.append(
            Diagnostic(
                UNKNOWN_TEMPLATE,
                files.span(place),
                ".".join(map(str, place)),
                f"there is no chat template {scalars.told(named)}",
                expected=", ".join(chat.BUILTIN) + ", or the path of a .jinja file",
                hint=near(named, chat.BUILTIN),
            )
        )
        return None
    read = _text(files, place, named, limit=templates.MAX_TEMPLATE)
    return read[1] if read else None


UNKNOWN_TEMPLATE = code("R208", "a chat template is not known")


def _open_base(files: Files) -> None:
    from jessy_build import bases

    try:
        parsed = bases.parse(files.recipe.base.model)
    except ValueError:
        return
    if parsed.kind not in ("path", "gguf"):
        return
    want = "folder" if parsed.kind == "path" else "file"
    files.base_path = _found(files, ("base", "model"), parsed.fields["path"], want)


def _place_env_file(files: Files) -> None:
    """Last, when all is known that the recipe reads."""
    deploy = files.recipe.deploy
    if deploy is None or deploy.env_file is None:
        return
    place = ("deploy", "env_file", "path")
    span, text = files.span(place), deploy.env_file.path
    try:
        found = paths.to_write(text, files.folder(span), files.ground)
    except PathProblem as refusal:
        files.problems.append(merge.diagnostic(refusal, span, ".".join(place)))
        return
    path = found.path.resolve()
    read = {named.resolve() for named in files.named}
    if path in read or path.name.endswith((paths.LOCK_ENDING, paths.REVIEW_ENDING)):
        problem = f"'{text}' is a file of the recipe's own, which no deploy writes into"
        told = Diagnostic(OWN_FILE, span, ".".join(place), problem, expected=ENV)
        files.problems.append(told)
        return
    files.env_file = found.path


def _place_tracked(files: Files) -> None:
    track = files.recipe.train.track
    if track and track.tensorboard and track.tensorboard.folder is not None:
        _place(files, ("tensorboard", "folder"), track.tensorboard.folder, "folder")
    if track and track.mlflow and track.mlflow.file is not None:
        _place(files, ("mlflow", "uri"), track.mlflow.file, "file")


def _place(files: Files, field: tuple[str, str], text: str, want: str) -> None:
    place = ("train", "track", *field)
    span = files.span(place)
    try:
        found = paths.to_write(text, files.folder(span), files.ground, want=want)
    except PathProblem as refusal:
        files.problems.append(merge.diagnostic(refusal, span, ".".join(place)))
        return
    files.tracked[field[0]] = found.path.resolve()


ENV = "a file that other programs read, such as .env"
OWN_FILE = code("R305", "a deploy would write into a file of the recipe")


def _open_evaluation(files: Files) -> None:
    evaluate = files.recipe.evaluate
    if evaluate is None:
        return
    if not isinstance(evaluate.prompts, str):
        files.evaluate_prompts = tuple(map(EvalPrompt, evaluate.prompts))
        return
    read = _text(files, ("evaluate", "prompts"), evaluate.prompts, limit=MAX_PROMPTS)
    if read is None:
        return
    found, text = read
    files.evaluate_prompts, problems = _prompts(text, found.shown, files.levels)
    files.problems += problems
    if not text.strip():
        span = files.span(("evaluate", "prompts"))
        problem = f"'{evaluate.prompts}' holds no prompt"
        files.problems.append(Diagnostic(NOT_A_PROMPT, span, "evaluate.prompts", problem))


def _prompts(
    text: str, shown: str, levels: Collection[str] | None
) -> tuple[tuple[EvalPrompt, ...], tuple[Diagnostic, ...]]:
    prompts, problems = [], []
    for number, match in enumerate(LINE.finditer(text), start=1):
        line = match[1]
        if not line or line.isspace():
            continue
        try:
            prompts.append(_prompt(line, levels))
        except ValueError as error:
            span = Span(shown, number, 1, len(line) + 1)
            problems.append(_not_a_prompt(span, *error.args))
            if len(problems) >= curated.LOOKED_FOR:
                return (), curated.shortened(shown, problems, given_up=True)
    return tuple(prompts), curated.shortened(shown, problems)


LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")


def _not_a_prompt(span: Span, problem: str, hint: str = "") -> Diagnostic:
    return Diagnostic(NOT_A_PROMPT, span, "", problem, expected=PROMPT_SHAPE, hint=hint)


PROMPT_SHAPE = '{"prompt": "...", "language"?, "complexity"?, "seen"?}'


PROMPT_KINDS: Mapping[str, tuple[type, str]] = {
    "prompt": (str, "a text"),
    "language": (str, "a text"),
    "complexity": (str, "a text"),
    "seen": (bool, "true or false"),
}


def _prompt(line: str, levels: Collection[str] | None) -> EvalPrompt:
    """ValueError with what is wrong, and a hint where there is one."""
    try:
        row = json.loads(line)
    except RecursionError:
        raise ValueError("this line nests too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"this line is not JSON: {error.msg[:1].lower()}{error.msg[1:]}") from None
    except ValueError:
        raise ValueError("a number in this line has too many digits") from None
    if not isinstance(row, dict):
        raise ValueError("this line is no JSON object")
    for key, value in row.items():
        if key not in PROMPT_KINDS:
            raise ValueError(f"unknown key {scalars.told(key)}", near(key, PROMPT_KINDS))
        kind, words = PROMPT_KINDS[key]
        if not isinstance(value, kind):
            raise ValueError(f"'{key}' must be {words}")
        if isinstance(value, str) and half_character(value):
            raise ValueError(f"'{key}' holds half a character (a lone \\ud8xx escape)")
    if not row.get("prompt", "").strip():
        raise ValueError("there is no 'prompt' in this line")
    level = row.get("complexity")
    if level is not None and levels is not None and level not in levels:
        raise ValueError(f"there is no level {scalars.told(level)}", near(level, levels))
    return EvalPrompt(**row)


def _template(files: Files, place: Place, text: str, known: tuple[str, ...]) -> Template | None:
    found = _found(files, place, text, "file")
    if found is None:
        return None
    wanted = found.path.resolve(), known
    if wanted not in files.parsed:
        files.parsed[wanted] = _parsed(files, found, known)
    return files.parsed[wanted]


def _parsed(files: Files, found: Found, known: Iterable[str]) -> Template | None:
    words = _read(files, found, limit=templates.MAX_TEMPLATE)
    if words is None:
        return None
    try:
        template = templates.parse(words, found.path, found.shown)
    except RecipeError as error:
        _add_once(files, error.diagnostics)
        return None
    problems = list(templates.undeclared(template, known))
    _add_once(files, problems)
    return None if problems else template


def _add_once(files: Files, problems: Iterable[Diagnostic]) -> None:
    """Two categories may share a template, two teachers a file; problems are told once."""
    files.problems = list(dict.fromkeys((*files.problems, *problems)))


def _text(files: Files, place: Place, text: str, limit: int) -> tuple[Found, str] | None:
    found = _found(files, place, text, "file")
    words = None if found is None else _read(files, found, limit)
    return None if found is None or words is None else (found, words)


def _read(files: Files, found: Found, limit: int) -> str | None:
    try:
        words, sha256 = read_text(found.path, limit)
    except UnreadableText as error:
        _add_once(files, [error.diagnostic(found.shown)])
        return None
    files.digests[_name(found.path, files.ground)] = sha256
    return words


def _found(files: Files, place: Place, text: str, want: str) -> Found | None:
    span = files.span(place)
    try:
        found = paths.resolve(text, files.folder(span), files.ground, want=want)
    except PathProblem as problem:
        field_name = ".".join(map(str, place))
        files.problems.append(merge.diagnostic(problem, span, field_name))
        return None
    files.named.add(found.path)
    return found


def _name(path: Path, ground: Ground) -> str:
    resolved = path.resolve()
    if resolved.is_relative_to(ground.project):
        return resolved.relative_to(ground.project).as_posix()
    return resolved.as_posix()
