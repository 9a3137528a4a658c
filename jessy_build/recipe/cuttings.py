"""Open the files that a category's rows are written about, and cut them into excerpts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jessy_build.diagnostics import Diagnostic, Span
from jessy_build.recipe import merge, paths
from jessy_build.recipe.files import Files
from jessy_build.recipe.paths import Found, Ground, PathProblem, Walk
from jessy_build.recipe.sourced import BROKEN, CUT_OFF, NO_EXCERPT, NO_UNITS
from jessy_build.recipe.text import UnreadableText, read_text
from jessy_build.sources import cutting, languages
from jessy_build.sources.config import Sources
from jessy_build.sources.excerpt import Excerpt

PASSED_OVER = frozenset(
    ("node_modules", "target", "venv", "site-packages", "__pycache__", "build", "builds", "dist")
)
"""Folders of what was installed or made, our own results among it. Hidden ones never match."""
MANY = 20
"""Files with a problem that are told one by one: a pattern may match thousands."""
LEAVE_OUT = "let the patterns match text alone, as src/**/*.rs does"


def open_all(files: Files, category: str, config: Sources) -> None:
    """Puts the category's excerpts into `files`, unless something is wrong with them."""
    before = len(files.problems)
    found = _found(files, category, config)
    excerpts: list[Excerpt] = []
    for path, match in found.items():
        excerpts += _excerpts(files, category, config, path, match)
    if any(problem.severity == "error" for problem in files.problems[before:]):
        return
    if not excerpts:
        _say(files, category, NO_EXCERPT, *_nothing(config, len(found)))
        return
    files.excerpts[category] = tuple(excerpts)
    _warn_of_cuts(files, category, config, excerpts)


def _found(files: Files, category: str, config: Sources) -> dict[Path, Found]:
    """The files of all patterns that are written in a wanted language, each once."""
    walk = Walk(PASSED_OVER)
    found: dict[Path, Found] = {}
    for index, pattern in enumerate(config.files):
        place = ("categories", category, "sources", "files", index)
        span = files.span(place)
        try:
            matches = paths.glob(pattern, files.folder(span), files.ground, walk)
        except PathProblem as problem:
            field = f"categories.{category}.sources.files"
            files.problems.append(merge.diagnostic(problem, span, field))
            continue
        found.update((match.path.resolve(), match) for match in matches)
    files.folders |= walk.seen
    wanted = config.languages
    named = sorted(found.items(), key=lambda pair: _name(pair[0], files.ground))
    return {
        path: match
        for path, match in named
        if wanted is None or languages.of(match.path.name) in wanted
    }


def _excerpts(
    files: Files, category: str, config: Sources, path: Path, match: Found
) -> Iterator[Excerpt]:
    name = _name(path, files.ground)
    if not cutting.has_units(languages.of(name), config.unit):
        _say(files, category, NO_UNITS, *_no_units(match.shown, config))
        return
    files.named.add(match.path)
    try:
        text, sha256 = read_text(path)
    except UnreadableText as error:
        _tell(files, replace(error.diagnostic(match.shown), hint=LEAVE_OUT))
        return
    files.digests[name] = sha256
    cut = cutting.cut(text, name, config)
    if cut.broken:
        _warn_of_broken(files, match, cut.broken)
    yield from cut.excerpts


def _say(files: Files, category: str, problem_code: str, problem: str, hint: str) -> None:
    field = ("categories", category, "sources", "files")
    told = [d for d in files.problems if d.code == problem_code and d.field == ".".join(field)]
    if len(told) < MANY:
        span = files.span(field)
        files.problems.append(Diagnostic(problem_code, span, ".".join(field), problem, hint=hint))


def _no_units(shown: str, config: Sources) -> tuple[str, str]:
    known = sorted(cutting.SUPPORTED[config.unit] or ())
    names = ", ".join(languages.LANGUAGES[word].name for word in known)
    few = f"[{', '.join(known)}]" if len(known) > 1 else f"[{known[0]}]"
    return (
        f"'{shown}' has no {config.unit}s that are known here: those are of {names}",
        f"match other files, add `languages: {few}` to pass over the rest, or take another unit",
    )


def _nothing(config: Sources, count: int) -> tuple[str, str]:
    if not count and config.languages:
        return f"no file that matches is written in {' or '.join(config.languages)}", ""
    files = "the file holds" if count == 1 else f"the {count} files hold"
    return f"{files} no {config.unit} to write about", "write another unit, or name other files"


def _warn_of_cuts(files: Files, category: str, config: Sources, excerpts: list[Excerpt]) -> None:
    cut = [excerpt for excerpt in excerpts if excerpt.left_out]
    if not cut:
        return
    place = ("categories", category, "sources")
    first = cut[0]
    are = "excerpt is" if len(cut) == 1 else "excerpts are"
    files.problems.append(
        Diagnostic(
            CUT_OFF,
            files.span(place),
            ".".join(place),
            f"{len(cut)} {are} longer than {config.max_tokens:,} tokens, and cut off:"
            f" the first is {first.path}:{first.lines} {first.name}",
            hint="raise max_tokens, or write `unit: chunk`, which leaves nothing out",
            severity="warning",
        )
    )


def _warn_of_broken(files: Files, match: Found, lines: tuple[int, ...]) -> None:
    more = f" ({len(lines) - 1} more in this file)" if len(lines) > 1 else ""
    problem = f"a syntax error: the function around it is left out{more}"
    span = Span(match.shown, lines[0], 1, 2)
    _tell(files, Diagnostic(BROKEN, span, "", problem, severity="warning"))


def _tell(files: Files, problem: Diagnostic) -> None:
    """Once, however many categories read the file."""
    if problem not in files.problems:
        files.problems.append(problem)


def _name(path: Path, ground: Ground) -> str:
    inside = path.is_relative_to(ground.project)
    return (path.relative_to(ground.project) if inside else path).as_posix()
