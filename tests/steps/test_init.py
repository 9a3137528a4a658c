"""A project of one's own: made by `jessy init`, outside this repository."""

import re
from pathlib import Path

from tests.steps.project import Project


def started(folder: Path) -> Project:
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = Project(folder.parent).run("init", folder.name)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].startswith(f"Next: cd {folder.name} && just build")
    return Project(folder)


def test_a_new_project_has_what_it_needs_and_checks_and_plans(tmp_path: Path) -> None:
    project = started(tmp_path / "mine")
    names = {p.relative_to(project.root).as_posix() for p in project.root.rglob("*") if p.is_file()}
    assert names >= {"recipe.yaml", "Justfile", ".gitignore", "curated/rows.jsonl"}
    assert names >= {"prompts/system.j2", "prompts/smalltalk.j2"}
    assert "@JESSY@" not in (project.root / "Justfile").read_text()
    assert project.run("check", "recipe.yaml").code == 0
    plan = project.run("plan", "recipe.yaml")
    assert plan.code == 0 and "never built" in plan.out


def test_the_commented_teacher_of_a_new_project_works_once_uncommented(tmp_path: Path) -> None:
    project = started(tmp_path / "mine")
    text = (project.root / "recipe.yaml").read_text()
    text = re.sub(r"^  # (local:|everyday:|  (?=\S))", r"  \1", text, flags=re.MULTILINE)
    head, model, rest = text.partition("  model: pypi:")
    head = re.sub(r"^    (model|revision): .*\n", "", head, flags=re.MULTILINE)
    project.write(head + model + rest)
    done = project.run("check", "recipe.yaml")
    assert done.code == 0, done.err
    assert "20 items from 20 prompts: 20 to ask" in project.run("plan", "recipe.yaml").out


def test_init_never_writes_into_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = Project(tmp_path).run("init", "mine")
    assert done.code == 1 and "not empty" in done.err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
