"""A template reads what is set for it, reaches nothing else, and comes to an end."""

import time
from pathlib import Path
from typing import Any

import pytest

from jessy_build.diagnostics import RecipeError, Span
from jessy_build.recipe import templates
from jessy_build.recipe.model import Level, Persona, Range, Topic
from jessy_build.recipe.templates import RenderError, Template

LOW = Level(iterations=Range(1, 2), words=Range(1, 40), seconds=5)
PERSONA = Persona(name="JESSY", vars={"emoji": ["✨", "🚀"], "items": 3, "deep": {"a": [1]}})
VARIABLES = templates.variables(
    category="technical",
    topic=Topic.model_validate({"name": "rust", "style": "short"}),
    language="tr",
    complexity="low",
    level=LOW,
    persona=PERSONA,
    system="You are JESSY.",
    ordinal=3,
)


def parse(text: str) -> Template:
    return templates.parse(text, Path("ask.j2"), "ask.j2")


def render(text: str) -> str:
    return templates.render(parse(text), VARIABLES)


RENDERED = [
    ("{{ topic.name }}, {{ topic['style'] }}", "rust, short"),
    ("{{ words.min }}-{{ words.max }} = {{ words }}", "1-40 = 1-40"),
    ("{{ persona.vars.emoji | join(' ') }}", "✨ 🚀"),
    # A variable may be called as a method of a mapping is.
    ("{{ persona.vars.items }}", "3"),
    ("{{ language_name }} ({{ language }})", "Turkish (tr)"),
    ("{{ category }} {{ complexity }} {{ ordinal + 1 }} {{ sample }}", "technical low 4 3"),
    ("{{ 'x' ~ ordinal ~ topic.name }}", "x3rust"),
    ("{{ topic.name + '!' }}", "rust!"),
    ("{{ 7 % 4 }} {{ 2 ** 5 }} {{ 6 * 7 }}", "3 32 42"),
    ("{% for e in persona.vars.emoji %}{{ loop.index }}{{ e }}{% endfor %}", "1✨2🚀"),
    ("{% for i in range(3) %}{{ i }}{% endfor %}", "012"),
    ("{% set tones = ['warm', 'dry'] %}{{ tones[ordinal % 2] }}", "dry"),
    ("{{ 'yes' if topic.name in ('rust', 'go') else 'no' }}", "yes"),
    ("{% if topic.mood is defined %}{{ topic.mood }}{% endif %}none", "none"),
    ("{{ topic.mood | default('calm') }}", "calm"),
    ("{{ topic.name.upper() }} {{ topic.name | upper }}", "RUST RUST"),
    ("{{ persona.vars.deep | tojson }}", '{"a": [1]}'),
    ("{{ 'a b'.split(' ') | join('+') }}", "a+b"),
    ("{{ 'aXa' | replace('a', 'bb') }}", "bbXbb"),
    ("{{ 'a\\nb' | indent(2) }}", "a\n  b"),
    ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) }}{{ m(2) }}", "<1><2>"),
    ("{% set ns = namespace(n=0) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}"
     "{{ ns.n }}", "6"),
    ("{% if true %}\n  a\n{% endif %}\nb\n", "a\nb"),
    ("  {#- a comment -#}  \n a", "a"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), RENDERED)
def test_a_template_says_what_it_reads(text: str, expected: str) -> None:
    assert render(text) == expected


def turns(text: str) -> str:
    return "{% for i in range(9999) %}" + text + "{% endfor %}"


