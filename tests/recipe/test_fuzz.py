"""Whatever is done to a recipe and its files, it loads or is told about; nothing else happens.

More than ten thousand mutations in each run. Each writes one file and puts it back, so that the
time goes into reading them.
"""

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jessy_build.diagnostics import RecipeError, render
from jessy_build.recipe.load import LoadedRecipe, load

GOOD = Path(__file__).parent / "good"
TEMPLATES = ("ask.j2", "system.j2")
FILES = ("full.yaml", "below.yaml", "ask.j2", "system.j2", "curated/rows.jsonl", "evaluate.jsonl")
ODD = (
    *("", "null", "~", "true", "no", "-1", "0", "1e999", ".nan", "99999999999999999999", "1.5"),
    *("[]", "{}", "[[[[", "}", "''", '"', "*a", "&a [*a]", "!!int x", "? [a]", "<<: {a: 1}", "|"),
    *("../../../../etc/passwd", "/etc/passwd", "~", ".", "/", "**/*", "*", "[", "\\0", "\u2028"),
    *("{{ x }}", "{% for a in range(9999) %}", "{{ topic.__class__ }}", "{% endif %}", "{#"),
    *("full.yaml", "all", "curated", "hf:a/b", "pypi:", "gguf:full.yaml", "path:.", "🎯", "ığüşöç"),
    *("name: x", "extends: full.yaml", "- a", "\t", "---", "...", "%YAML 1.1", "# x", ": :"),
)

JINJA = (
    *("{{ topic.__class__.__mro__ }}", "{{ ''.__class__ }}", "{{ topic|attr('__class__') }}"),
    *("{{ cycler.__init__.__globals__ }}", "{{ self }}", "{{ (1).__add__ }}", "{{ lipsum(999) }}"),
    *("{{ '{0.__class__}'.format(topic) }}", "{{ '%(a)s' % topic }}", "{{ '%s' % persona }}"),
    *(
        "{{ 'x' * 10**9 }}",
        "{{ [0] * 10**9 }}",
        "{{ 2**2**30 }}",
        "{{ 10**9**9 }}",
        "{{ -1 ** 0.5 }}",
    ),
    *("{{ 'a'|center(10**9) }}", "{{ '%1000000000d' % 1 }}", "{{ '{:>999999999}'.format(1) }}"),
    *("{{ 'x'|indent(10**9) }}", "{{ 'a b'|wordwrap(0) }}", "{{ range(10**9)|list|length }}"),
    *("{% for i in range(10**9) %}x{% endfor %}", "{% for i in topic recursive %}{{ loop(i) }}"),
    *("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% call m() %}{% endcall %}"),
    "{% set n = namespace(a=[]) %}{% for i in range(999) %}{% set n.a = n.a + [n.a] %}{% endfor %}",
    "{% set n = namespace(a='x') %}{% for i in range(99) %}{% set n.a = n.a ~ n.a %}{% endfor %}",
    *("{% include '/etc/passwd' %}", "{% import 'x' as y %}", "{% extends 'a' %}", "{% block b %}"),
    *(
        "{% raw %}",
        "{%- endraw -%}",
        "{#",
        "#}",
        "{%",
        "%}",
        "{{",
        "}}",
        "{% else %}",
        "{% endfor %}",
    ),
    *(
        "{% if %}",
        "{% set x %}",
        "{% set x = 1, %}{{ x }}",
        "{% filter upper %}",
        "{% autoescape %}",
    ),
    *(
        "{{ words.min / 0 }}",
        "{{ words[99] }}",
        "{{ topic.style.x.y }}",
        "{{ nothing }}",
        "{{ 1 2 }}",
    ),
    *("{{ [1, 2]|groupby('x') }}", "{{ dict(a=1)|tojson }}", "{{ topic|sort }}", "{{ 'a'|nope }}"),
    *(
        "{{ 1 is nope }}",
        "{{ ordinal.real.imag }}",
        "{{ loop.index }}",
        "{{ caller() }}",
        "{{ x|x|x }}",
    ),
    *(
        "(" * 300,
        "{{ " + "[" * 400 + "]" * 400 + " }}",
        "{{ 1" + "+1" * 4000 + " }}",
        "{% if 1 %}" * 200,
    ),
    *(
        "{{ 'ğ' * 99999 }}",
        "{{ '\\ud800' }}",
        "{{ persona.vars|list|join(persona) }}",
        "\x00",
        "\u2028",
    ),
)
"""What templates are mutated with: reaching out, growing without end, and plain nonsense."""

Mutate = Callable[[list[str]], list[str]]


