"""A diff fit for a pull request: tables, samples that unfold, and no longer than a comment may be.

Whatever users, models or files say stands in code spans: it can neither notify a person (`@`) nor
become a link, a picture or HTML.
"""

import re
from collections.abc import Iterator, Sequence

from jessy_build.plan.diff import Category, Diff, Field
from jessy_build.steps import diff_words as words

LONGEST = 65_000
"""Characters; GitHub takes 65,536 in one comment."""
SHORTER = (10_000, 200, 50, 20, 8, 3, 1)
"""Rows of a table, or lines of a text, that are tried until the whole fits."""
WIDEST = 240
"""Characters of a value."""


def markdown(diff: Diff) -> str:
    for most in SHORTER:
        text = "\n".join(_Page(most).lines(diff)) + "\n"
        if len(text) <= LONGEST:
            return text
    return text[: LONGEST - 4] + "\n…\n"


class _Page:
    def __init__(self, most: int) -> None:
        self.most = most

    def lines(self, diff: Diff) -> Iterator[str]:
        left, right = diff.left, diff.right
        if diff.same:
            yield f"{_code(left.name)} and {_code(right.name)} are the same."
        else:
            yield f"### {_code(left.model or left.name)} → {_code(right.model or right.name)}"
            yield ""
            yield f"{_code(left.name)} compared with {_code(right.name)}"
        for note in diff.notes:
            yield ""
            yield f"> {_text(note)}"
        yield from self._fields("Fields", diff.fields)
        yield from self._steps(diff)
        yield from self._categories(diff.categories)
        yield from self._table(
            "Artifacts",
            ("file", "old → new"),
            [(_text(p.name), _text(words.product(p.old, p.new))) for p in diff.artifacts],
        )
        yield from self._table(
            "Metrics",
            ("", "old → new", "", "by what"),
            [
                (m.name, _text(words.metric(m)), _verdict(m.verdict), _text(words.evidence(m)))
                for m in diff.metrics
            ],
        )
        yield from self._table(
            "Cost of the answers in the data set",
            ("category", "measure", "old → new"),
            [(_code(c.category), c.measure, _text(words.cost(c))) for c in diff.cost],
        )
        yield from self._fields("Told by the server", diff.served)

    def _fields(self, title: str, fields: Sequence[Field]) -> Iterator[str]:
        rows = [(_code(f.field), _code(words.values(f)), _code(f.where)) for f in fields]
        yield from self._table(title, ("field", "old → new", "where"), rows)
        for field in [field for field in fields if field.lines][: self.most]:
            yield ""
            yield f"<details><summary>{_html(field.field)}</summary>"
            yield ""
            yield from self._fenced(field.lines)
            yield ""
            yield "</details>"

    def _fenced(self, lines: Sequence[str]) -> Iterator[str]:
        shown = [line[:WIDEST] for line in lines[: self.most]]
        fence = "`" * max(
            3, 1 + max((len(run) for run in re.findall("`+", "\n".join(shown))), default=0)
        )
        yield f"{fence}diff"
        yield from shown
        if len(lines) > len(shown):
            yield f"… and {len(lines) - len(shown)} more lines"
        yield fence

    def _steps(self, diff: Diff) -> Iterator[str]:
        rows = [(_code(s.step), _code(s.because), s.decision) for s in diff.steps]
        yield from self._table("Steps", ("step", "because", "a build now"), rows)
        if rows and diff.shared:
            yield ""
            yield f"{diff.shared} more are shared: one artifact serves both."

    def _categories(self, categories: Sequence[Category]) -> Iterator[str]:
        rows = [
            (_code(c.category), words.counts(c.old, c.new), _text(words.items(c)))
            for c in categories
        ]
        yield from self._table("Rows", ("category", "rows", "items"), rows)
        for category in categories[: self.most]:
            yield from self._cells(category)
            yield from self._samples(category)

    def _cells(self, category: Category) -> Iterator[str]:
        rows = [(_code(words.cell(c)), words.counts(c.old, c.new)) for c in category.cells]
        if rows:
            yield ""
            yield f"<details><summary>{_html(category.category)}: rows of each cell</summary>"
            yield from self._table("", ("topic · language · level", "rows"), rows)
            yield ""
            yield "</details>"

    def _samples(self, category: Category) -> Iterator[str]:
        samples = category.items.samples if category.items else {}
        rows = [
            (kind, _code(s.question), _code(s.old or ""), _code(s.new or ""))
            for kind, found in samples.items()
            for s in found
        ]
        if rows:
            yield ""
            yield f"<details><summary>{_html(category.category)}: samples</summary>"
            yield from self._table("", ("", "asked", "old answer", "new answer"), rows)
            yield ""
            yield "</details>"

    def _table(
        self, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> Iterator[str]:
        if not rows:
            return
        yield ""
        if title:
            yield f"#### {title}"
            yield ""
        yield f"| {' | '.join(heads)} |"
        yield f"|{'---|' * len(heads)}"
        yield from (f"| {' | '.join(row)} |" for row in rows[: self.most])
        if len(rows) > self.most:
            yield ""
            yield f"… and {len(rows) - self.most} more"


def _verdict(verdict: str) -> str:
    return {"better": "✅ better", "worse": "❌ worse", "changed": ""}.get(verdict, verdict)


def _code(text: str) -> str:
    """A code span that holds the text whatever it is; a bar would end the cell of a table."""
    text = " ".join(text.split())
    if not text:
        return ""
    text = text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if "`" in (text[0], text[-1]) else ""
    return f"{fence}{space}{text}{space}{fence}".replace("|", "\\|")


def _text(text: str) -> str:
    """Our own words, which may hold a name or two of the user's."""
    return re.sub(r"([\\`*_{}\[\]<>#@|~!])", r"\\\1", " ".join(text.split()))


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("@", "@&#8203;")
