"""Whatever is done to a recipe and its files, it loads or is told about; nothing else happens.

10,000 examples, drawn anew in each run. To see a failure again, run with the `FUZZ_SEED` that it
prints; `FUZZ_SHARE=10` draws ten times as many.
"""

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from jessy_build.diagnostics import Diagnostic, RecipeError, render
from jessy_build.recipe import sandbox, templates
from jessy_build.recipe.load import load, source_lines
from jessy_build.recipe.model import Level, Persona, Range, Topic
from jessy_build.recipe.templates import RenderError
from tests.recipe import jinja
from tests.recipe.guard import guarded

SEED = int(os.environ.get("FUZZ_SEED", random.randrange(10**9)))
SHARE = float(os.environ.get("FUZZ_SHARE", "1"))

GOOD = Path(__file__).parent / "good"
RECIPES = ("full.yaml", "full.yaml", "full.yaml", "below.yaml")
DATA = ("curated/rows.jsonl", "evaluate.jsonl")
TEMPLATES = ("ask.j2", "ask.j2", "system.j2", "turns.jinja")
FILES = (*RECIPES, *DATA, *TEMPLATES)
ODD = (
    *("", "null", "~", "true", "no", "-1", "0", "1e999", ".nan", "99999999999999999999", "1.5"),
    *("[]", "{}", "[[[[", "}", "''", '"', "*a", "&a [*a]", "!!int x", "? [a]", "<<: {a: 1}", "|"),
    *("../../../../etc/passwd", "/etc/passwd", "~", ".", "/", "**/*", "*", "[", "\\0", "\u2028"),
    *("{{ x }}", "{% for a in range(9999) %}", "{{ topic.__class__ }}", "{% endif %}", "{#"),
    *("full.yaml", "all", "curated", "hf:a/b", "pypi:", "gguf:full.yaml", "path:.", "🎯", "ığüşöç"),
    *("name: x", "extends: full.yaml", "- a", "\t", "---", "...", "%YAML 1.1", "# x", ": :"),
    *("'\\ud83d'", '"\\ud83d"', "1_000", "0x10", "2026-11-01", "[1, 2]", "{a: {b: c}}", "x" * 300),
)
WORDS = st.sampled_from(ODD) | st.text(max_size=8)


