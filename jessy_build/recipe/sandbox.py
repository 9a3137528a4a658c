"""What a template may do while it runs. Lists what it can call, not what it cannot.

Each turn of a loop, each character made and each list that is gone through counts against one
budget, so that no template runs or grows without end.
"""

import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from types import CodeType
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.idtracking import VAR_LOAD_RESOLVE
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from jessy_build.recipe.model import Range

BUDGET = 1_000_000
"""Characters that one rendering may handle."""
TURN = 10
"""What one turn of a loop counts for."""
PRINTED = 4
"""What each `{{ }}` counts for, beside its characters."""
STEP = 4
"""What one item of a list counts for that is gone through."""
GLANCE = 4
"""Characters that are looked at for what one costs that is made."""
MAX_RANGE = 10_000
MAX_NUMBER = 10**15
MAX_DIGITS = 15
MAX_ARGUMENTS = 100


class Refused(Exception):
    pass


def _range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > MAX_RANGE:
        raise Refused(f"a range goes over {MAX_RANGE:,} numbers")
    return numbers


def _as_json(environment: "Sandbox", value: Any) -> str:
    parts = []
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        environment.spend(len(part))
        parts.append(part)
    return "".join(parts)


def _join(environment: "Sandbox", value: Iterable[Any], between: str = "") -> str:
    parts = []
    for part in value:
        parts.append(environment.printed(part))
        environment.spend(len(between) + len(parts[-1]))
    return between.join(parts)


