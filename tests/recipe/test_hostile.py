"""Files that were made to hang, flood or fool whoever reads them: one clear answer, in bounds.

Each case is loaded by a process of its own, which the kernel stops where it goes out of bounds.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jessy_build.recipe import text
from jessy_build.teachers.rows import MAX_LINE
from tests.recipe import bounded

RECIPE = """\
recipe: 1
name: small
version: v1
base: {model: hf:org/name, revision: "0123456789012345678901234567890123456789"}
persona: {name: J, system: system.j2}
teachers:
  curated: {kind: curated, files: [rows/*.jsonl]}
  local: {kind: ollama, model: small}
categories:
  smalltalk: {teacher: curated, count: all}
  technical: {teacher: local, count: 3, prompt: ask.j2}
evaluate: {prompts: evaluate.jsonl}
train: {epochs: 2}
"""
ROW = '{"user": "naber", "assistant": "İyi!"}\n'
NAMED = ("recipe.yaml", "system.j2", "ask.j2", "rows/rows.jsonl", "evaluate.jsonl")
"""One file of each kind that is read."""
HUNDRED_MB = 100 << 20
LONGEST = text.MAX_BYTES - 1000

Make = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    files = {
        "Justfile": "",
        "recipe.yaml": RECIPE,
        "system.j2": "You are {{ persona.name }}.",
        "ask.j2": "Ask about {{ topic.name }} in {{ words }} words.",
        "rows/rows.jsonl": '{"category": "smalltalk", ' + ROW[1:],
        "evaluate.jsonl": '{"prompt": "naber"}\n',
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def told(folder: Path) -> list[str]:
    """The first lines of what is told, after it was made sure that it took neither time nor room.

    The least that a recipe takes is 40 MB and a few hundredths of a second.
    """
    took = bounded.load(folder)
    assert took.seconds < 10
    assert took.megabytes < 300
    assert sum(map(len, took.problems)) < 200_000, "this is a flood"
    return [problem.partition("\n")[0] for problem in took.problems]


def long_file(path: Path, piece: bytes, size: int = HUNDRED_MB) -> None:
    with path.open("wb") as file:
        for _ in range(size // (1 << 20)):
            file.write(piece * ((1 << 20) // len(piece)))


def test_the_recipe_itself_is_right(folder: Path) -> None:
    assert told(folder) == []


@pytest.mark.parametrize("piece", [b"\0", b"a", b"a: 1\n", b"\n", "ş".encode()])
@pytest.mark.parametrize(
    ("name", "limit"),
    [("recipe.yaml", 1024), ("system.j2", 256), ("ask.j2", 256), ("evaluate.jsonl", 16384)],
)
def test_a_file_of_100_mb_is_not_read_to_its_end(
    folder: Path, name: str, limit: int, piece: bytes
) -> None:
    long_file(folder / name, piece)
    assert told(folder) == [f"{name}:1:1: error[R002]: the file is larger than {limit} kB"]


@pytest.mark.parametrize("around", [b"", ROW.encode()])
def test_a_curated_line_of_100_mb_costs_only_itself(folder: Path, around: bytes) -> None:
    path = folder / "rows/rows.jsonl"
    long_file(path, b"x")
    with path.open("ab") as file:
        file.write(b"\n" + around)
    assert told(folder) == ["rows/rows.jsonl:1:1: error[D104]: the line is longer than 1024 kB"]


@pytest.mark.parametrize("piece", [b"x\n", b"{}\n", b"\xff\n", b'{"user": {"a": [1]}}\n'])
def test_100_mb_of_curated_lines_that_are_no_rows_are_told_in_short(
    folder: Path, piece: bytes
) -> None:
    long_file(folder / "rows/rows.jsonl", piece)
    problems = told(folder)
    assert len(problems) == 21
    assert "at least" in problems[-1]


def test_ten_million_blank_lines_are_no_rows(folder: Path) -> None:
    long_file(folder / "rows/rows.jsonl", b"\n", size=10 << 20)
    assert told(folder) == [
        "recipe.yaml:10:40: error[R217]: the files of 'curated' hold no row of 'smalltalk'"
        "      (categories.smalltalk.count)"
    ]


def test_a_curated_line_of_many_problems_is_told_in_short(folder: Path) -> None:
    many = json.dumps({"messages": [1] * 300_000})
    assert len(many) < MAX_LINE
    (folder / "rows/rows.jsonl").write_text((many + "\n") * 20)
    assert len(told(folder)) == 21


def test_many_labels_that_nobody_knows_are_told_in_short(folder: Path) -> None:
    recipe = RECIPE.replace("count: all", "count: 9, topics: [a]")
    (folder / "recipe.yaml").write_text(recipe)
    with (folder / "rows/rows.jsonl").open("w") as file:
        for number in range(20_000):
            row = {"category": "smalltalk", "topic": f"t{number}", **json.loads(ROW)}
            file.write(json.dumps(row) + "\n")
        for number in range(20_000):
            file.write(json.dumps({"category": f"c{number}", **json.loads(ROW)}) + "\n")
    problems = told(folder)
    assert sum("[R218]" in line for line in problems) == 20
    assert len(problems) <= 50


def aliases(levels: int, width: int) -> str:
    lines = ["a0: &a0 [" + ", ".join(["x"] * width) + "]"]
    for i in range(1, levels):
        lines.append(f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * width) + "]")
    return "\n".join(lines) + "\n"


def filled(line: Callable[[int], str], size: int = LONGEST) -> str:
    """Lines of their number, as many as a recipe may be long."""
    lines, length = [], 0
    while length < size:
        lines.append(line(len(lines)))
        length += len(lines[-1])
    return "".join(lines[:-1])


FEWER = 200_000
"""Characters. What has fewer values than a recipe may hold goes further, up to the last rule."""


def within(before: str, line: Callable[[int], str], after: str = "") -> str:
    """The recipe with lines of their number in one place of it."""
    assert before in RECIPE
    return RECIPE.replace(before, before + filled(line, FEWER) + after, 1)


def level(number: int) -> str:
    return f"  l{number}: {{iterations: [2, 1], words: [2, 1], seconds: 1}}\n"


FLOODS: dict[str, tuple[str, str]] = {
    # name: (what stands in the recipe, something that is told)
    "aliases of aliases": (aliases(30, 10), "aliases repeat more than 10,000 values"),
    "many anchors": (filled(lambda i: f"a{i}: &a{i} x\n"), "a recipe holds at most 50,000 values"),
    "aliases of one": ("a: &a x\nb: [" + "*a," * 30_000 + "]", "aliases repeat more than 10,000"),
    "flow lists": ("a: " + "[" * LONGEST, "the text nests deeper than 32 levels"),
    "flow mappings": ("{a: " * (LONGEST // 4), "the text nests deeper than 32 levels"),
    "block lists": ("- " * (LONGEST // 2), "the text nests deeper than 32 levels"),
    "block mappings": ("".join(" " * i + "a:\n" for i in range(1400)), "the text nests deeper"),
    "complex keys": ("? " * (LONGEST // 2), "the text nests deeper than 32 levels"),
    "an open quote": ("a: '" + "x" * LONGEST, "what is opened here has no end"),
    "escapes": (RECIPE + 'a: "' + r"\x41" * (LONGEST // 8) + '"', "unknown field 'a'"),
    "blank lines": ("\n" * LONGEST + "a: 1", "unknown field 'a' in the recipe"),
    "a long key": ("? " + "x" * LONGEST + "\n: 1", "a field's name is too long"),
    "a long alias": ("a: *" + "x" * LONGEST, "the alias '*xxx"),
    "a long tag": ("a: !" + "x" * LONGEST + " 1", "the tag '!xxx"),
    "a long number": ("recipe: " + "9" * LONGEST, "this number is too large"),
    "a long name": ("name: " + "x" * LONGEST, "'name' cannot be 'xxx"),
    "a long path": (RECIPE.replace("ask.j2", "a/" * 500_000), "'prompt' cannot be 'a/a"),
    "one field again and again": ("a: 1\n" * (LONGEST // 5), "'a' is written twice here"),
    "fields with no value": (filled(lambda i: f"a{i}:\n"), "nothing stands after 'a0:'"),
    "items with no value": ("a:\n" + "-\n" * (LONGEST // 2), "this list item has no value"),
    "numbers of no size": ("a: [" + "1e999, " * (LONGEST // 8) + "]", "this number is too large"),
    "unknown tags": (filled(lambda i: f"a{i}: !x y\n"), "the tag '!x' is not known here"),
    "open templates": (filled(lambda i: f"a{i}: {{{{ x }}}}\n"), "'{{' begins a mapping"),
    "unknown fields": (RECIPE + filled(lambda i: f"f{i}: 1\n", FEWER), "unknown field 'f0'"),
    "near misses": (RECIPE + filled(lambda i: f"train{i}: 1\n", FEWER), "unknown field 'train0'"),
    "unknown kinds": (
        within("teachers:\n", lambda i: f"  t{i}: {{kind: x}}\n"),
        "there is no kind 'x'",
    ),
    "wrong prompts": (
        RECIPE.replace("evaluate.jsonl", "[" + filled(lambda i: f"{i}, ", FEWER) + "]"),
        "item 1 of 'prompts' cannot be 0",
    ),
    "languages": (
        within("count: 3, ", lambda i: f"l{i}: 1, ", "}, ").replace("l0", "languages: {l0", 1),
        "there is no 'l0' here",
    ),
    "levels": (
        RECIPE + "complexity:\n" + filled(level),
        "a recipe holds at most 50,000 values",
    ),
    "turned levels": (
        RECIPE + "complexity:\n" + filled(level, FEWER),
        "'iterations' goes from 2 down to 1",
    ),
    "topics": (
        within("count: 3, ", lambda i: f"t{i}, ", "], ").replace("t0", "topics: [t0", 1),
        "the topics take at least",
    ),
    "topics with variables of their own": (
        within("count: 3, ", lambda i: f"{{name: t{i}, v{i}: 1}}, ", "], ").replace(
            "{name: t0", "topics: [{name: t0", 1
        ),
        "the topics take at least",
    ),
    "one topic again and again": (
        RECIPE.replace("count: 3", "count: 3, topics: [" + "t, " * 40_000 + "]"),
        "the topics take at least",
    ),
    "a wide matrix": (
        RECIPE + "matrix: {" + filled(lambda i: f"a.b{i}: [1], ", FEWER) + "}",
        "the matrix varies",
    ),
    "a long matrix": (
        RECIPE + "matrix: {train.epochs: [" + filled(lambda i: f"{i}, ", FEWER) + "]}",
        "the matrix has",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOODS)
def test_a_recipe_that_floods_is_told_in_short(folder: Path, name: str) -> None:
    content, problem = FLOODS[name]
    assert len(content) <= text.MAX_BYTES
    (folder / "recipe.yaml").write_text(content, encoding="utf-8")
    problems = told(folder)
    assert any(problem in told for told in problems), problems[:3]
    assert len(problems) <= 201


def test_the_values_of_all_layers_count_together(folder: Path) -> None:
    for layer in range(5):
        fields = filled(lambda i, n=layer: f"f{n}-{i}: 1\n", FEWER)  # type: ignore[misc]
        (folder / f"r{layer}.yaml").write_text(f"extends: r{layer + 1}.yaml\n" + fields)
    (folder / "r5.yaml").write_text(RECIPE)
    (folder / "recipe.yaml").write_text("extends: r0.yaml\n")
    assert told(folder) == [
        "recipe.yaml:1:1: error[R002]: a recipe holds at most 50,000 values, and here are more"
    ]


def test_many_categories_share_one_costly_template(folder: Path) -> None:
    (folder / "ask.j2").write_text("{{ topic.name }}{{ words }}{% if 1 %}x{% endif %}" * 5000)
    lines = filled(lambda i: f"  c{i}: {{teacher: local, count: 3, prompt: ask.j2}}\n", FEWER // 2)
    (folder / "recipe.yaml").write_text(RECIPE.replace("categories:\n", "categories:\n" + lines))
    assert told(folder) == []


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    ("data", "problem", "of_a_row"),
    [
        (b"name: \xff", "byte 0xff is no UTF-8", "byte 0xff is no UTF-8"),
        (b"name: '\0'", "the control character U+0000", "not JSON"),
        ("name: x".encode("utf-16"), "the file is UTF-16", "byte 0xff is no UTF-8"),
        ("name: x".encode("utf-16-be"), "the control character U+0000", "not JSON"),
    ],
    ids=["not utf-8", "nul", "utf-16", "utf-16 with no mark"],
)
def test_what_is_no_text_is_told_at_its_place(
    folder: Path, name: str, data: bytes, problem: str, of_a_row: str
) -> None:
    (folder / name).write_bytes(data)
    [line] = told(folder)
    assert line.startswith(f"{name}:1:")
    assert (of_a_row if name.startswith("rows/") else problem) in line


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def long_loop(path: Path) -> None:
    path.symlink_to("other")
    path.with_name("other").symlink_to(path.name)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_a_terminal(path: Path) -> None:
    path.symlink_to("/dev/stdin")


def closed(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    "make", [loop, long_loop, pipe, link_to_a_device, link_to_a_terminal, closed]
)
def test_what_is_no_file_is_never_waited_for(folder: Path, name: str, make: Make) -> None:
    (folder / name).unlink()
    make(folder / name)
    problems = told(folder)
    assert len(problems) == 1
    assert problems[0].startswith(("recipe.yaml:", f"{name}:"))


@pytest.mark.parametrize("make", [loop, pipe, closed])
def test_an_extended_recipe_that_is_no_file_is_told(folder: Path, make: Make) -> None:
    (folder / "recipe.yaml").write_text("extends: base.yaml\n" + RECIPE)
    make(folder / "base.yaml")
    problems = told(folder)
    assert len(problems) == 1
    assert problems[0].startswith("recipe.yaml:1:10: error[R3")


def test_a_folder_of_rows_that_leads_in_a_circle_is_told(folder: Path) -> None:
    (folder / "rows/rows.jsonl").unlink()
    (folder / "rows").rmdir()
    loop(folder / "rows")
    problems = told(folder)
    assert len(problems) == 1
    assert "leads round in a circle of links" in problems[0]