def fuzzed(examples: int) -> Callable[[Any], Any]:
    """Nothing is kept of what fails but its seed: a database of examples would be files to keep."""
    chosen = settings(
        max_examples=max(1, int(examples * SHARE)),
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: seed(SEED)(chosen(test))


@dataclass(frozen=True)
class Mutation:
    kind: str
    where: int
    other: int
    odd: str

    def __call__(self, lines: list[str]) -> list[str]:
        if not lines:
            return [self.odd]
        at, to = self.where % len(lines), self.other % len(lines)
        lines = list(lines)
        match self.kind:
            case "drop":
                del lines[at]
            case "double":
                lines.insert(to, lines[at])
            case "swap":
                lines[at], lines[to] = lines[to], lines[at]
            case "value":
                head, colon, _ = lines[at].partition(":")
                lines[at] = f"{head}{colon} {self.odd}"
            case "word":
                words = re.split(r"([\w.-]+)", lines[at])
                words[self.other % len(words)] = self.odd
                lines[at] = "".join(words)
            case "insert":
                lines.insert(at, self.odd)
            case "indent":
                lines[at] = " " * (self.other % 7) + lines[at].strip()
            case "cut":
                lines[at] = lines[at][: self.other % (len(lines[at]) + 1)]
            case "key":
                lines[at] = self.odd + lines[at]
            case "below":
                indent = len(lines[at]) - len(lines[at].lstrip())
                lines.insert(at + 1, " " * (indent + 2) + self.odd)
        return lines


KINDS = ("drop", "double", "swap", "value", "word", "insert", "indent", "cut", "key", "below")
MUTATIONS = st.lists(
    st.builds(Mutation, st.sampled_from(KINDS), st.integers(0, 200), st.integers(0, 200), WORDS),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copied once: each example changes one file, and puts it back."""
    print(f"FUZZ_SEED={SEED}")
    folder = tmp_path_factory.mktemp("fuzz") / "project"
    shutil.copytree(GOOD, folder)
    (folder / "Justfile").touch()
    # What is imported on first use is imported now, before anybody watches.
    load(folder / "full.yaml")
    with suppress(RecipeError):
        load(folder / "full.yaml", ["base.model=a/b", "train.epoch=1", "persona.system=x"])
    return folder


def check(project: Path, overrides: tuple[str, ...] = ()) -> None:
    """It loads into what can be written down, or each problem can be shown at its place."""
    with guarded(project):
        try:
            loaded = load(project / "full.yaml", overrides)
        except RecipeError as error:
            assert error.diagnostics
            shown(error.diagnostics, overrides)
        else:
            shown(loaded.warnings, overrides)
            written = json.dumps(loaded.recipe.model_dump(mode="json"), allow_nan=False)
            for text in (written, loaded.system or "", *(str(row) for row in loaded.rows.values())):
                text.encode()


WELL_SHOWN = re.compile(r" *\d+ \| | +\| |  (expected|got|hint): ")


def shown(problems: Any, overrides: tuple[str, ...] = ()) -> None:
    lines = source_lines(overrides)
    for problem in problems:
        text = render(problem, lines)
        text.encode()
        assert all(map(WELL_SHOWN.match, text.split("\n")[1:])), text
        assert len(text) < 20_000


def changed(project: Path, name: str, data: bytes) -> None:
    path = project / name
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        check(project)
    finally:
        path.write_bytes(before)


@fuzzed(3500)
@given(st.sampled_from(RECIPES), MUTATIONS)
def test_a_mutated_recipe_loads_or_is_told_about(
    project: Path, name: str, changes: list[Mutation]
) -> None:
    lines = (project / name).read_text(encoding="utf-8").splitlines()
    for change in changes:
        lines = change(lines)
    changed(project, name, ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"))


@fuzzed(700)
@given(st.sampled_from((*DATA, *TEMPLATES)), MUTATIONS)
def test_mutated_files_load_or_are_told_about(
    project: Path, name: str, changes: list[Mutation]
) -> None:
    lines = (project / name).read_text(encoding="utf-8").splitlines()
    for change in changes:
        lines = change(lines)
    changed(project, name, ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"))


@fuzzed(500)
@given(st.sampled_from(FILES), st.integers(0, 4000), st.binary(max_size=6), st.integers(0, 40))
def test_random_bytes_load_or_are_told_about(
    project: Path, name: str, at: int, bytes_: bytes, removed: int
) -> None:
    data = (project / name).read_bytes()
    at %= len(data)
    changed(project, name, data[:at] + bytes_ + data[at + removed :])


PLACES = (
    *("train.epochs", "categories.technical.topics.0.count", "name", "base", "a.b.c", "matrix"),
    *("teachers.claude.kind", "persona.system", "extends", "evaluate.prompts", ".", "", "version"),
    *("categories.smalltalk", "categories.technical.prompt", "complexity.low", "complexity"),
    *("dataset.marker", "teachers.curated.files", "base.model", "base.chat_template", "pools"),
)


def inside_brackets(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, max_size=3).map(", ".join)
    return (
        several.map("[{}]".format) | several.map("{{a: {}}}".format) | several.map("{{{}}}".format)
    )


@fuzzed(800)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(PLACES), WORDS | st.recursive(WORDS, inside_brackets, max_leaves=4)
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_override_loads_or_is_told_about(project: Path, pairs: list[tuple[str, str]]) -> None:
    check(project, tuple(f"{path}={value}" for path, value in pairs))


@fuzzed(500)
@given(st.sampled_from(("ask.j2", "system.j2")), jinja.broken())
def test_any_template_in_a_recipe_renders_or_is_told_about(
    project: Path, name: str, text: str
) -> None:
    changed(project, name, text.encode("utf-8", "surrogatepass"))


VARIABLES = templates.variables(
    category="technical",
    topic=Topic.model_validate({"name": "rust", "style": "short"}),
    language="tr",
    complexity="low",
    level=Level(iterations=Range(1, 2), words=Range(1, 40), seconds=5),
    persona=Persona(name="JESSY", vars={"emoji": ["✨", "🚀"], "items": 3, "deep": {"a": [1]}}),
    system="You are JESSY.\n" * 20,
    ordinal=3,
)


@fuzzed(4000)
@given(jinja.templates() | jinja.broken())
def test_any_template_renders_or_is_told_about(text: str) -> None:
    with guarded():
        problems: list[Diagnostic] = []
        try:
            template = templates.parse(text, Path("ask.j2"), "ask.j2")
            problems += templates.undeclared(template, templates.KNOWN)
            templates.fields_read(template, "topic")
            made = templates.render(template, VARIABLES)
        except RecipeError as error:
            problems += error.diagnostics
        except RenderError as error:
            problems.append(error.diagnostic())
        else:
            made.encode()
            assert len(made) <= sandbox.BUDGET
            assert " object at 0x" not in made
        for problem in problems:
            rendered = render(problem, lambda file: text.split("\n"))
            rendered.encode("utf-8", "backslashreplace")