@st.composite
def mutations(draw: st.DrawFn, odd_ones: tuple[str, ...] = ODD) -> Mutate:
    kind = draw(
        st.sampled_from(("drop", "double", "swap", "value", "insert", "indent", "cut", "key"))
    )
    where, other = draw(st.integers(0, 200)), draw(st.integers(0, 200))
    odd = draw(st.sampled_from(odd_ones) | st.text(max_size=8))

    def mutate(lines: list[str]) -> list[str]:
        if not lines:
            return [odd]
        at, to = where % len(lines), other % len(lines)
        lines = list(lines)
        match kind:
            case "drop":
                del lines[at]
            case "double":
                lines.insert(to, lines[at])
            case "swap":
                lines[at], lines[to] = lines[to], lines[at]
            case "value":
                head, colon, _ = lines[at].partition(":")
                lines[at] = f"{head}{colon} {odd}"
            case "insert":
                lines.insert(at, odd)
            case "indent":
                lines[at] = " " * (other % 7) + lines[at].strip()
            case "cut":
                lines[at] = lines[at][: other % (len(lines[at]) + 1)]
            case "key":
                lines[at] = odd + lines[at]
        return lines

    return mutate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def project(folder: Path) -> Path:
    project = folder / "project"
    shutil.copytree(GOOD, project)
    (project / "Justfile").touch()
    return project


@contextmanager
def instead(file: Path, content: bytes) -> Iterator[None]:
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


def opened_by(action: Callable[[], None]) -> set[str]:
    """The files that are opened meanwhile, Python's own apart."""
    watching.clear()
    watched[0] = True
    try:
        action()
    finally:
        watched[0] = False
    return {path for path in watching if not path.endswith((".py", ".pyc"))}


watched = [False]
watching: set[str] = set()


@pytest.fixture(scope="module", autouse=True)
def watch() -> None:
    def note(event: str, arguments: tuple[object, ...]) -> None:
        if watched[0] and event == "open" and isinstance(arguments[0], str | Path):
            watching.add(os.path.realpath(arguments[0]))
        if watched[0] and event.startswith(("socket.connect", "subprocess.", "os.system")):
            raise AssertionError(f"loading a recipe caused {event}")

    sys.addaudithook(note)


def check(project: Path, overrides: tuple[str, ...] = ()) -> None:
    """It loads, or each problem has a place that people can be shown."""
    result: LoadedRecipe | list[str] = []

    def attempt() -> None:
        nonlocal result
        try:
            result = load(project / "full.yaml", overrides)
        except RecipeError as error:
            assert error.diagnostics
            result = [render(d, lambda file: []) for d in error.diagnostics]

    began = time.process_time()
    opened = opened_by(attempt)
    assert time.process_time() - began < 10
    assert all(path.startswith(os.path.realpath(project)) for path in opened), opened
    if isinstance(result, list):
        assert all("\n" not in text.partition("\n  ")[0] for text in result), result


SETTINGS = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
    print_blob=True,
)


def mutated(file: Path, changes: list[Mutate]) -> bytes:
    lines = file.read_text(encoding="utf-8").splitlines()
    for change in changes:
        lines = change(lines)
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


@settings(SETTINGS, max_examples=6000)
@given(st.sampled_from(FILES), st.lists(mutations(), min_size=1, max_size=4))
def test_a_mutated_recipe_loads_or_is_told_about(
    project: Path, name: str, changes: list[Mutate]
) -> None:
    with instead(project / name, mutated(project / name, changes)):
        check(project)


@settings(SETTINGS, max_examples=3000)
@given(st.sampled_from(TEMPLATES), st.lists(mutations(JINJA), min_size=1, max_size=3))
def test_a_mutated_template_renders_or_is_told_about(
    project: Path, name: str, changes: list[Mutate]
) -> None:
    with instead(project / name, mutated(project / name, changes)):
        check(project)


@settings(SETTINGS, max_examples=800)
@given(st.sampled_from(FILES), st.integers(0, 4000), st.binary(max_size=6), st.integers(0, 40))
def test_random_bytes_load_or_are_told_about(
    project: Path, name: str, at: int, bytes_: bytes, removed: int
) -> None:
    data = (project / name).read_bytes()
    at %= len(data)
    with instead(project / name, data[:at] + bytes_ + data[at + removed :]):
        check(project)


@settings(SETTINGS, max_examples=600)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ("train.epochs", "categories.technical.topics.0.count", "name", "base", "a.b.c")
                + ("teachers.claude.kind", "persona.system", "extends", "evaluate.prompts", ".", "")
                + ("matrix", "pools", "store", "dataset.marker", "teachers.claude.prices.as_of")
            ),
            st.sampled_from(ODD) | st.text(max_size=8),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_override_loads_or_is_told_about(project: Path, pairs: list[tuple[str, str]]) -> None:
    check(project, tuple(f"{path}={value}" for path, value in pairs))


def test_all_of_that_took_little_memory() -> None:
    """Stands last: the most that this process ever held, in kilobytes on Linux."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert most / (1 if sys.platform == "linux" else 1024) < 1_000_000
