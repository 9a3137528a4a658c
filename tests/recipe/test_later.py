"""No field is taken and then does nothing: it is read, or a recipe that writes it is told."""

import re
from pathlib import Path

import pytest

import jessy_build
from jessy_build.diagnostics import RecipeError
from jessy_build.packaging.config import Parameters
from jessy_build.recipe import later, model
from jessy_build.recipe.load import load
from tests.recipe import walk

PACKAGE = Path(jessy_build.__file__).parent

WRITTEN = {
    # Each line of the table, as somebody would write it into a recipe that is right.
    "base.model=ollama:*": "base={model: 'ollama:gemma3:270m', sha256: null}",
    "export.kind=adapter": "export.kind=adapter",
    "evaluate.compare_with": "evaluate={prompts: [x], compare_with: [base, previous]}",
    "evaluate.scenarios": "evaluate={prompts: [x], scenarios: [a.feature]}",
    "evaluate.gates": "evaluate={prompts: [x], gates: {turkish: {min: 0.9}}}",
}
OFF = (
    # Written as this version does it anyway: nothing is promised, so nothing is refused.
    *("deploy.ollama={model: jessy, keep: null}", "dataset.include=[]"),
    *("export.kind=fused", "modelfile.template=auto"),
    *("evaluate={prompts: [x], compare_with: [base]}", "dataset.marker=none"),
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "Justfile").touch()
    (tmp_path / "rows.jsonl").write_text('{"user": "naber", "assistant": "İyiyim, senden?"}\n')
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "recipe: 1\nname: x\nversion: v1\n"
        "base: {model: 'pypi:some==1#model.gguf', sha256: '" + "0" * 64 + "'}\n"
        "teachers: {curated: {kind: curated, files: [rows.jsonl]}}\n"
        "categories: {smalltalk: {teacher: curated, count: all}}\n"
    )
    return path


@pytest.mark.parametrize("key", later.LATER)
def test_what_comes_later_is_refused_with_something_to_do_today(recipe: Path, key: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(recipe, [WRITTEN[key]])
    (problem,) = caught.value.diagnostics
    assert problem.code == "R223" and problem.severity == "error"
    assert problem.hint and later.LATER[key].lacks in problem.problem
    assert problem.span.line == 1 and problem.field.startswith(key.partition(".*")[0].split("=")[0])


@pytest.mark.parametrize("override", OFF)
def test_what_asks_for_nothing_is_taken(recipe: Path, override: str) -> None:
    load(recipe, [override])


def test_every_field_is_read_somewhere_or_stands_in_the_table() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("model.py", "later.py")
    )
    unread = [
        path
        for _, name, path in walk.fields_of_today()
        # As an attribute, or by its name where a whole block was dumped into a step's parameters.
        if not re.search(rf"\.{name}\b|\[\"{name}\"\]|\"{name}\"", code)
        and path not in READ_BY_ALL_OR_NONE
    ]
    assert unread == []


READ_BY_ALL_OR_NONE = {
    # The only version of the language; another number is refused by its type.
    "recipe",
    # Handed to Ollama as a whole: `Parameters.given`.
    *(f"modelfile.parameters.{name}" for name in Parameters.model_fields),
}


def test_the_table_names_no_field_that_is_not_there() -> None:
    paths = {path for _, _, path in walk.fields()}
    assert {key.partition("=")[0] for key in later.LATER} <= paths
    with pytest.raises(LookupError):
        later.owners("train.early_stops")


def test_what_comes_later_is_part_of_no_key_and_of_no_stored_recipe() -> None:
    for key in later.LATER:
        field, _, values = key.partition("=")
        if not values:
            for cls, name in later.owners(field):
                assert cls.model_fields[name].exclude, f"{field} needs exclude=True"


def test_what_comes_later_is_documented_as_such() -> None:
    schema = model.json_schema()
    said = [
        field["description"]
        for block in [schema, *schema["$defs"].values()]
        for field in block.get("properties", {}).values()
        if field.get("description", "").lower().endswith("not in this version.")
    ]
    assert len(said) == len(later.LATER)
