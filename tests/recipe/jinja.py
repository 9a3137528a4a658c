"""Templates of all that Jinja can say, and of what it should not be able to say here."""

import re

from hypothesis import strategies as st

from jessy_build.recipe.sandbox import FILTER_NAMES, METHODS, TEST_NAMES

NAMES = (
    *("topic", "topic.name", "topic.style", "persona", "persona.name", "persona.vars.emoji"),
    *("persona.vars", "language", "words", "words.min", "iterations", "system", "ordinal", "turns"),
    *("x", "y", "ns", "ns.x", "f", "true", "none"),
)
AT_TIMES = (
    *("topic.stile", "loop", "loop.index", "loop.length", "loop.previtem", "loop.cycle", "missing"),
    *("loop.changed", "loop.depth", "varargs", "kwargs", "caller", "self", "range", "namespace"),
    *("cycler", "lipsum", "joiner", "dict"),
)
DUNDERS = (
    *("__class__", "__mro__", "__subclasses__", "__init__", "__globals__", "__dict__", "__doc__"),
    *("__builtins__", "__getitem__", "__call__", "__reduce__", "__format__", "_x", "mro", "format"),
    *("format_map", "encode", "append", "environment", "_func", "gi_frame", "func_globals"),
)
NUMBERS = (
    "0",
    "1",
    "-1",
    "7",
    "2.5",
    "1e308",
    "1e999",
    "64",
    "10000",
    "10001",
    "999999999999999999",
)
TEXTS = (
    *("''", "'a'", "'ab'", "'%s'", "'%999999999d'", "'{0.__class__}'", "'{x}'", "'ı🎯'", "'\\n'"),
    *("'\\ud83d'", "'\\0'", "'__class__'", "'/etc/passwd'", "'<b>'", "' '", "'x' * 9", "'upper'"),
)
OPERATORS = (
    *("+", "-", "*", "/", "//", "%", "**", "~", "and", "or", "in", "not in", "==", "!=", "<", ">="),
    *("is sameas", "is in", "is eq"),
)
METHOD_NAMES = tuple(sorted({name for names in METHODS.values() for name in names}))
FILTERS = (
    *FILTER_NAMES,
    *("attr", "format", "xmlattr", "pprint", "groupby", "sum", "batch", "slice", "center"),
    *("wordwrap", "urlize", "filesizeformat", "safe", "escape", "string", "random", "striptags"),
)
LITERALS = st.sampled_from((*NAMES, *NAMES, *NAMES, *AT_TIMES, *NUMBERS, *TEXTS))


