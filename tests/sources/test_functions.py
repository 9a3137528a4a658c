"""Functions as their authors would point at them: whole, named, with what belongs to them."""

import pytest

from jessy_build.sources import cutting
from jessy_build.sources.config import Sources
from jessy_build.sources.excerpt import Excerpt


def cut(file: str, text: str) -> list[Excerpt]:
    return list(cutting.cut(text, file, Sources(files=("x",), unit="function")).excerpts)


def places(file: str, text: str) -> list[str]:
    return [f"{excerpt.name} {excerpt.lines}" for excerpt in cut(file, text)]


def texts(file: str, text: str) -> dict[str, str]:
    return {excerpt.name: excerpt.text for excerpt in cut(file, text)}


RUST = """\
//! The crate.
use std::fs;

/// Adds.
/// Twice.
// Really.
#[inline]
#[must_use]
pub fn add(a: i32) -> i32 {
    fn inner() {}
    a + a
}

struct Pair<T>(T); // behind
impl<T: Copy> Pair<T> {
    /// The first.
    pub fn first(&self) -> T { self.0 }
}
impl Show for Pair<u8> {
    #[inline] fn show(&self) {}
}
trait Show {
    fn show(&self);
    fn twice(&self) { self.show(); self.show() }
}
mod deep {
    pub async fn down() {}
}
"""


def test_rust() -> None:
    assert places("src/a.rs", RUST) == [
        "add 4-12",
        "Pair::first 16-17",
        "Pair::show 20",
        "Show::twice 24",
        "deep::down 27",
    ]
    found = texts("a.rs", RUST)
    assert found["add"].startswith(
        "/// Adds.\n/// Twice.\n// Really.\n#[inline]\n#[must_use]\npub fn"
    )
    assert found["Pair::first"] == "/// The first.\npub fn first(&self) -> T { self.0 }"
    assert found["Pair::show"] == "#[inline] fn show(&self) {}"


PYTHON = '''\
"""The module."""

# Not of the function: a line lies between.

# Of it.
@cache
@other(
    1,
)
async def outer(a: int) -> int:
    """Says so."""

    def inner() -> int:
        return a

    return inner()


class Kind:
    x = 1
    # Above.
    @property
    def name(self) -> str:
        return "çğ 🚀"  # within
        # at its end
    def next(self): pass

    class Below:
        def deep(self):
            pass
'''


def test_python() -> None:
    assert places("a.py", PYTHON) == [
        "outer 5-16",
        "Kind.name 21-25",
        "Kind.next 26",
        "Kind.Below.deep 29-30",
    ]
    found = texts("a.py", PYTHON)
    assert found["outer"].startswith("# Of it.\n@cache\n@other(") and "inner()" in found["outer"]
    assert found["Kind.name"] == (
        "# Above.\n@property\ndef name(self) -> str:\n"
        '    return "çğ 🚀"  # within\n    # at its end'
    )
    assert found["Kind.Below.deep"] == "def deep(self):\n    pass"


GO = """\
package main

// Add adds.
// It does.
func Add(a int) int { return a }

/* Push pushes. */
func (s *Stack[T]) Push(v T) {
	s.items = append(s.items, v)
}
func (Stack) Empty() bool { return true }

type Shape interface { Area() float64 }

var handler = func() {}
"""


def test_go() -> None:
    assert places("a.go", GO) == ["Add 3-5", "Stack.Push 7-10", "Stack.Empty 11"]
    assert texts("a.go", GO)["Add"] == (
        "// Add adds.\n// It does.\nfunc Add(a int) int { return a }"
    )


TYPESCRIPT = """\
/** Adds. */
export function add(a: number): number;
export function add(a: any): any { return a; }

// An arrow.
export const twice = async (a: number) => {
  const inner = () => a;
  return inner() * 2;
};
export default function () {}
export abstract class Shape<T> {
  /** Its area. */
  @memo()
  area(): number { return 0; }
  get name() { return "ş"; }
  handle = () => this.area();
  abstract draw(): void;
  #own() {}
}
namespace Deep { export function down() {} }
const cast = <number>value;
let plain = 1, some = function () {};
"""