REFUSED = [
    ("{{ topic.stile }}", "there is no field 'stile' here (there is style, name)"),
    ("{{ topic.stile.x }}", "there is no field 'stile' here (there is style, name)"),
    ("{{ topic.stile ~ 'x' }}", "there is no field 'stile' here (there is style, name)"),
    ("{{ topic.stile + 'x' }}", "there is no field 'stile' here (there is style, name)"),
    ("{{ topic }}", "a mapping cannot be printed: name one of its fields (style, name)"),
    ("{{ persona.vars.emoji }}", "a list cannot be printed: write it with `| join(', ')`"),
    ("{{ persona.vars.emoji | map('upper') }}", "a list cannot be printed: write it with "
     "`| join(', ')`"),
    ("{{ 1 / 0 }}", "this cannot be worked out: division by zero"),
    # Out of the sandbox.
    ("{{ ''.__class__ }}", "'__class__' cannot be read in a template"),
    ("{{ topic.name['__class__'] }}", "'__class__' cannot be read in a template"),
    ("{{ topic.name.format(1) }}", "'format' cannot be called in a template"),
    ("{{ topic.name.encode() }}", "'encode' cannot be read in a template"),
    ("{{ persona.vars.emoji.append(1) }}", "'append' cannot be read in a template"),
    ("{{ namespace.__init__ }}", "'__init__' cannot be read in a template"),
    ("{{ range.__globals__ }}", "'__globals__' cannot be read in a template"),
    ("{{ topic.name() }}", "'this' cannot be called in a template"),
    ("{{ persona.vars.emoji | map(attribute='__class__') | join }}",
     "'__class__' cannot be read in a template"),
    # Without end, or without bound.
    ("{% for i in range(10001) %}{% endfor %}", "a range goes over 10,000 numbers"),
    ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "ENDLESS"),
    ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "the template calls itself without end"),
    ("{% for i in range(9999) %}{{ 'x' * 10 }}{% endfor %}", "'*' takes numbers, not text"),
    ("{{ [1] * 1000000000 }}", "'*' takes numbers, not a list"),
    ("{{ 9 ** 9 ** 9 }}", "a number is too large for '**'"),
    ("{{ '%1000000000d' % 1 }}", "'%' takes numbers, not text"),
    ("{{ '%1000000000d' is odd }}", "'%' takes numbers, not text"),
    ("{{ '%1000000000d' is even }}", "'%' takes numbers, not text"),
    ("{{ '%1000000000d' is divisibleby 1 }}", "'%' takes numbers, not text"),
    ("{{ ['%1000000000d'] | select('odd') | first }}", "'%' takes numbers, not text"),
    ("{% for i in range(9999) %}" + "x" * 200 + "{% endfor %}", "ENDLESS"),
    ("{% set a %}{% for i in range(9999) %}" + "x" * 200 + "{% endfor %}{% endset %}", "ENDLESS"),
    ("{% set n = namespace(a='xx') %}{% for i in range(60) %}{% set n.a = n.a ~ n.a %}"
     "{% endfor %}", "ENDLESS"),
    ("{% set n = namespace(a='xx') %}{% for i in range(60) %}{% set n.a = n.a + n.a %}"
     "{% endfor %}", "ENDLESS"),
    ("{% set n = namespace(a='xx') %}{% for i in range(60) %}{% set n.a = [n.a, n.a] | join %}"
     "{% endfor %}", "ENDLESS"),
    ("{% set n = namespace(a='xx') %}{% for i in range(60) %}"
     "{% set n.a = n.a | replace('x', 'xx') %}{% endfor %}", "ENDLESS"),
    ("{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}"
     "{% endfor %}", "a list written in a template holds texts and numbers only"),
    ("{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = {'a': n.a, 'b': n.a} %}"
     "{% endfor %}", "a list written in a template holds texts and numbers only"),
    ("{{ 'x\\n' | indent(2000000000) }}", "ENDLESS"),
    # Few turns and few characters, but long lists and texts that each turn goes through.
    (turns("{% if range(9999) | list | sort | unique | list %}{% endif %}"), "ENDLESS"),
    (turns("{% set a = range(9999) | min %}"), "ENDLESS"),
    (turns("{% set a = range(9999) | select('odd') | list %}"), "ENDLESS"),
    (turns("{% set a = range(9999) | select('gt', 9999) | list %}"), "ENDLESS"),
    (turns("{% set a = range(9999) | map('abs') | list %}"), "ENDLESS"),
    (turns("{% for j in range(9999) if j < 0 %}{% endfor %}"), "ENDLESS"),
    ("{% set l = range(9999) | list %}" + turns("{% set a = 'x' in l %}"), "ENDLESS"),
    ("{% set l = range(9999) | list %}" + turns("{% set a = l == l[1:] %}"), "ENDLESS"),
    ("{% set l = range(9999) | list %}" + turns("{% set a = 1 is in(l) %}"), "ENDLESS"),
    ("{% set l = range(9999) | list %}" + turns("{% set a = l[1:] %}"), "ENDLESS"),
    ("{% set l = range(9999) | list %}{% macro m() %}{{ varargs[0] }}{% endmacro %}"
     + turns("{{ m(*l) }}"),
     "a macro is called with more than 100 values"),
    ("{% set a %}" + "x" * 9999 + "{% endset %}" + turns("{% set b = a | title %}"), "ENDLESS"),
    ("{{ 15 | round(-1000000000) }}", "a number has at most 15 digits to be rounded to"),
    ("{{ 15 | round(1000000000, 'ceil') }}", "a number has at most 15 digits to be rounded to"),
    # What no text may hold.
    ("{{ '\\ud83d' }}", "the text it makes holds NUL or half a character"),
    ("{{ '\\0' }}", "the text it makes holds NUL or half a character"),
]  # fmt: skip
ENDLESS = "the template makes more than 1,000,000 characters, or does not end"


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_a_template_cannot_do_this(text: str, problem: str) -> None:
    template = parse(text)
    began = time.process_time()
    with pytest.raises(RenderError) as error:
        templates.render(template, VARIABLES)
    assert error.value.problem == problem.replace("ENDLESS", ENDLESS)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ topic.name", "unexpected end of template, expected 'end of print statement'"),
        ("{% if x %}", "unexpected end of template"),
        ("{{ x | uper }}", "there is no filter 'uper'"),
        ("{{ x | random }}", "there is no filter 'random'"),
        ("{{ x is odder }}", "there is no test 'odder'"),
        ("{{ " + "(" * 9999, "the template nests too deeply"),
        ("{{ " + "9" * 9999 + " }}", "a number has too many digits"),
        ("{% for a in b %}" * 40 + "{% endfor %}" * 40, "the template nests too deeply"),
        ("{% include 'a' %}", "'{% include %}' is not known here: a template stands alone"),
        ("{% extends 'a' %}", "'{% extends %}' is not known here: a template stands alone"),
        ("{% import 'a' as b %}", "'{% import %}' is not known here: a template stands alone"),
        ("{% from 'a' import b %}", "'{% from %}' is not known here: a template stands alone"),
    ],
)
def test_a_template_is_refused_before_it_is_rendered(text: str, problem: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse(text)
    assert error.value.diagnostics[0].problem.startswith(problem)


def found(text: str, known: tuple[str, ...] = templates.KNOWN) -> list[tuple[Span, str, str]]:
    return [(d.span, d.problem, d.hint) for d in templates.undeclared(parse(text), known)]


def test_a_name_that_nothing_sets_is_placed_in_its_line() -> None:
    assert found("Write\nabout {{ topc.name }} in {{ langauge }}.") == [
        (Span("ask.j2", 2, 10, 14), "nothing sets 'topc'", "did you mean 'topic'?"),
        (Span("ask.j2", 2, 29, 37), "nothing sets 'langauge'", "did you mean 'language'?"),
    ]


def test_what_a_template_sets_itself_is_known() -> None:
    assert found("{% set a = 1 %}{% for b in range(a) %}{{ b }}{{ loop.index }}{% endfor %}") == []
    assert found("{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1) }}") == []
    assert [p for _, p, _ in found("{% for b in [1] %}{% endfor %}{{ b }}")] == ["nothing sets 'b'"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("{{ topic.name }}{{ topic['style'] }}", {"name", "style"}),
        ("{{ topic.a.b }}", {"a"}),
        ("{% if topic.a is defined %}{% endif %}", {"a"}),
        ("{{ topic | tojson }}", None),
        ("{{ topic[language] }}", None),
        ("{% for k, v in topic.items() %}{% endfor %}", {"items"}),
        ("nothing", set()),
    ],
)
def test_the_fields_that_a_template_reads_are_known(text: str, read: set[str] | None) -> None:
    assert templates.fields_read(parse(text), "topic") == read


def test_a_failing_line_is_named() -> None:
    with pytest.raises(RenderError) as error:
        render("a\nb\n{% for i in range(2) %}\n{{ topic.mood }}\n{% endfor %}\n")
    assert error.value.line == 4
    assert error.value.diagnostic().span == Span("ask.j2", 4, 10, 14)


def test_one_rendering_does_not_pay_for_another() -> None:
    template = parse("{% for i in range(9000) %}" + "x" * 50 + "{% endfor %}")
    for _ in range(5):
        assert len(templates.render(template, VARIABLES)) == 450_000


def test_every_known_name_has_a_value() -> None:
    assert set(VARIABLES) == set(templates.KNOWN)


def test_a_persona_that_is_not_there_has_no_fields() -> None:
    variables: dict[str, Any] = {**VARIABLES, "persona": templates.persona_variables(None)}
    with pytest.raises(RenderError, match="there is no field 'name' here"):
        templates.render(parse("{{ persona.name }}"), variables)