SHAPES = (
    # What an expression is made of: N a name or a literal, E an expression, A arguments.
    *(
        "N",
        "N",
        "N",
        "(E O E)",
        "(E O E)",
        "E | F",
        "E | F",
        "E | F(A)",
        "E is T",
        "E is T(E)",
        "E is not T",
    ),
    *("E.M(A)", "N.D", "N['D']", "E[E]", "E[N:N]", "E[::N]", "N(A)", "[E, E]", "(E,)", "{N: E}"),
    *("(E if E else E)", "not E", "-E", "E ~ E"),
)
ARGUMENTS = ("", "E", "E, E", "*E", "**E", "attribute=E", "x=E", "E, E, E", "E, *E, **E")
STATEMENTS = (
    # B is a body, which is made of statements again.
    *("{{ E }}", "{{ E }}", "{{ E }}", "{{ E }}", "çay\nB", "{% for x in E %}B{% endfor %}"),
    *("{% for x in range(R) %}B{% endfor %}", "{% for x in range(R) %}B{% else %}B{% endfor %}"),
    "{% for x in E if E recursive %}B{{ loop(E) }}{% else %}B{% endfor %}",
    *("{% for x, y in E.items() %}B{% endfor %}", "{% set x = E %}B", "{% set x, y = E, E %}B"),
    "{% set ns = namespace(x=E) %}{% for y in range(50) %}{% set ns.x = E %}B{% endfor %}",
    *("{% set x %}B{% endset %}{{ E }}", "{% set x | F %}B{% endset %}{{ x }}"),
    *("{% macro f(x, y=E) %}B{% endmacro %}{{ f(A) }}", "{% macro f(x) %}{{ f(x) }}{% endmacro %}"),
    "{% macro f(x) %}{{ caller(A) }}B{% endmacro %}{% call(y) f(E) %}B{% endcall %}",
    *("{% if E %}B{% elif E %}B{% else %}B{% endif %}", "{% filter F %}B{% endfilter %}"),
    *("{% filter F(A) %}B{% endfilter %}", "{% with x = E %}B{% endwith %}", "{# E #}"),
    *("{%- if E -%} B {%- endif -%}", "{% raw %}{{ E {% endraw %}"),
)
REFUSED = (
    *("{% include 'ask.j2' %}", "{% import 'ask.j2' as m %}", "{% extends '/etc/passwd' %}"),
    *("{% from 'x' import y %}", "{% block b %}B{% endblock %}", "{% do E %}", "{% if E %}B"),
    *("{% autoescape true %}B{% endautoescape %}", "{% trans %}B{% endtrans %}", "{% debug %}"),
)
GIVEN = (
    # So that not every other expression ends with a name that nothing sets.
    "{% set x = 'ab' %}{% set y = [3, 1, 2] %}{% set ns = namespace(x='ab') %}"
    "{% macro f(a, b=1) %}{{ a }}{% endmacro %}"
)
RANGES = ("10", "9999", "10000", "10001", "10**9", "0, 10000, 3", "0, 10, 0", "5, -5")
HOLE = re.compile(r"\b[NEOFATMDRB]\b|\bB(?=[{\s]|$)|(?<=[}\n])B")


@st.composite
def templates(draw: st.DrawFn) -> str:
    """One to three statements, each of which may hold others."""
    return GIVEN + "".join(_filled(draw, "B", 3) for _ in range(draw(st.integers(1, 3))))


def _filled(draw: st.DrawFn, shape: str, depth: int) -> str:
    return HOLE.sub(lambda hole: _part(draw, hole.group(), depth), shape)


def _part(draw: st.DrawFn, kind: str, depth: int) -> str:
    match kind:
        case "N":
            return draw(LITERALS)
        case "E" if depth <= 0:
            return draw(LITERALS)
        case "E":
            return _filled(draw, draw(EXPRESSION), depth - 1)
        case "A":
            return _filled(draw, draw(st.sampled_from(ARGUMENTS)), depth - 1)
        case "B" if depth <= 0:
            return ""
        case "B":
            return _filled(draw, draw(STATEMENT), depth - 1)
    return draw(WORDS[kind])


EXPRESSION = st.sampled_from(SHAPES)
STATEMENT = st.sampled_from((*STATEMENTS, *STATEMENTS, *STATEMENTS, REFUSED)).flatmap(
    lambda found: st.sampled_from(found) if found is REFUSED else st.just(found)
)
WORDS = {
    "O": st.sampled_from(OPERATORS),
    "F": st.sampled_from(FILTERS),
    "T": st.sampled_from(TEST_NAMES),
    "M": st.sampled_from(METHOD_NAMES),
    "D": st.sampled_from(DUNDERS),
    "R": st.sampled_from(RANGES),
}
ODD = (
    *("{{", "}}", "{%", "%}", "{#", "#}", "-", "|", "(", ")", "[", "'", '"', "\\", ".", "__"),
    *("*", "\n", "\0", "\u2028"),
)


@st.composite
def broken(draw: st.DrawFn) -> str:
    """A template with something cut out of it, put into it, or moved."""
    text = draw(templates())
    for _ in range(draw(st.integers(0, 2))):
        at, to = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        match draw(st.integers(0, 3)):
            case 0:
                text = text[:at] + text[to:]
            case 1:
                text = text[:at] + draw(st.sampled_from(ODD)) + text[at:]
            case 2:
                text = text[:to] + text[at:]
            case 3:
                text = text[:at] + draw(st.text(max_size=4)) + text[at:]
    return text