def test_typescript() -> None:
    assert places("a.ts", TYPESCRIPT) == [
        "add 3",
        "twice 5-9",
        "default 10",
        "Shape.area 12-14",
        "Shape.name 15",
        "Shape.handle 16",
        "Shape.#own 18",
        "Deep.down 20",
        "some 22",
    ]
    found = texts("a.ts", TYPESCRIPT)
    assert found["twice"].startswith("// An arrow.\nexport const twice = async")
    assert found["Shape.area"] == "/** Its area. */\n@memo()\narea(): number { return 0; }"


def test_tsx_and_javascript() -> None:
    text = (
        "// A view.\nexport const App = (p) => <div>{p.name}</div>;\nfunction* all() { yield 1; }\n"
    )
    for file in ("a.tsx", "a.jsx", "a.js", "a.mjs"):
        assert places(file, text) == ["App 1-2", "all 3"]


C = """\
#include <stdio.h>

/* Adds.
 * Twice. */
static inline int *add(int a, int b)
{
    return 0;
}

int declared(int a);

#ifdef DEBUG
// Only then.
void trace(const char *text) { puts(text); }
#endif
int (*chosen(void))(int) { return 0; }
EXPORT int called(void) { return 1; }
static DEFINED(int) api(int a) { return a; }
"""


def test_c() -> None:
    assert places("a.c", C) == ["add 3-8", "trace 13-14", "chosen 16", "called 17", "api 18"]
    assert texts("a.h", C)["add"].startswith("/* Adds.\n * Twice. */\nstatic inline int *add")


ALL = {"a.rs": RUST, "a.py": PYTHON, "a.go": GO, "a.ts": TYPESCRIPT, "a.c": C}


@pytest.mark.parametrize("file", ALL)
def test_line_ends_of_windows_change_neither_texts_nor_lines(file: str) -> None:
    text = ALL[file]
    assert cut(file, text.replace("\n", "\r\n")) == cut(file, text)
    assert cut(file, text.rstrip("\n")) == cut(file, text)


@pytest.mark.parametrize("file", ALL)
def test_every_excerpt_stands_in_its_lines_and_is_known_by_its_name(file: str) -> None:
    lines = ALL[file].split("\n")
    excerpts = cut(file, ALL[file])
    assert len({excerpt.key for excerpt in excerpts}) == len(excerpts)
    for excerpt in excerpts:
        there = [line.strip() for line in lines[excerpt.first - 1 : excerpt.last]]
        for line, stands in zip(excerpt.text.split("\n"), there, strict=True):
            assert line.strip() in stands


@pytest.mark.parametrize("file", ALL)
def test_an_empty_file_has_no_function_and_no_error(file: str) -> None:
    for text in ("", "\n\n"):
        assert cutting.cut(text, file, Sources(files=("x",), unit="function")) == ((), ())


TORN = {
    "a.rs": "fn one() {}\n\nfn torn() { if 1 > { }\n}\n\nfn two() {}\n",
    "a.py": "def one():\n    pass\n\ndef torn(:\n    pass\n\ndef two():\n    pass\n",
    "a.go": "package a\nfunc one() {}\n\nfunc torn() { if { }\n\nfunc two() {}\n",
    "a.ts": "function one() {}\n\nfunction torn() { let = ; }\n\nfunction two() {}\n",
    "a.c": "int one() { return 1; }\n\nint torn() { if (; }\n\nint two() { return 2; }\n",
}


@pytest.mark.parametrize("file", TORN)
def test_a_syntax_error_costs_the_function_that_it_stands_in_and_is_told(file: str) -> None:
    found = cutting.cut(TORN[file], file, Sources(files=("x",), unit="function"))
    names = [excerpt.name for excerpt in found.excerpts]
    assert "one" in names and "torn" not in names and found.broken
    assert "two" in names or file == "a.go", "an open brace of Go takes the rest along"


def test_two_of_one_name_are_two_excerpts() -> None:
    text = (
        "class A:\n    @property\n    def x(self): pass\n    @x.setter\n    def x(self, v): pass\n"
    )
    assert [excerpt.key for excerpt in cut("a.py", text)] == ["a.py A.x", "a.py A.x (2)"]


def test_a_function_that_nests_without_end_is_no_crash() -> None:
    deep = "def f():\n    return " + "(" * 20_000 + ")" * 20_000 + "\n"
    assert [excerpt.name for excerpt in cut("a.py", deep)] in (["f"], [])
