"""Templates that cannot surprise: strict names, no reach outside. What they may do: `sandbox`.

Jinja is loaded with the first template: a recipe of curated rows may have none.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jessy_build.diagnostics import Diagnostic, RecipeError, Span, code, near
from jessy_build.recipe.model import Level, Persona, Topic
from jessy_build.recipe.text import half_character
from jessy_build.teachers.asking import ONE_TURN, Shape

if TYPE_CHECKING:
    import jinja2
    from jinja2 import nodes

SYNTAX = code("R401", "a template is not well formed")
UNDECLARED = code("R402", "a template reads a name that nothing sets")
FAILS = code("R403", "a template cannot be rendered")
NOT_ALONE = code("R404", "a template takes in another file")

MAX_TEMPLATE = 256 * 1024
KNOWN = (
    *("category", "topic", "language", "language_name", "complexity", "iterations", "words"),
    *("seconds", "turns", "parts", "persona", "ordinal", "sample", "system", "asked"),
)
"""What a category's prompt may read."""
KNOWN_TO_MARKER = ("iterations", "complexity", "language", "category")
"""What `dataset.marker` may read."""
KNOWN_TO_SYSTEM = ("persona",)
KNOWN_TO_JUDGE = (
    *("rubric", "messages", "category", "topic", "language", "language_name", "complexity"),
    *("persona", "system"),
)
"""What `dataset.validate.judge.prompt` may read."""
LANGUAGE_NAMES = {"tr": "Turkish", "en": "English", "mixed": "Turkish mixed with English"}


@dataclass(frozen=True)
class Template:
    """A template that was parsed, and what it reads."""

    path: Path
    shown: str
    text: str
    names: frozenset[str]
    """What it reads and does not set itself."""
    tree: "nodes.Template" = field(repr=False, compare=False)
    compiled: "jinja2.Template" = field(repr=False, compare=False)


class RenderError(Exception):
    """A template that cannot be rendered with these variables; `line` counts from 1."""

    def __init__(self, template: Template, line: int, problem: str) -> None:
        super().__init__(f"{template.shown}:{line}: {problem}")
        self.template = template
        self.line = line
        self.problem = problem

    def diagnostic(self, field_name: str = "", hint: str = "") -> Diagnostic:
        quoted = re.search(r"'(\w+)'", self.problem)
        span = _name_span(self.template, self.line, quoted[1] if quoted else "")
        return Diagnostic(FAILS, span, field_name, self.problem, hint=hint)


def parse(text: str, path: Path, shown: str, *, spaces: bool = False) -> Template:
    """RecipeError for what is not well formed, or reaches for another file.

    What is rendered loses the spaces around it, unless `spaces` says that they are meant.
    """
    import jinja2

    from jessy_build.recipe.sandbox import Sandbox

    environment = Sandbox(keep_trailing_newline=spaces)
    try:
        tree = environment.parse(text)
        problems = list(_reaching_out(tree, text, shown))
        compiled = environment.from_string(tree)
    except jinja2.TemplateSyntaxError as error:
        problem, hint = _in_words(error.message or "this is not well formed")
        span = _line_span(shown, text, error.lineno)
        raise RecipeError([Diagnostic(SYNTAX, span, "", problem, hint=hint)]) from None
    except (RecursionError, SyntaxError, MemoryError, ValueError) as error:
        digits = "integer string conversion" in str(error)
        problem = "a number has too many digits" if digits else "the template nests too deeply"
        raise RecipeError([Diagnostic(SYNTAX, Span(shown, 1, 1, 2), "", problem)]) from None
    if problems:
        raise RecipeError(problems)
    return Template(path, shown, text, frozenset(environment.names), tree, compiled)


def packaged(name: str) -> Template:
    """One of our own: it is known to be well formed."""
    path = Path(__file__).parent.parent / "prompts" / name
    return parse(path.read_text(encoding="utf-8"), path, name)


def undeclared(template: Template, known: Iterable[str]) -> Iterator[Diagnostic]:
    """Names that neither the tool nor the template itself sets."""
    from jinja2 import nodes

    known = tuple(known)
    names = template.names - set(known)
    for node in template.tree.find_all(nodes.Name):
        if node.ctx == "load" and node.name in names:
            yield Diagnostic(
                UNDECLARED,
                _name_span(template, node.lineno, node.name),
                "",
                f"nothing sets '{node.name}'",
                expected=", ".join(known),
                hint=near(node.name, known),
            )


@lru_cache
def fields_read(template: Template, name: str) -> frozenset[str] | None:
    """Which `name.field`s the template reads; None when it uses `name` as a whole.

    Remembered, since many categories may share a long template.
    """
    from jinja2 import nodes

    read = set()
    whole = sum(node.name == name for node in template.tree.find_all(nodes.Name))
    for attribute in template.tree.find_all(nodes.Getattr):
        if isinstance(attribute.node, nodes.Name) and attribute.node.name == name:
            read.add(attribute.attr)
            whole -= 1
    for item in template.tree.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and item.node.name == name:
            if not (isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str)):
                return None
            read.add(item.arg.value)
            whole -= 1
    return None if whole else frozenset(read)


