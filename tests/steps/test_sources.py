"""Rows about files: each has a real excerpt in its prompt, and an edit asks only its own rows."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.loopback import messages_api
from tests.steps import asked
from tests.steps.project import REPOSITORY, Project
from tests.steps.test_increments import Asks
from tests.test_untouched import short

RECIPE = """\
recipe: 1
name: explained
version: v1
base: {model: "path:base"}
teachers:
  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 4}
categories:
  code:
    teacher: claude
    count: 12
    prompt: code.j2
    languages: {en: 0.5, tr: 0.5}
    complexity: {low: 0.5, medium: 0.5}
    sources: {files: ["src/**/*.py"], unit: function}
  talk:
    teacher: claude
    count: 4
    prompt: talk.j2
    languages: {en: 1}
    complexity: {low: 1}
dataset: {validate: {duplicates: false, words: false}}
train: {steps: 1}
"""
PROMPT = "Explain {{ source.name }} in {{ language }}, {{ complexity }}:\n{{ source.text }}"
NAMES = ("one", "two", "three", "four", "five", "six")


def function(name: str, body: str = "return 1") -> str:
    return f'def {name}():\n    """Of {name}."""\n    {body}\n\n\n'


@pytest.fixture
def project(tmp_path: Path, server: messages_api.MessagesServer) -> Project:
    (tmp_path / "src/inner").mkdir(parents=True)
    (tmp_path / "src/a.py").write_text("".join(map(function, NAMES[:3])))
    long = "\n".join(["", *(f"    number = {n}" for n in range(8)), "    return number"])
    (tmp_path / "src/inner/b.py").write_text(
        function("four") + function("five") + function("six", long.strip())
    )
    talk = "Talk about {{ topic.name }} {{ ordinal }} in {{ language }}, {{ complexity }}."
    return Project.asking(tmp_path, server.url, RECIPE, code=PROMPT, talk=talk)


@pytest.fixture
def asks(project: Project, server: messages_api.MessagesServer) -> Asks:
    asks = Asks(project, server)
    assert asks() == 16
    return asks


def explained(asks: Asks, last: int | None = None) -> Counter[str]:
    """How often each function was asked about, in all or in the last so many requests."""
    seen = asks.server.seen[-last:] if last else asks.server.seen
    prompts = [one.body["messages"][-1]["content"] for one in seen]
    found = (re.search(r"def (\w+)\(", prompt) for prompt in prompts)
    return Counter(match[1] for match in found if match)


def rewrite(project: Project, file: str, old: str, new: str) -> None:
    path = project.root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_prompt_holds_a_real_function_and_each_is_used_before_one_is_used_often(
    asks: Asks,
) -> None:
    used = explained(asks)
    assert set(used) == set(NAMES)
    assert sum(used.values()) == 12 and max(used.values()) <= 3


def test_an_edited_function_asks_only_its_own_rows(project: Project, asks: Asks) -> None:
    rows = explained(asks)["five"]
    rewrite(project, "src/inner/b.py", function("five"), function("five", "return 5"))
    assert asks() == rows > 0
    assert explained(asks, last=rows) == {"five": rows}
    assert "return 5" in asks.server.seen[-1].body["messages"][-1]["content"]
    rewrite(project, "src/inner/b.py", "return 5", "return 1")
    assert asks() == 0


def test_a_function_that_only_moves_in_its_file_asks_and_runs_nothing(
    project: Project, asks: Asks
) -> None:
    text = (project.root / "src/a.py").read_text()
    (project.root / "src/a.py").write_text(f"import os\n\nPLACE = os.sep\n\n\n{text}")
    assert asks() == 0 and asks.last.ran == []


def test_a_prompt_that_reads_the_lines_is_another_one_where_they_change(
    project: Project, asks: Asks
) -> None:
    (project.root / "code.j2").write_text(PROMPT + " ({{ source.lines }})")
    assert asks() == 12
    text = (project.root / "src/a.py").read_text()
    (project.root / "src/a.py").write_text(f"import os\n{text}")
    moved = sum(count for name, count in explained(asks, last=12).items() if name in NAMES[:3])
    assert asks() == moved


def test_a_new_function_takes_its_share_and_few_rows_besides(project: Project, asks: Asks) -> None:
    with (project.root / "src/a.py").open("a") as file:
        file.write(function("seven"))
    # Its share is 2 rows of 12; all of them would move if functions were dealt in turn.
    assert 1 <= asks() <= 6
    assert explained(asks)["seven"] >= 1


def test_more_rows_ask_no_more_than_they_are_and_the_few_that_change_their_place(
    project: Project, asks: Asks
) -> None:
    project.edit("count: 12", "count: 20")
    assert 8 <= asks() <= 10
    project.edit("count: 20", "count: 12")
    assert asks() == 0


def test_more_rows_than_excerpts_share_them_and_each_answer_is_one_of_its_own(
    project: Project, server: messages_api.MessagesServer
) -> None:
    for file in ("src/a.py", "src/inner/b.py"):
        (project.root / file).write_text("")
    (project.root / "src/a.py").write_text(function("alone"))
    assert "12 items from 4 prompts" in project.run("plan", "recipe.yaml", "--full").out
    assert Asks(project, server)() == 16


def test_a_plan_names_the_function_and_the_line_that_were_edited(
    project: Project, asks: Asks
) -> None:
    rows = explained(asks)["two"]
    rewrite(project, "src/a.py", function("two"), function("two", "return 22"))
    out = project.run("plan", "recipe.yaml").out
    assert "categories.code.sources (two) changed" in out
    assert "src/a.py:8" in out and "return 22" in out
    assert "12 items" in out and f"{rows} to ask" in out


def test_of_very_many_words_only_the_function_and_its_place_are_told(
    project: Project, asks: Asks
) -> None:
    text = (project.root / "src/a.py").read_text()
    padding = "".join(function(f"unused{n}", f"return '{'x' * 3000}'") for n in range(90))
    (project.root / "src/a.py").write_text(text + padding)
    assert asks() > 0
    (name,) = set(explained(asks, last=1))
    rewrite(project, "src/a.py", f"def {name}():", f"def {name}(a):")
    out = project.run("plan", "recipe.yaml").out
    assert f"categories.code.sources ({name}) changed" in out
    line = (project.root / "src/a.py").read_text().partition(f"def {name}(")[0].count("\n") + 1
    assert f"src/a.py:{line}" in out and len(out) < 3000


@pytest.mark.parametrize(
    ("field", "old", "new"),
    [
        ("unit", "unit: function", "unit: file"),
        ("files", "src/**/*.py", "src/*.py"),
        ("max_tokens", "unit: function", "unit: function, max_tokens: 20"),
    ],
)
def test_a_plan_names_the_field_and_not_each_excerpt_where_the_field_was_edited(
    project: Project, asks: Asks, field: str, old: str, new: str
) -> None:
    project.edit(old, new)
    out = project.run("plan", "recipe.yaml").out
    assert f"categories.code.sources.{field}" in out and "recipe.yaml:14" in out
    assert "sources (" not in out


def test_files_in_other_languages_are_passed_over_where_languages_are_named(
    project: Project, asks: Asks
) -> None:
    (project.root / "src/README.md").write_text("# No code\n")
    project.edit("src/**/*.py", "src/**/*")
    refused = project.run("plan", "recipe.yaml")
    assert refused.code == 2 and "R291" in refused.err and "src/README.md" in refused.err
    project.edit("unit: function", "unit: function, languages: [python]")
    assert asks() == 0


def test_show_and_why_tell_the_excerpt_of_a_row(project: Project, asks: Asks) -> None:
    shown = project.run("show", "code/code/en/low/0")
    assert shown.code == 0, shown.err
    place = re.search(
        r"excerpt +(src/\S+\.py):(\d+)-(\d+)   (\w+)   sha256 [0-9a-f]{12}", shown.out
    )
    assert place is not None, shown.out
    lines = (project.root / place[1]).read_text().splitlines()
    assert lines[int(place[2]) - 1] == f"def {place[4]}():"
    told = json.loads(project.run("show", "code/code/en/low/0", "--json").out)
    assert told["excerpt"]["path"] == place[1] and len(told["excerpt"]["sha256"]) == 64
    why = project.run("why", "recipe.yaml", "code/code/en/low/0").out
    assert f"excerpt {place[1]}:{place[2]}-{place[3]}   {place[4]}" in why
    other = json.loads(project.run("show", "talk/talk/en/low/0", "--json").out)
    assert other["excerpt"] is None


def test_a_build_with_nothing_to_do_reads_no_source_until_one_is_touched_or_new(
    tmp_path: Path, tiny_model: Path
) -> None:
    with asked.Teacher() as teacher:
        recipe = asked.RECIPE.replace(
            "deep: {", "deep: {sources: {files: ['src/**/*.py'], unit: function}, "
        )
        project = asked.make(tmp_path / "p", tiny_model, teacher, recipe)
        (project.root / "deep.j2").write_text("Something about {{ source.text }} {{ ordinal }}")
        (project.root / "src/node_modules").mkdir(parents=True)
        (project.root / "src/a.py").write_text(function("one"))
        (project.root / "src/node_modules/b.py").write_text(function("foreign"))
        assert project.run("build", "recipe.yaml").code == 0
        assert short(project)
        (project.root / "src/a.py").write_text(function("one") + "# moved nothing\n")
        assert not short(project) and short(project)
        (project.root / "src/deeper").mkdir()
        assert not short(project) and short(project)
        (project.root / "src/deeper/c.py").write_text(function("newest"))
        assert project.run("build", "recipe.yaml").ran[0] == "generate:deep"
        prompts = [seen.body["messages"][-1]["content"] for seen in teacher.seen]
        assert any("newest" in prompt for prompt in prompts)
        assert not any("foreign" in prompt for prompt in prompts)


def test_without_tree_sitter_the_command_that_installs_it_is_told(project: Project) -> None:
    (project.root / "sitecustomize.py").write_text(
        "import sys\nsys.modules['tree_sitter'] = None\n"
    )
    paths = f"{project.root}:{REPOSITORY}"
    ran = project.run("plan", "recipe.yaml", PYTHONPATH=paths)
    assert ran.code == 1
    assert "needs the package 'tree-sitter'" in ran.err
    assert "uv pip install 'jessy-build[sources]'" in ran.err
    project.edit("unit: function", "unit: file")
    assert project.run("plan", "recipe.yaml", PYTHONPATH=paths).code == 0
