"""`evaluate.suites`: files are read into the recipe's tree, so that whatever is wrong in one is
told like anything else, with its place there."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from jessy_build.diagnostics import Diagnostic, code, near
from jessy_build.evaluators.config import LEVEL, SAME, Expect, Prompt, Suite
from jessy_build.recipe import merge, paths, scalars, source, tree
from jessy_build.recipe.merge import Merged
from jessy_build.recipe.paths import Ground, PathProblem
from jessy_build.recipe.placed import placed
from jessy_build.recipe.source import Entry, Node
from jessy_build.recipe.tree import Path
from jessy_build.trainers.config import BySuite

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.model import Level, Recipe

PLACE = ("evaluate", "suites")
NO_RULE = code("R320", "a prompt of a suite cannot be scored")
TWICE = code("R321", "two suites have one name")
NO_SUITE = code("R322", "a suite is not known")


def read_in(root: Node, merged: Merged, ground: Ground) -> Node:
    """The tree with the content of each file in the place of its path. One that cannot be read
    stays a path, and is among the problems."""
    try:
        listed = tree.node(root, PLACE)
    except KeyError:
        return root
    if not isinstance(listed.value, tuple):
        return root
    suites = tuple(_read(item, merged, ground) for item in listed.value)
    whole = replace(listed, value=suites)
    return merge.put(root, PLACE, whole, tree.key_span(root, PLACE))


def _read(item: Node, merged: Merged, ground: Ground) -> Node:
    text = item.value
    if not isinstance(text, str):
        return item
    try:
        found = paths.resolve(text, merged.folders[item.span.file], ground)
    except PathProblem as problem:
        merged.problems.append(merge.diagnostic(problem, item.span, ".".join(PLACE)))
        return item
    document = source.read(found.path, found.shown)
    merged.problems += map(_of_a_suite, document.problems)
    merged.folders[found.shown] = paths.folder_of(found)
    if document.sha256:
        merged.files[found.path] = document.sha256
    if document.root is None or not isinstance(document.root.value, Mapping):
        return item
    return merge.without_nulls(_named(document.root, PurePath(text).stem))


def _of_a_suite(problem: Diagnostic) -> Diagnostic:
    if problem.code != source.NOT_ONE_MAPPING:
        return problem
    return replace(problem, expected="one suite, with a field 'prompts'", hint="")


def _named(suite: Node, name: str) -> Node:
    """By its file, unless it says a name of its own."""
    assert isinstance(suite.value, Mapping)
    if "name" in suite.value:
        return suite
    entry = Entry(suite.span, Node(suite.span, name))
    return replace(suite, value={"name": entry, **suite.value})


def schema_text() -> str:
    """Of a suite in a file of its own, where its name may be the file's."""
    from jessy_build.recipe.documented import DocumentedSchema

    made = Suite.model_json_schema(schema_generator=DocumentedSchema)
    made["required"] = [name for name in made["required"] if name != "name"]
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    whole = {**draft, **made, "title": "jessy-build suite"}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def of(recipe: "Recipe") -> tuple[Suite, ...]:
    """Those that could be read."""
    return tuple(suite for _, suite in _placed(recipe))


def named(recipe: "Recipe", name: str) -> Suite:
    return next(suite for suite in of(recipe) if suite.name == name)


def expected(suite: Suite, prompt: Prompt, levels: Mapping[str, "Level"]) -> dict[str, Any]:
    """What must hold of an answer, by the names of rules, as plain JSON."""
    said = _said(suite, prompt)
    if said.get("words") == LEVEL:
        bounds = levels[str(prompt.complexity)].words
        said["words"] = {"min": bounds.min, "max": bounds.max}
    if said.get("language") == SAME:
        said["language"] = prompt.language
    return said


def _said(suite: Suite, prompt: Prompt) -> dict[str, Any]:
    """What the prompt says itself comes before what its suite says of all."""
    whole, own = (
        expect.model_dump(mode="json", exclude_none=True)
        for expect in (suite.expect, prompt.expect)
    )
    return {**whole, **own}


def prompts_can_be_scored(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    for index, suite in _placed(loaded.recipe):
        for number, prompt in enumerate(suite.prompts):
            said = _said(suite, prompt)
            place = (*PLACE, index, "prompts", number)
            if not said:
                yield placed(
                    loaded,
                    place,
                    NO_RULE,
                    "nothing is expected of the answer",
                    expected="expect: " + ", ".join(Expect.model_fields),
                    hint="write what must hold here, or in the suite's own expect",
                )
            if said.get("language") == SAME and prompt.language is None:
                yield _unsaid(loaded, place, "language", f"language: {SAME}")
            if said.get("words") == LEVEL and prompt.complexity is None:
                yield _unsaid(loaded, place, "complexity", f"words: {LEVEL}")


def _unsaid(loaded: "LoadedRecipe", place: Path, field: str, rule: str) -> Diagnostic:
    return placed(
        loaded,
        place,
        NO_RULE,
        f"`{rule}` is expected, and the prompt does not say its {field}",
        expected=f"{field}: ... beside the prompt",
    )


def levels_are_known(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    levels = loaded.opened.levels
    for index, suite in _placed(loaded.recipe):
        for number, prompt in enumerate(suite.prompts):
            level = prompt.complexity
            if level is not None and levels is not None and level not in levels:
                yield placed(
                    loaded,
                    (*PLACE, index, "prompts", number, "complexity"),
                    NO_RULE,
                    f"there is no level {scalars.told(level)}",
                    expected=", ".join(levels),
                    hint=near(level, levels),
                )


def names_are_one_suite_each(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    seen: set[str] = set()
    for index, suite in _placed(loaded.recipe):
        if suite.name in seen:
            yield placed(
                loaded,
                (*PLACE, index),
                TWICE,
                f"there is a suite {scalars.told(suite.name)} before this one",
                hint="give this one a name of its own: `name: ...` in its file",
            )
        seen.add(suite.name)


def the_suite_to_keep_by_is_known(loaded: "LoadedRecipe") -> Iterator[Diagnostic]:
    keep = loaded.recipe.train.keep
    if not isinstance(keep, BySuite):
        return
    names = [suite.name for suite in of(loaded.recipe)]
    unread = loaded.recipe.evaluate is not None and len(names) < len(loaded.recipe.evaluate.suites)
    if keep.suite in names or unread:
        return
    yield placed(
        loaded,
        ("train", "keep", "suite"),
        NO_SUITE,
        f"there is no suite {scalars.told(keep.suite)}",
        expected=", ".join(dict.fromkeys(names))
        or "the name of one of evaluate.suites, of which there is none",
        hint=near(keep.suite, names) or "list its file in evaluate.suites",
    )


def _placed(recipe: "Recipe") -> Iterator[tuple[int, Suite]]:
    """With their places in the list."""
    suites = recipe.evaluate.suites if recipe.evaluate else ()
    for index, suite in enumerate(suites):
        if isinstance(suite, Suite):
            yield index, suite
