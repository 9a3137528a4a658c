"""Which files become excerpts, and what is told of those that cannot."""

import re
from pathlib import Path

import pytest

from jessy_build.diagnostics import RecipeError
from jessy_build.recipe.load import LoadedRecipe, load

RECIPE = """\
recipe: 1
name: x
version: v1
base: {{model: "pypi:some==1#model.gguf", sha256: "{zeros}"}}
teachers: {{local: {{kind: ollama, model: small}}}}
categories:
  code:
    teacher: local
    count: 4
    prompt: ask.j2
    sources: {sources}
"""
PROMPT = "{{ language }} {{ complexity }} {{ source.text }}"


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "Justfile").touch()
        self.put("ask.j2", PROMPT)

    def put(self, name: str, text: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def load(self, sources: str) -> LoadedRecipe:
        self.put("recipe.yaml", RECIPE.format(zeros="0" * 64, sources=sources))
        return load(self.root / "recipe.yaml")

    def names(self, sources: str) -> list[str]:
        excerpts = self.load(sources).opened.excerpts["code"]
        return [f"{excerpt.path}:{excerpt.lines} {excerpt.name}" for excerpt in excerpts]

    def problems(self, sources: str) -> list[tuple[str, str, int]]:
        with pytest.raises(RecipeError) as caught:
            self.load(sources)
        found = caught.value.diagnostics
        return [(d.code, Path(d.span.file).name, d.span.line) for d in found]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_files_come_in_the_order_of_their_paths_each_once(folder: Folder) -> None:
    for name in ("b.txt", "a/z.txt", "a.txt"):
        folder.put(name, "text\n")
    pattern = '["b.txt", "**/*.txt", "*.txt"]'
    assert folder.names(f"{{files: {pattern}}}") == [
        "a.txt:1 a.txt",
        "a/z.txt:1 z.txt",
        "b.txt:1 b.txt",
    ]


JUNK = (".git", ".venv", "node_modules", "target", "__pycache__", "venv", "builds", "dist")


@pytest.mark.parametrize("junk", JUNK)
def test_what_was_installed_or_made_is_passed_over_unless_it_is_named(
    folder: Folder, junk: str
) -> None:
    folder.put("own.txt", "text\n")
    folder.put(f"{junk}/deep/made.txt", "text\n")
    assert folder.names('{files: ["**/*.txt"]}') == ["own.txt:1 own.txt"]
    assert folder.names(f'{{files: ["{junk}/**/*.txt"]}}') == [f"{junk}/deep/made.txt:1 made.txt"]


def test_a_link_out_of_the_project_is_refused_and_one_within_is_read_once(
    folder: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.txt"
    outside.write_text("secret")
    folder.put("own.txt", "text\n")
    (folder.root / "again.txt").symlink_to("own.txt")
    assert folder.names('{files: ["*.txt"]}') == ["own.txt:1 own.txt"]
    (folder.root / "out.txt").symlink_to(outside)
    assert folder.problems('{files: ["*.txt"]}') == [("R302", "recipe.yaml", 11)]


def test_what_is_no_text_is_named_with_its_place_and_all_of_them_at_once(folder: Folder) -> None:
    folder.put("a.bin", b"text\n\x00\x01\x02")
    folder.put("b.bin", "çğ".encode("cp1254"))
    folder.put("c.bin", b"x" * ((1 << 20) + 1))
    assert folder.problems('{files: ["*.bin"]}') == [
        ("R003", "a.bin", 2),
        ("R003", "b.bin", 1),
        ("R002", "c.bin", 1),
    ]


def test_empty_files_are_no_excerpts_and_nothing_else_is_an_error(folder: Folder) -> None:
    folder.put("a.txt", "")
    folder.put("b.txt", "\n \n")
    assert folder.problems('{files: ["*.txt"]}') == [("R290", "recipe.yaml", 11)]
    folder.put("c.txt", "text\n")
    assert folder.names('{files: ["*.txt"]}') == ["c.txt:1 c.txt"]


def test_an_excerpt_that_is_cut_is_warned_of_and_says_so_itself(folder: Folder) -> None:
    folder.put("long.txt", "".join(f"line number {n}\n" for n in range(30)))
    loaded = folder.load("{files: [long.txt], max_tokens: 20}")
    (excerpt,) = loaded.opened.excerpts["code"]
    assert excerpt.text.endswith("\n… (25 more lines)") and excerpt.left_out == 25
    (warning,) = loaded.warnings
    assert warning.code == "R293" and "long.txt:1-30" in warning.problem


def test_a_function_with_a_syntax_error_is_left_out_with_a_warning_and_the_rest_is_read(
    folder: Folder,
) -> None:
    folder.put("a.rs", "fn one() {}\n\nfn torn() { if 1 > { }\n}\n\nfn two() {}\n")
    loaded = folder.load("{files: [a.rs], unit: function}")
    names = [excerpt.name for excerpt in loaded.opened.excerpts["code"]]
    assert names == ["one", "two"]
    (warning,) = loaded.warnings
    assert (warning.code, warning.span.line) == ("R294", 3)


def test_a_prompt_that_fails_on_an_excerpt_is_told_before_anything_is_asked(folder: Folder) -> None:
    folder.put("a.txt", "text\n")
    folder.put("ask.j2", f"{PROMPT} {{{{ source.line }}}}")
    with pytest.raises(RecipeError) as caught:
        folder.load("{files: [a.txt]}")
    (problem,) = caught.value.diagnostics
    assert re.search("there is no field 'line' here .*text, name, path, lines", problem.problem)
