"""The short road may only be taken when surely nothing was touched."""

import os
import shutil
from pathlib import Path

import pytest

from tests.steps.project import Project


@pytest.fixture(scope="module")
def built(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.make(tmp_path_factory.mktemp("untouched") / "p", tiny_model)
    project.edit("files: [rows.jsonl]", 'files: ["rows*.jsonl"]')
    assert project.run("build", "recipe.yaml").code == 0
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy is touched all over: its first build takes the full road and notes it."""
    shutil.copytree(built.root, tmp_path / "p", copy_function=shutil.copy2)
    project = Project(tmp_path / "p")
    assert project.run("build", "recipe.yaml").ran == []
    assert short(project)
    return project


def short(project: Project, command: str = "build") -> bool:
    """Whether the next run loads no recipe: PYTHONPROFILEIMPORTTIME lists what is imported."""
    done = project.run(command, "recipe.yaml", PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 0 and "Nothing to do" in done.out
    loaded = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert "jessy_build.untouched" in loaded
    assert loaded.isdisjoint({"yaml", "pydantic"}) or loaded >= {"yaml", "pydantic"}
    return "pydantic" not in loaded


def test_the_short_road_prints_what_the_full_one_does(project: Project) -> None:
    quick = project.run("build", "recipe.yaml").out
    os.utime(project.root / "recipe.yaml")
    full = project.run("build", "recipe.yaml").out
    assert [line.split("(")[0] for line in quick.splitlines() if line] == [
        line.split("(")[0] for line in full.splitlines() if line
    ]


def test_a_plan_takes_the_short_road_too_and_prints_the_same(project: Project) -> None:
    assert short(project, "plan")
    quick = project.run("plan", "recipe.yaml").out
    os.utime(project.root / "recipe.yaml")
    assert not short(project, "plan")
    assert project.run("plan", "recipe.yaml").out == quick


def test_a_plan_after_a_touch_does_not_shorten_the_next_one(project: Project) -> None:
    """Only a build notes what it rested on: a plan has laid nothing out."""
    os.utime(project.root / "recipe.yaml")
    assert not short(project, "plan")
    assert not short(project, "plan")


@pytest.mark.parametrize("option", ["--json", "--full", "--set=train.epochs=3"])
def test_an_option_takes_the_full_road(project: Project, option: str) -> None:
    done = project.run("plan", "recipe.yaml", option, PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 0
    assert "pydantic" in done.err


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', "nul\0", '{"format": 2, "files"']
)
def test_a_note_that_is_no_note_takes_the_full_road(project: Project, text: str) -> None:
    for note in (project.root / ".jessy/untouched").iterdir():
        note.write_text(text)
    assert not short(project)
    assert short(project)


def test_a_terminal_without_the_signs_gets_others_for_them(project: Project) -> None:
    named = project.root / "tarif-ğ.yaml"
    (project.root / "recipe.yaml").rename(named)
    assert project.run("build", named.name).code == 0
    assert project.run("build", named.name).code == 0
    done = project.run("build", named.name, PYTHONIOENCODING="ascii")
    assert (done.code, done.err) == (0, "")


def test_a_touched_recipe_takes_the_full_road_once(project: Project) -> None:
    os.utime(project.root / "recipe.yaml")
    assert not short(project)
    assert short(project)


def test_an_edit_that_keeps_size_and_time_is_seen(project: Project) -> None:
    path = project.root / "recipe.yaml"
    before = path.stat()
    project.edit("temperature: 0.2", "temperature: 0.4")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert project.run("build", "recipe.yaml").ran == ["deploy", "report"]


def test_a_new_file_that_a_pattern_matches_is_seen(project: Project) -> None:
    row = '{"user": "one more", "assistant": "gladly!", "language": "en", "complexity": "low"}\n'
    (project.root / "rows-more.jsonl").write_text(row)
    done = project.run("build", "recipe.yaml", "--until", "assemble")
    assert "generate:smalltalk" in done.ran
    assert "generate:smalltalk" not in project.run("build", "recipe.yaml").ran


def test_a_new_folder_that_a_pattern_matches_is_seen(project: Project) -> None:
    for name in ("one", "two"):
        folder = project.root / "rows" / name
        folder.mkdir(parents=True)
        shutil.copy(project.root / "rows.jsonl", folder / "a.jsonl")
        if name == "one":
            project.edit("rows*.jsonl", "rows/*/a.jsonl")
            assert project.run("build", "recipe.yaml").code == 0
    assert "generate:smalltalk" in project.run("plan", "recipe.yaml").out


def test_a_link_to_rows_that_is_put_elsewhere_is_seen(project: Project) -> None:
    current = project.root / "rows/current.jsonl"
    for name in ("v1", "v2"):
        (project.root / name).mkdir()
        shutil.copy(project.root / "rows.jsonl", project.root / name / "rows.jsonl")
    (project.root / "rows").mkdir()
    current.symlink_to("../v1/rows.jsonl")
    project.edit("rows*.jsonl", "rows/current.jsonl")
    assert project.run("build", "recipe.yaml").code == 0
    with (project.root / "v2/rows.jsonl").open("a") as file:
        file.write('{"user": "one more", "assistant": "gladly!", "language": "en"}\n')
    assert short(project)
    current.unlink()
    current.symlink_to("../v2/rows.jsonl")
    assert "generate:smalltalk" in project.run("plan", "recipe.yaml").out


def test_a_link_to_a_recipe_reads_the_rows_beside_the_link(project: Project) -> None:
    other = project.root / "other"
    other.mkdir()
    (other / "recipe.yaml").symlink_to("../recipe.yaml")
    (other / "base").symlink_to("../base")
    row = '{"user": "quite another", "assistant": "row!", "language": "en", "complexity": "low"}\n'
    (other / "rows.jsonl").write_text(row * 2)
    assert project.run("build", "recipe.yaml").code == 0
    assert short(project)
    done = project.run("plan", "other/recipe.yaml")
    assert (done.code, "generate:smalltalk" in done.out) == (0, True)


def test_two_recipes_of_almost_one_name_are_two(project: Project) -> None:
    """Their notes would bear one file name."""
    text = (project.root / "recipe.yaml").read_text(encoding="utf-8")
    for name, temperature in (("my-bot", "0.2"), ("my_bot", "0.4")):
        changed = text.replace("temperature: 0.2", f"temperature: {temperature}")
        (project.root / f"{name}.yaml").write_text(changed, encoding="utf-8")
    assert project.run("build", "my-bot.yaml").code == 0
    assert "Nothing to do" not in project.run("plan", "my_bot.yaml").out


def test_a_project_of_its_own_for_the_recipe_is_seen(project: Project, tmp_path: Path) -> None:
    """With `JESSY_STORE` the store stays the same, but not the place of the results."""
    folder = project.root / "of/many/recipes"
    folder.mkdir(parents=True)
    for name in ("recipe.yaml", "rows.jsonl"):
        shutil.copy(project.root / name, folder)
    shutil.copytree(project.root / "base", folder / "base")
    named = "of/many/recipes/recipe.yaml"
    project = Project(project.root, {"JESSY_STORE": str(project.root / ".jessy")})
    assert project.run("build", named).code == 0
    (project.root / "of/Justfile").touch()
    assert project.run("build", named).code == 0
    assert (project.root / "of/builds/tiny/v1/model.gguf").exists()


def test_a_recipe_of_any_name_can_be_built(project: Project) -> None:
    folder = project.root.joinpath(*["方" * 50] * 3)
    folder.mkdir(parents=True)
    recipe = (project.root / "recipe.yaml").rename(folder / "recipe.yaml")
    (project.root / "rows.jsonl").rename(folder / "rows.jsonl")
    (project.root / "base").rename(folder / "base")
    done = project.run("build", str(recipe))
    assert (done.code, done.err) == (0, "")


def test_a_lost_ledger_is_missed(project: Project) -> None:
    for file in (project.root / ".jessy").glob("ledger.sqlite*"):
        file.unlink()
    assert "the ledger of the store is gone" in project.run("plan", "recipe.yaml").err


def test_a_note_that_cannot_be_written_is_no_failure(project: Project) -> None:
    notes = project.root / ".jessy/untouched"
    shutil.rmtree(notes)
    notes.touch()
    os.utime(project.root / "recipe.yaml")
    done = project.run("build", "recipe.yaml")
    assert (done.code, done.err) == (0, "")


def test_a_removed_result_is_laid_out_again(project: Project) -> None:
    model = project.root / "builds/tiny/v1/model.gguf"
    model.unlink()
    assert project.run("build", "recipe.yaml").code == 0
    assert model.exists()


def test_a_damaged_object_is_seen(project: Project) -> None:
    file = max((project.root / ".jessy/objects").rglob("*"), key=lambda p: p.stat().st_size)
    file.chmod(0o644)
    file.write_bytes(b"\0" * file.stat().st_size)
    assert project.run("build", "recipe.yaml").ran != []


def test_another_ollama_takes_the_full_road(project: Project) -> None:
    done = project.run(
        "build", "recipe.yaml", OLLAMA_HOST="127.0.0.1:10", PYTHONPROFILEIMPORTTIME="1"
    )
    assert "pydantic" in done.err