def _replace(environment: "Sandbox", text: str, old: str, new: str) -> str:
    environment.spend(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def _indent(environment: "Sandbox", text: str, width: int = 4, first: bool = False) -> str:
    lines = text.splitlines(keepends=True)
    environment.spend(len(lines) * max(width, 0))
    padded = [" " * width + line if line.strip() else line for line in lines]
    return "".join(padded if first else [*lines[:1], *padded[1:]])


def _round(
    environment: "Sandbox", value: float, precision: int = 0, method: str = "common"
) -> float:
    if abs(precision) > MAX_DIGITS:
        raise Refused(f"a number has at most {MAX_DIGITS} digits to be rounded to")
    return cast(float, FILTERS["round"](value, precision, method))


GLOBALS: dict[str, Any] = {"range": _range, "namespace": Namespace}
OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "tojson": _as_json,
    "join": _join,
    "replace": _replace,
    "indent": _indent,
    "round": _round,
}
"""Those that make more than they are given: each counts it before it makes it."""
PLAIN_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items"),
    *("last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse"),
    *("select", "selectattr", "sort", "title", "trim", "truncate", "unique", "upper"),
    "wordcount",
)
FILTER_NAMES = (*PLAIN_FILTERS, *OWN_FILTERS)
TEST_NAMES = tuple(name for name in TESTS if name not in ("filter", "test"))
METHODS: dict[type, frozenset[str]] = {
    str: frozenset(
        ("capitalize", "count", "endswith", "find", "isdigit", "lower", "lstrip", "removeprefix")
        + ("removesuffix", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper")
    ),
    dict: frozenset(("get", "items", "keys", "values")),
    list: frozenset(("count", "index")),
    Range: frozenset(("min", "max")),
}


class _NamingGenerator(CodeGenerator):
    """Notes, while it compiles, which names the template reads and does not set itself."""

    def enter_frame(self, frame: Frame) -> None:
        super().enter_frame(frame)
        for action, name in frame.symbols.loads.values():
            if action == VAR_LOAD_RESOLVE and name not in GLOBALS:
                cast(Sandbox, self.environment).names.add(str(name))


class Sandbox(ImmutableSandboxedEnvironment):
    """One for each template: it also keeps count of what the rendering has spent."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))
    code_generator_class = _NamingGenerator

    def __init__(self, keep_trailing_newline: bool = False) -> None:
        super().__init__(
            keep_trailing_newline=keep_trailing_newline,
            undefined=_Undefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=self.printed,
            cache_size=0,
            # Nothing is worked out before it is rendered: it would be neither counted nor placed.
            optimized=False,
        )
        self.spent = 0
        self.names: set[str] = set()
        self.globals = dict(GLOBALS)
        self.tests = {name: self._counted(cast(Any, TESTS[name])) for name in TEST_NAMES}
        self.tests |= {"odd": self._odd, "even": self._even, "divisibleby": self._divisible}
        self.filters = {name: self._counted(FILTERS[name]) for name in PLAIN_FILTERS}
        for name, make in OWN_FILTERS.items():
            self.filters[name] = self._own(make)

    def spend(self, amount: int) -> None:
        self.spent += amount
        if self.spent > BUDGET:
            raise Refused(f"the template makes more than {BUDGET:,} characters, or does not end")

    def turn(self, characters: int) -> str:
        self.spend(TURN + characters)
        return ""

    def weighed(self, value: Any) -> Any:
        """The value itself, once it is clear that it may be gone through."""
        self.spend(_weight(value))
        return value

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(obj, jinja2.runtime.Macro) and len(args) + len(kwargs) > MAX_ARGUMENTS:
            raise Refused(f"a macro is called with more than {MAX_ARGUMENTS} values")
        self.spend(sum(map(_weight, args)))
        return super().call(context, obj, *args, **kwargs)

    def printed(self, value: Any) -> Any:
        """What `{{ value }}` writes; Python's view of a list or a mapping is never meant."""
        if isinstance(value, jinja2.Undefined):
            return str(value)
        if isinstance(value, str | int | float | Range):
            text = str(value)
            self.spend(len(text) + PRINTED)
            return text
        if isinstance(value, Mapping):
            fields = ", ".join(map(str, value)) or "nothing"
            raise Refused(f"a mapping cannot be printed: name one of its fields ({fields})")
        if isinstance(value, list | tuple) or hasattr(value, "__next__"):
            raise Refused("a list cannot be printed: write it with `| join(', ')`")
        raise Refused(f"{_kind(value)} cannot be printed")

    def joined(self, *values: Any) -> str:
        return "".join(self.printed(value) for value in values)

    def flat(self, values: Any) -> Any:
        """Lists within lists written in a template could grow without bound while it runs."""
        inner = values.values() if isinstance(values, dict) else values
        for value in inner:
            if not isinstance(value, str | int | float | jinja2.Undefined):
                raise Refused("a list written in a template holds texts and numbers only")
        return values

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return self.joined(left, right)
        for value in (left, right):
            if isinstance(value, jinja2.Undefined):
                str(value)
            if not isinstance(value, int | float):
                raise Refused(f"'{operator}' takes numbers, not {_kind(value)}")
            if abs(value) > MAX_NUMBER or (operator == "**" and abs(value) > 64):
                raise Refused(f"a number is too large for '{operator}'")
        return super().call_binop(context, operator, left, right)

    # Jinja's own divide whatever they are given, and a text that is divided is Python's formatting.

    def _divisible(self, value: Any, number: Any) -> bool:
        return bool(self.call_binop(None, "%", value, number) == 0)

    def _even(self, value: Any) -> bool:
        return self._divisible(value, 2)

    def _odd(self, value: Any) -> bool:
        return bool(self.call_binop(None, "%", value, 2) == 1)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if attr.startswith("_"):
            return False
        if isinstance(obj, LoopContext | Namespace):
            return True
        return attr in METHODS.get(type(obj), ())

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        problem = f"'{attribute}' cannot be read in a template"
        return self.undefined(problem, name=attribute, obj=obj, exc=SecurityError)

    def is_safe_callable(self, obj: Any) -> bool:
        if isinstance(obj, jinja2.Undefined):
            str(obj)
        if self._may_call(obj):
            return True
        name = getattr(obj, "__name__", "")
        raise SecurityError(f"'{name or 'this'}' cannot be called in a template")

    def _may_call(self, obj: Any) -> bool:
        if obj in (self.turn, self.joined, self.flat, self.weighed, _range, Namespace):
            return True
        if isinstance(obj, jinja2.runtime.Macro):
            return True
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, LoopContext):
            return True
        if isinstance(owner, str | dict | list):
            self.spend(len(owner))
            return getattr(obj, "__name__", "") in METHODS[type(owner)]
        return isinstance(obj, LoopContext)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        _count_turns(source)
        return super()._generate(_Bounding().visit(source), *args, **kwargs)

    def _compile(self, source: str, filename: str) -> CodeType:
        with warnings.catch_warnings():
            # Python's doubts about `none[0]` are told when it is rendered.
            warnings.simplefilter("ignore", SyntaxWarning)
            return super()._compile(source, filename)

    def _own(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            return make(self, *args, **kwargs)

        return run

    def _counted(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """A filter or test of Jinja's that pays for what it goes through, and for what it makes."""

        @wraps(make)
        def run(*args: Any, **kwargs: Any) -> Any:
            self.spend(1 + sum(map(_weight, args)))
            made = make(*args, **kwargs)
            return self._each(made) if isinstance(made, Iterator) else self.weighed(made)

        return run

    def _each(self, values: Iterator[Any]) -> Iterator[Any]:
        for value in values:
            self.spend(STEP)
            yield value


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value) // GLANCE
    return STEP * len(value) if isinstance(value, list | tuple | dict | range) else 0


class _Undefined(jinja2.StrictUndefined):
    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name = self._undefined_name
        if self._undefined_hint:
            return self._undefined_hint
        if not isinstance(self._undefined_obj, Mapping):
            return f"nothing sets '{name}'"
        fields = ", ".join(map(str, self._undefined_obj)) or "nothing"
        return f"there is no field '{name}' here (there is {fields})"


class _Bounding(NodeTransformer):
    """Sends what makes texts and lists, or goes through them, by the environment, which counts."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call("joined", node.nodes, node.lineno)

    def visit_List(self, node: nodes.List | nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _call("flat", [node], node.lineno)

    visit_Dict = visit_List

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _call("flat", [node], node.lineno) if node.ctx == "load" else node

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        if isinstance(node.value, float) and not math.isfinite(node.value):
            raise jinja2.TemplateSyntaxError("a number is too large", node.lineno)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _weighed(node.node)
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        if node.test is not None:
            # What the condition passes over takes no turn.
            node.iter = _weighed(node.iter)
        return node


def _weighed(node: Any) -> Any:
    return node if isinstance(node, nodes.Const) else _call("weighed", [node], node.lineno)


def _call(name: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    function = nodes.EnvironmentAttribute(name, lineno=line)
    return nodes.Call(function, arguments, [], None, None, lineno=line)


def _count_turns(tree: nodes.Template) -> None:
    kinds: Any = (nodes.For, nodes.Macro, nodes.CallBlock)
    for kind in kinds:
        for node in list(tree.find_all(kind)):
            written = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
            turn = _call("turn", [nodes.Const(written, lineno=node.lineno)], node.lineno)
            node.body.insert(0, nodes.ExprStmt(turn, lineno=node.lineno))


def _kind(value: Any) -> str:
    words = {type(None): "null", str: "text", dict: "a mapping", list: "a list", tuple: "a list"}
    return words.get(type(value), "this")
