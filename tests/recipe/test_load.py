"""A recipe and all that it names become one value; every field can say where it was written."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from jessy_build import digest
from jessy_build.diagnostics import RecipeError, Span
from jessy_build.recipe import paths
from jessy_build.recipe.load import EvalPrompt, LoadedRecipe, load
from jessy_build.recipe.paths import Folder, Ground, PathProblem

GOOD = Path(__file__).parent / "good"
ROWS = """\
{"category": "smalltalk", "language": "tr", "user": "naber", "assistant": "İyi!"}
{"category": "smalltalk", "language": "en", "user": "hey", "assistant": "Hey!"}
"""
RECIPE = """\
recipe: 1
name: small
version: v1
base:
  model: hf:org/name
  revision: "0123456789012345678901234567890123456789"
persona: {name: J, system: prompts/system.j2}
teachers:
  curated: {kind: curated, files: [rows/*.jsonl]}
  local: {kind: ollama, model: small}
categories:
  smalltalk: {teacher: curated, count: all}
  technical: {teacher: local, count: 3, prompt: prompts/ask.j2}
train:
  epochs: 2
"""

Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project folder in which the test stands; returns the path of its recipe."""

    def make(recipe: str = RECIPE, **more: str) -> Path:
        files = {
            "recipe.yaml": recipe,
            "Justfile": "",
            "rows/rows.jsonl": ROWS,
            "prompts/system.j2": "You are {{ persona.name }}.\n",
            "prompts/ask.j2": "Ask about {{ topic.name }}.\n",
            **{name.replace("__", "/").replace("_dot_", "."): text for name, text in more.items()},
        }
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        return Path("recipe.yaml")

    return make


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as error:
        load(path, overrides)
    return [f"{d.span.file}:{d.span.line}: {d.problem}" for d in error.value.diagnostics]


def test_all_that_a_recipe_names_is_read(project: Project) -> None:
    loaded = load(project())
    assert loaded.recipe.name == "small"
    assert loaded.path == Path.cwd() / "recipe.yaml"
    assert loaded.project == Path.cwd()
    assert loaded.system == "You are J."
    assert [row.messages[0].content for row in loaded.rows["smalltalk"]] == ["naber", "hey"]
    assert set(loaded.templates) == {"technical"}
    assert loaded.files == {
        name: digest.of_file(Path(name))
        for name in ("recipe.yaml", "prompts/system.j2", "prompts/ask.j2", "rows/rows.jsonl")
    }


def test_the_full_recipe_loads_with_all_its_files() -> None:
    loaded = load(GOOD / "full.yaml")
    assert [phase.epochs for phase in loaded.recipe.train.phases] == [2, 1]
    assert loaded.recipe.train.lora.rank == 8
    assert loaded.recipe.modelfile.parameters.given()["stop"] == ("<end>",)
    assert loaded.evaluate_prompts == (
        EvalPrompt("naber", "tr", "low", True),
        EvalPrompt("tell me about rust"),
    )
    assert loaded.chat_template_text is not None
    assert loaded.chat_template_text.startswith("{% for message in messages %}")
    assert [(t.name, t.count, t.vars) for t in loaded.topics("technical")] == [
        ("rust", 5, {"style": "trade-offs first"}),
        ("debugging", 5, {"style": "short"}),
    ]
    assert [row.line for row in loaded.picked("smalltalk")] == [1, 2, 3, 4]
    assert loaded.warnings == ()


def test_a_field_knows_where_it_was_written(project: Project) -> None:
    loaded = load(project())
    assert loaded.span_of("train.epochs") == Span("recipe.yaml", 15, 11, 12)
    assert loaded.span_of(("categories", "technical", "count")).line == 13
    assert loaded.span_of("teachers.curated.files.0") == Span("recipe.yaml", 9, 36, 48)


def test_a_default_is_placed_at_the_nearest_block_around_it(project: Project) -> None:
    loaded = load(project())
    assert loaded.span_of("train.lora.rank") == Span("recipe.yaml", 14, 1, 6)
    assert loaded.span_of("export.gguf") == Span("recipe.yaml", 1, 1, 10)
    assert loaded.span_of("") == Span("recipe.yaml", 1, 1, 10)


def test_an_override_wins_and_says_so(project: Project) -> None:
    loaded = load(project(), ["train.epochs=5", "deploy={ollama: {model: x}}", "persona=null"])
    assert loaded.recipe.train.epochs == 5
    assert loaded.span_of("train.epochs") == Span("--set", 1, 14, 15)
    assert loaded.span_of("deploy.ollama.model") == Span("--set", 2, 8, 28)
    assert loaded.recipe.persona is None
    assert loaded.system is None


def test_an_override_reaches_into_a_list(project: Project) -> None:
    recipe = RECIPE + "evaluate: {prompts: [a, b]}\n"
    loaded = load(project(recipe), ["evaluate.prompts.1=c"])
    assert [p.prompt for p in loaded.evaluate_prompts] == ["a", "c"]


@pytest.mark.parametrize("text", ["name=a\x1fb", "na\0me=x", "name=\ud800", "name=\x1b[31m"])
def test_an_override_holds_no_control_characters(project: Project, text: str) -> None:
    assert problems(project(), text) == ["--set:1: a control character stands in the text"]


def test_a_path_in_an_override_is_relative_to_the_recipe(project: Project) -> None:
    path = project(recipes__r_dot_yaml=RECIPE.replace("prompts/", "../prompts/").replace(
        "rows/", "../rows/"))  # fmt: skip
    path = Path("recipes/r.yaml")
    loaded = load(path, ["persona.system=../prompts/ask2.j2".replace("ask2", "system")])
    assert loaded.system == "You are J."
    assert problems(path, "persona.system=prompts/system.j2") == [
        "--set:1: there is no file 'prompts/system.j2'"
    ]


EXTENDING = """\
extends: shared/base.yaml
name: child
train: {steps: 9, epochs: null}
teachers:
  local: {model: larger}
categories:
  technical: null
"""
BASE = RECIPE.replace("prompts/", "../prompts/").replace("rows/", "../rows/")


def test_a_recipe_that_extends_another_merges_replaces_and_removes(project: Project) -> None:
    loaded = load(project(EXTENDING, shared__base_dot_yaml=BASE))
    assert (loaded.recipe.name, loaded.recipe.version) == ("child", "v1")
    assert (loaded.recipe.train.epochs, loaded.recipe.train.steps) == (None, 9)
    assert list(loaded.recipe.categories) == ["smalltalk"]
    local = loaded.recipe.teachers["local"]
    assert (local.kind, local.model) == ("ollama", "larger")  # type: ignore[union-attr]
    assert set(loaded.files) == {
        *("recipe.yaml", "shared/base.yaml", "prompts/system.j2", "rows/rows.jsonl")
    }


def test_paths_are_relative_to_the_file_that_holds_them(project: Project) -> None:
    loaded = load(project(EXTENDING, shared__base_dot_yaml=BASE))
    assert loaded.system == "You are J."
    assert loaded.span_of("persona.system").file == "shared/base.yaml"
    assert loaded.origin("persona.system") == Path("shared").resolve()
    assert loaded.origin("train.steps") == Path.cwd()


def test_a_chain_of_recipes_that_never_ends_is_refused(project: Project) -> None:
    path = project(
        "extends: a.yaml\n", a_dot_yaml="extends: b.yaml\n", b_dot_yaml="extends: a.yaml"
    )
    assert problems(path) == ["b.yaml:1: 'a.yaml' extends itself"]
    chain = {f"r{i}_dot_yaml": f"extends: r{i + 1}.yaml\n" for i in range(20)}
    assert problems(project("extends: r0.yaml\n", **chain)) == [
        "r6.yaml:1: more than 8 recipes extend each other"
    ]


def test_a_path_out_of_the_project_needs_leave(project: Project) -> None:
    outside = Path.cwd().parent / "outside.j2"
    path = project(RECIPE.replace("prompts/ask.j2", "../outside.j2"))
    outside = path.resolve().parent.parent / "outside.j2"
    outside.write_text("Ask {{ topic.name }}.", encoding="utf-8")
    assert problems(path) == ["recipe.yaml:13: '../outside.j2' leaves the project folder"]
    assert load(path, ["allow_outside=true"]).templates["technical"].shown == "../outside.j2"


def test_a_link_out_of_the_project_is_not_followed(project: Project) -> None:
    path = project()
    outside = path.resolve().parent.parent / "secret.jsonl"
    outside.write_text(ROWS, encoding="utf-8")
    Path("rows/linked.jsonl").symlink_to(outside)
    assert problems(path) == ["recipe.yaml:9: 'rows/*.jsonl' leaves the project folder"]
    Path("rows/linked.jsonl").unlink()
    Path("prompts/ask.j2").unlink()
    Path("prompts/ask.j2").symlink_to(outside)
    assert problems(path) == ["recipe.yaml:13: 'prompts/ask.j2' leaves the project folder"]


def test_a_folder_that_links_to_itself_is_walked_once(project: Project) -> None:
    path = project(RECIPE.replace("rows/*.jsonl", "rows/**/*.jsonl"))
    Path("rows/again").symlink_to(".")
    Path("rows/and-again").symlink_to(".")
    assert len(load(path).rows["smalltalk"]) == 2


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("rows/*.jsonl", ["rows/a.jsonl", "rows/b.jsonl"]),
        ("rows/**/*.jsonl", ["rows/a.jsonl", "rows/b.jsonl", "rows/deep/er/d.jsonl"]),
        ("rows/**", ["rows/a.jsonl", "rows/b.jsonl", "rows/deep/er/d.jsonl"]),
        ("rows/[ax].jsonl", ["rows/a.jsonl"]),
        ("rows/?.jsonl", ["rows/a.jsonl", "rows/b.jsonl"]),
        ("*/a.jsonl", ["rows/a.jsonl"]),
        ("rows/*/*/*.jsonl", ["rows/deep/er/d.jsonl"]),
        ("rows/.hidden/*.jsonl", ["rows/.hidden/h.jsonl"]),
        ("rows/../rows/a*", ["rows/a.jsonl"]),
        ("rows/[a.jsonl", "no file matches"),
        ("rows/c*", "no file matches"),
        ("rows/*/../*.jsonl", "is no usable pattern"),
        ("rows/a**.jsonl", "is no usable pattern"),
        ("/**", "leaves the project folder"),
        ("../**/*.jsonl", "leaves the project folder"),
        ("rows", "is not a file"),
    ],
)
def test_a_pattern_finds_its_files(tmp_path: Path, pattern: str, files: list[str] | str) -> None:
    for name in ("rows/a.jsonl", "rows/b.jsonl", "rows/deep/er/d.jsonl", "rows/.hidden/h.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    look = partial(paths.glob, pattern, Folder(tmp_path, ""), Ground(tmp_path.resolve()))
    if isinstance(files, str):
        with pytest.raises(PathProblem, match=files):
            look()
    else:
        assert [found.shown for found in look()] == files


def test_hidden_files_match_no_pattern(project: Project) -> None:
    path = project(RECIPE.replace("rows/*.jsonl", "'**/*.jsonl'"))
    Path(".jessy").mkdir()
    Path(".jessy/rows.jsonl").write_text(ROWS, encoding="utf-8")
    assert len(load(path).rows["smalltalk"]) == 2


def test_rows_are_called_the_same_from_every_folder(project: Project) -> None:
    path = project()
    here = load(path).rows["smalltalk"]
    os.chdir("rows")
    assert load(Path("../recipe.yaml")).rows["smalltalk"] == here
    assert here[0].file == "rows/rows.jsonl"


def test_problems_are_placed_as_seen_from_where_one_stands(project: Project) -> None:
    path = project(RECIPE.replace("persona: {", "persona: {nam: x, "))
    Path("rows/rows.jsonl").write_text("{}\n" + ROWS, encoding="utf-8")
    os.chdir("rows")
    assert [line.partition(": ")[0] for line in problems(Path("..") / path)] == [
        *("../recipe.yaml:7", "../rows/rows.jsonl:1"),
    ]


def test_the_faults_of_all_files_are_told_at_once(project: Project) -> None:
    path = project(RECIPE.replace("epochs: 2", "epochs: many") + "trian: 1\n")
    Path("prompts/ask.j2").write_text("{{ topc }}", encoding="utf-8")
    Path("prompts/system.j2").write_text("{{ persona.nam }}", encoding="utf-8")
    Path("rows/rows.jsonl").write_text("{}", encoding="utf-8")
    assert [line.partition(" ")[0] for line in problems(path)] == [
        # The recipe's own come first: they may be the cause of the others.
        *("recipe.yaml:15:", "recipe.yaml:16:"),
        *("prompts/ask.j2:1:", "prompts/system.j2:1:", "rows/rows.jsonl:1:"),
    ]


def test_a_fault_is_not_told_again_by_what_follows_from_it(project: Project) -> None:
    wrong = RECIPE.replace("model: small}", "modle: small}")
    assert len(problems(project(wrong))) == 1
    assert len(problems(project(RECIPE.replace("count: 3", "count: some")))) == 1


def test_rows_that_nobody_takes_are_told_without_stopping(project: Project) -> None:
    stray = '{"category": "other", "user": "x", "assistant": "y"}'
    [warning] = load(project(rows__rows_dot_jsonl=ROWS + stray)).warnings
    assert warning.severity == "warning"
    assert warning.problem == "no category of the recipe takes the rows of 'other'"
    assert warning.span == Span("rows/rows.jsonl", 3, 14, 21)


@pytest.mark.parametrize(
    "change",
    [
        ("hf:org/name", "path:model"),
        ("hf:org/name", "gguf:model.gguf"),
    ],
)
def test_a_base_of_this_machine_must_be_there(project: Project, change: tuple[str, str]) -> None:
    recipe = RECIPE.replace(*change).replace(
        '  revision: "0123456789012345678901234567890123456789"\n', ""
    )
    path = project(recipe)
    assert len(problems(path)) == 1
    if change[1].startswith("path"):
        Path("model").mkdir()
    else:
        Path("model.gguf").touch()
    assert load(path).opened.base_path is not None


def test_loading_reads_no_more_than_it_is_asked_to() -> None:
    """What a plan or a no-op build must not wait for."""
    code = (
        "import sys; from jessy_build.recipe.load import load; load(sys.argv[1]);"
        "print(*sorted({'numpy', 'mlx', 'anthropic', 'ollama', 'openai', 'rich', 'transformers',"
        "'httpx', 'huggingface_hub', 'gguf', 'asyncio'} & set(sys.modules)))"
    )
    run = [sys.executable, "-c", code, str(GOOD / "full.yaml")]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert out.strip() in ("", "asyncio")


def test_loading_opens_no_connection(project: Project) -> None:
    opened: list[str] = []
    sys.addaudithook(lambda event, _: opened.append(event) if event == "socket.connect" else None)
    load(project())
    assert opened == []


def loaded_value(path: Path) -> LoadedRecipe:
    return load(path)


def test_a_loaded_recipe_is_a_value(project: Project) -> None:
    path = project()
    assert loaded_value(path) == loaded_value(path)


@pytest.mark.parametrize("place", ["rows/rows.jsonl", "prompts/system.j2", "recipe.yaml"])
def test_what_is_recorded_is_what_was_read_while_others_write(project: Project, place: str) -> None:
    """Others put one version or the other in the file's place, and at times a pipe."""
    path = project()
    old = Path(place).read_text(encoding="utf-8")
    new = {
        "rows/rows.jsonl": old.replace("naber", "selam"),
        "prompts/system.j2": "You are not {{ persona.name }}.",
        "recipe.yaml": old.replace("name: J", "name: K"),
    }[place]
    says = {digest.of_bytes(text.encode()): text for text in (old, new)}
    stop = threading.Event()

    def write() -> None:
        beside = Path(place).absolute().with_name("fresh")
        versions = cycle([old, new, None])
        while not stop.is_set():
            version = next(versions)
            if version is None:
                os.mkfifo(beside)
            else:
                beside.write_text(version, encoding="utf-8")
            beside.replace(beside.with_name(Path(place).name))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    seen = set()
    try:
        while len(seen) < 2:
            with suppress(RecipeError):
                loaded = load(path)
                text = says[loaded.files[place]]
                seen.add(text)
                assert (loaded.rows["smalltalk"][0].texts[0] in text) == (
                    place == "rows/rows.jsonl"
                )
                assert loaded.system is not None
                assert ("not" in loaded.system) == ("not" in text)
                assert ("K" in loaded.system) == ("name: K" in text)
    finally:
        stop.set()
        writer.join()


def test_a_row_that_is_gone_again_is_told_without_its_place(project: Project) -> None:
    path = project()
    opened = load(path).opened
    row = opened.rows["smalltalk"][1]
    assert opened.row_span(row, "language") == Span("rows/rows.jsonl", 2, 39, 43)
    for now in (ROWS.splitlines()[0], "", "not json\n" * 3, '{"language": \n' * 2):
        Path("rows/rows.jsonl").write_text(now, encoding="utf-8")
        assert opened.row_span(row, "language").line == 2
    Path("rows/rows.jsonl").unlink()
    assert opened.row_span(row, "language") == Span("rows/rows.jsonl", 2, 1, 2)


def test_two_teachers_may_read_one_file(project: Project) -> None:
    recipe = RECIPE.replace(
        "  local:", "  again: {kind: curated, files: [rows/rows.jsonl]}\n  local:"
    ).replace("  technical:", "  more: {teacher: again, count: all}\n  technical:")
    loaded = load(project(recipe, rows__rows_dot_jsonl=ROWS + ROWS.replace("smalltalk", "more")))
    assert [row.line for row in loaded.rows["smalltalk"]] == [1, 2]
    assert [row.line for row in loaded.rows["more"]] == [3, 4]
    assert len(problems(project(recipe, rows__rows_dot_jsonl="{}\n"))) == 1


def test_a_recipe_loads_in_a_moment(project: Project) -> None:
    """Guards against a slip by a factor; what `jessy check` takes is measured by bench/startup."""
    path = project()
    load(path)
    began = time.process_time()
    load(path)
    assert time.process_time() - began < 0.6
