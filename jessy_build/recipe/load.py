"""A path → a recipe that can be built, or every problem in its files at once. Asks no network.

One straight line: nodes, shape, the files that are named, rules. What is broken is set aside, so
that everything else can still be checked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from jessy_build import settings
from jessy_build.diagnostics import Diagnostic, RecipeError, Span
from jessy_build.recipe import (
    checks,
    files,
    merge,
    quotas,
    review,
    shape,
    source,
    suites,
    text,
    tree,
)
from jessy_build.recipe.files import EvalPrompt, Files
from jessy_build.recipe.matrix import Combination
from jessy_build.recipe.model import Recipe, Topic
from jessy_build.recipe.paths import Found, Ground
from jessy_build.recipe.review import Decisions
from jessy_build.recipe.templates import Template
from jessy_build.recipe.tree import Path as Place
from jessy_build.teachers.curated import Row

__all__ = ["EvalPrompt", "LoadedRecipe", "load", "source_lines"]


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe with all that it names, and the place where each field was written."""

    recipe: Recipe
    path: Path
    project: Path
    templates: Mapping[str, Template]
    """The prompt of each category that asks a teacher."""
    system: str | None
    """The persona's system text, rendered."""
    rows: Mapping[str, tuple[Row, ...]]
    """For each curated category the rows it may take, in the files' order."""
    evaluate_prompts: tuple[EvalPrompt, ...]
    chat_template_text: str | None
    """When `base.chat_template` is a file."""
    judge: Template | None
    """What the judge among the validators is asked about a row."""
    files: Mapping[str, str]
    """sha256 of every file read, by its path inside the project."""
    opened: Files = field(repr=False, compare=False)
    review: Decisions = field(default_factory=dict, repr=False)
    """What people decided about examples, in the file beside the recipe."""
    lost: frozenset[Place] = frozenset()
    """What was wrong and is set aside; only checks ever see a recipe where something is."""
    warnings: tuple[Diagnostic, ...] = ()
    today: date = field(default_factory=date.today, compare=False)
    """What the age of prices is counted from."""
    variant: str = ""
    """What tells this build from the recipe's own: one of its matrix, or a part of its rows."""
    options: tuple[str, ...] = ()
    """What one types behind the recipe to mean this build: `--variant rank8`, `--scale 25%`."""

    def span_of(self, field: str | Place) -> Span:
        """Where a field was written; of a default, the nearest block around it."""
        root = self.opened.root
        place = tree.find(root, field) if isinstance(field, str) else field
        return tree.span(root, place)

    def says(self, field: str) -> bool:
        """Whether the field, or the block that it would stand in, is written in the recipe."""
        return bool(tree.find(self.opened.root, field))

    def origin(self, field: str | Place) -> Path:
        """The folder that paths in this field are relative to."""
        return self.opened.folder(self.span_of(field)).path.resolve()

    def topics(self, category: str) -> tuple[Topic, ...]:
        """Each topic with its rows, which sum to the category's count.

        A category without topics has one, named as itself.
        """
        return quotas.topics(category, self.recipe.categories[category])

    def picked(self, category: str) -> tuple[Row, ...]:
        """The rows of a curated category, labelled so that all its quotas are met."""
        return quotas.pick(self.recipe.categories[category], self.rows[category])


def load(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    today: date | None = None,
    combination: Combination | None = None,
) -> LoadedRecipe:
    """RecipeError with all problems of the recipe and of the files it names.

    With a combination it is that one of the recipe's matrix, without: the recipe around it.
    """
    path = Path(path)
    project = project_of(path)
    merged = merge.read(Found(path, str(path)), overrides, project)
    first = tuple(merged.folders)
    if merged.root is None:
        raise _told(merged.problems, first)
    if combination:
        merged.root = combination.applied(merged.root)
    merged.root = suites.read_in(merged.root, merged, Ground(project, merge.may_leave(merged.root)))
    if tree.size(merged.root) > source.MAX_VALUES:
        problem = Diagnostic(text.TOO_LARGE, merged.root.span, "", source.TOO_MANY_VALUES)
        raise _told([*merged.problems, problem], first)
    shaped = shape.shape(merged.root)
    told = {problem.field for problem in merged.problems if problem.field}
    problems = [*merged.problems, *(d for d in shaped.problems if d.field not in told)]
    if shaped.recipe is None:
        raise _told(problems, first)
    ground = Ground(project, shaped.recipe.allow_outside)
    opened = files.open_all(shaped.recipe, merged.root, merged, ground)
    reviewed = review.read(path)
    if reviewed.sha256:
        opened.named.add(review.path_of(path))
    loaded = LoadedRecipe(
        recipe=shaped.recipe,
        path=path.resolve(),
        project=project,
        templates=opened.templates,
        system=opened.system,
        rows=opened.rows,
        evaluate_prompts=opened.evaluate_prompts,
        chat_template_text=opened.chat_template_text,
        judge=opened.judge,
        files=opened.digests,
        opened=opened,
        review=reviewed.decisions,
        lost=shaped.lost,
        today=today or date.today(),
        variant=combination.label if combination else "",
        options=("--variant", combination.label) if combination else (),
    )
    problems += reviewed.problems
    found = [*opened.problems, *(problem for check in checks.CHECKS for problem in check(loaded))]
    problems += [d for d in found if not _follows(d, shaped.lost) and d.field not in told]
    if any(problem.severity == "error" for problem in problems):
        raise _told(problems, first)
    return replace(loaded, warnings=tuple(problems))


SHOWN = 200
"""Problems told one by one: nobody mends more at a time."""


def _told(problems: list[Diagnostic], first: Sequence[str]) -> RecipeError:
    error = RecipeError(problems, first)
    if len(problems) <= SHOWN:
        return error
    span = error.diagnostics[SHOWN].span
    problem = f"{len(problems) - SHOWN:,} more problems stand from here on"
    more = Diagnostic(source.MANY_PROBLEMS, span, "", problem, hint=source.FIRST_THOSE_ABOVE)
    error.diagnostics[SHOWN:] = [more]
    return error


def source_lines(overrides: Sequence[str] = ()) -> Callable[[str], Sequence[str]]:
    """For `diagnostics.render`: the lines of a file that a problem names, or of the overrides."""
    last: dict[str, Sequence[str]] = {}

    def lines(file: str) -> Sequence[str]:
        if file == merge.SET:
            return overrides
        if file not in last:
            # Problems come file by file.
            last.clear()
            last[file] = text.lines_of(Path(file))
        return last[file]

    return lines


def project_of(path: Path) -> Path:
    """The folder that the paths of a recipe may not leave."""
    try:
        return settings.project_of(path)
    except (OSError, RuntimeError):
        # Links that lead in a circle; reading the recipe tells it better.
        return path.parent


def _follows(problem: Diagnostic, lost: frozenset[Place]) -> bool:
    """Whether it may come from what was set aside in the same block, and so be no news."""
    words = problem.field.split(".")
    blocks = {tuple(map(str, place[: _width(str(place[0]))])) for place in lost if place}
    return tuple(words[: _width(words[0])]) in blocks


def _width(block: str) -> int:
    return 2 if block in ("categories", "teachers") else 1