def render(template: Template, variables: Mapping[str, Any]) -> str:
    """RenderError for a name that is not set, and for whatever would not end."""
    from jessy_build.recipe.sandbox import Sandbox

    environment = template.compiled.environment
    assert isinstance(environment, Sandbox)
    environment.spent = 0
    parts = []
    try:
        context = template.compiled.new_context(dict(variables))
        for part in template.compiled.root_render_func(context):
            # What a `{% filter %}` block makes need not be text.
            text = part if isinstance(part, str) else environment.printed(part)
            environment.spend(len(text))
            parts.append(text)
    except Exception as error:
        # A template is a program of the user's: whatever it raises is theirs to mend.
        line = _failing_line(template, error.__traceback__)
        raise RenderError(template, line, _said(error)) from None
    text = "".join(parts)
    if "\0" in text or half_character(text):
        raise RenderError(template, 1, "the text it makes holds NUL or half a character")
    return text if environment.keep_trailing_newline else text.strip()


def spent(template: Template) -> int:
    """What its last rendering took of the budget."""
    return int(getattr(template.compiled.environment, "spent", 0))


def persona_variables(persona: Persona | None) -> dict[str, Any]:
    if persona is None:
        return {}
    return {"name": persona.name, "vars": persona.vars}


def variables(
    *,
    category: str,
    topic: Topic,
    language: str,
    complexity: str,
    level: Level,
    persona: Persona | None,
    system: str | None,
    ordinal: int,
    shape: Shape = ONE_TURN,
    source: Mapping[str, Any] | None = None,
    asked: Sequence[str] = (),
) -> dict[str, Any]:
    """What a prompt reads for one item: a value for each name in `KNOWN`, and `source` if any."""
    return {
        **({} if source is None else {"source": source}),
        "category": category,
        "topic": {**topic.vars, "name": topic.name},
        "language": language,
        "language_name": LANGUAGE_NAMES.get(language, language),
        "complexity": complexity,
        "iterations": level.iterations,
        "words": level.words,
        "seconds": level.seconds,
        "turns": shape.turns,
        "parts": list(shape.parts),
        "persona": persona_variables(persona),
        "ordinal": ordinal,
        "sample": ordinal,
        "system": system or "",
        "asked": list(asked),
    }


def _reaching_out(tree: "nodes.Template", text: str, shown: str) -> Iterator[Diagnostic]:
    from jinja2 import nodes

    reaching = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)
    for node in tree.find_all(reaching):
        word = "from" if isinstance(node, nodes.FromImport) else type(node).__name__.lower()
        yield Diagnostic(
            NOT_ALONE,
            _line_span(shown, text, node.lineno),
            "",
            f"'{{% {word} %}}' is not known here: a template stands alone",
            hint="write the text out, or put what is shared into persona.system",
        )


def _failing_line(template: Template, trace: TracebackType | None) -> int:
    line = 1
    while trace is not None:
        if trace.tb_frame.f_globals.get("__jinja_template__") is template.compiled:
            line = template.compiled.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


OUR_NAMES = re.compile(r"[\w.]*(Sandbox|jinja2)[\w.]*(\(\))? ")
"""Which function of ours or of Jinja's was given what it does not take says nothing to people."""


def _said(error: Exception) -> str:
    import jinja2

    from jessy_build.recipe.sandbox import Refused

    if isinstance(error, RecursionError):
        return "the template calls itself without end"
    text = OUR_NAMES.sub("", " ".join(str(error).split()))
    if isinstance(error, Refused | jinja2.TemplateError):
        return text[:300]
    return f"this cannot be worked out: {text[:300]}" if text else "this cannot be worked out"


def _line_span(shown: str, text: str, line: int) -> Span:
    words = _line(text, line)
    start = len(words) - len(words.lstrip()) + 1
    return Span(shown, max(line, 1), start, max(len(words.rstrip()) + 1, start + 1))


def _name_span(template: Template, line: int, name: str) -> Span:
    """The name where it stands in the line; Jinja itself knows no columns."""
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", _line(template.text, line))
    if not name or found is None:
        return _line_span(template.shown, template.text, line)
    return Span(template.shown, line, found.start() + 1, found.end() + 1)


def _line(text: str, number: int) -> str:
    lines = re.split(r"\r\n|\r|\n", text)
    return lines[number - 1] if 0 < number <= len(lines) else ""


NO_FILTER = re.compile(r"No (filter|test) named '([^']*)'")


def _in_words(message: str) -> tuple[str, str]:
    from jessy_build.recipe.sandbox import FILTER_NAMES, TEST_NAMES

    problem = message[:1].lower() + message[1:].rstrip(".")
    if found := NO_FILTER.match(message):
        names = FILTER_NAMES if found[1] == "filter" else TEST_NAMES
        problem = f"there is no {found[1]} '{found[2]}'"
        return problem, near(found[2], names)
    return problem, ""
