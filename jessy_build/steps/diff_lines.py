"""A diff as people read it in a terminal."""

from collections.abc import Iterator, Sequence

from jessy_build.plan.diff import Category, Diff, Field, Sample
from jessy_build.steps import diff_words as words

CELLS = 12
LINES = 12
"""Of a changed text."""
SIGNS = {"added": "+", "removed": "−", "changed": "~"}
LONGEST = 90
"""Characters of a sample's question or answer."""


def lines(diff: Diff, *, full: bool = False) -> Iterator[str]:
    yield words.head(diff)
    yield from (f"note: {note}" for note in diff.notes)
    if diff.same and not full:
        return
    yield from _titled("Fields", _fields(diff.fields, full))
    yield from _titled("Steps", _steps(diff))
    yield from _titled("Rows", _categories(diff.categories, full))
    yield from _titled("Artifacts", _artifacts(diff))
    yield from _titled("Metrics", _metrics(diff))
    yield from _titled("Cost of the answers in the data set", _costs(diff))
    yield from _titled("Told by the server", _block(diff.served, full))


def _titled(title: str, found: Iterator[str]) -> Iterator[str]:
    first = next(found, None)
    if first is not None:
        yield ""
        yield title
        yield first
        yield from found


def _fields(fields: Sequence[Field], full: bool) -> Iterator[str]:
    for group, found in words.grouped(fields):
        yield f"  {group}"
        yield from (f"  {line}" for line in _block(found, full))


def _block(fields: Sequence[Field], full: bool) -> Iterator[str]:
    told = [(field, words.values(field)) for field in fields]
    width = max((len(field.field) for field in fields), default=0)
    wide = max((len(value) for _, value in told), default=0)
    for field, value in told:
        yield f"  {field.field:{width}}  {value:{wide}}  {field.where}".rstrip()
        most = len(field.lines) if full else LINES
        yield from (f"      {line}" for line in field.lines[:most])
        if len(field.lines) > most:
            yield f"      … and {len(field.lines) - most} more lines (--full shows them)"


def _steps(diff: Diff) -> Iterator[str]:
    width = max((len(step.step) for step in diff.steps), default=0)
    wide = max((len(step.because) for step in diff.steps), default=0)
    for step in diff.steps:
        yield f"  {step.step:{width}}  {step.because:{wide}}  {step.decision}".rstrip()
    if diff.steps and diff.shared:
        yield f"  {diff.shared} more are shared: one artifact serves both"


def _categories(categories: Sequence[Category], full: bool) -> Iterator[str]:
    width = max((len(category.category) for category in categories), default=0)
    for category in categories:
        yield f"  {category.category:{width}}  {words.counts(category.old, category.new)}"
        shown = category.cells if full else category.cells[:CELLS]
        label = max((len(words.cell(cell)) for cell in shown), default=0)
        for cell in shown:
            yield f"    {words.cell(cell):{label}}  {words.counts(cell.old, cell.new)}"
        if len(category.cells) > len(shown):
            yield f"    … and {len(category.cells) - len(shown)} more cells (--full shows them)"
        if told := words.items(category):
            yield f"    {told}"
        if category.items is not None:
            for kind, samples in category.items.samples.items():
                for sample in samples:
                    yield from (f"      {line}" for line in _sample(SIGNS[kind], sample))


def _sample(sign: str, sample: Sample) -> Iterator[str]:
    yield f"{sign} {_cut(sample.question)}"
    for answer, mark in ((sample.old, "−"), (sample.new, "+")):
        if answer is not None:
            yield f"    {mark if sign == '~' else '›'} {_cut(answer)}"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _artifacts(diff: Diff) -> Iterator[str]:
    width = max((len(product.name) for product in diff.artifacts), default=0)
    for product in diff.artifacts:
        yield f"  {product.name:{width}}  {words.product(product.old, product.new)}"


def _metrics(diff: Diff) -> Iterator[str]:
    width = max((len(metric.name) for metric in diff.metrics), default=0)
    wide = max((len(words.metric(metric)) for metric in diff.metrics), default=0)
    for metric in diff.metrics:
        verdict = "" if metric.verdict == "changed" else metric.verdict
        yield f"  {metric.name:{width}}  {words.metric(metric):{wide}}  {verdict}".rstrip()
        if told := words.evidence(metric):
            yield f"    {told}"


def _costs(diff: Diff) -> Iterator[str]:
    width = max((len(cost.category) for cost in diff.cost), default=0)
    wide = max((len(cost.measure) for cost in diff.cost), default=0)
    for cost in diff.cost:
        yield f"  {cost.category:{width}}  {cost.measure:{wide}}  {words.cost(cost)}"
