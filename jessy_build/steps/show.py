"""show: one example with its messages and all that is known of where it comes from."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from jessy_build.steps import past
from jessy_build.steps.provenance import Asked, Item

BUILDS = 5
"""Builds that are named one by one."""


def to_json(item: Item) -> dict[str, Any]:
    return asdict(item)


def lines(item: Item) -> Iterator[str]:
    yield f"{item.id}  {item.slot}"
    yield ""
    for message in item.messages:
        yield from _said(message["role"], message["content"])
    if item.edited:
        yield ""
        yield "Edited in a review; it trains as:"
        for message in item.edited:
            yield from _said(message["role"], message["content"])
    yield ""
    facts = list(_facts(item))
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        yield f"  {name:{width}}   {value}"
    if item.asked:
        yield ""
        shown = len(item.asked.shown)
        besides = f", and {shown} earlier questions were shown" if shown else ""
        yield f"What was asked{besides}:"
        for role, text in item.asked.prompt:
            yield from _said(role, text)
        for question in item.asked.shown:
            yield from _said("asked", question)


def _said(role: str, text: str) -> Iterator[str]:
    first, *rest = text.splitlines() or [""]
    yield f"  {role:9}  {first}"
    for line in rest:
        yield f"  {'':9}  {line}".rstrip()


def _facts(item: Item) -> Iterator[tuple[str, str]]:
    for name in ("category", "topic", "language", "level"):
        yield (name, getattr(item, name) or "–")
    if item.iterations is not None:
        yield ("iterations", str(item.iterations))
    yield ("teacher", item.teacher)
    if item.asked:
        yield from _answer(item.asked)
    elif len(item.source) == 64:
        yield ("request", f"{item.source} (its answer is not in this store)")
    else:
        yield ("row", item.source)
    if item.template:
        yield ("template", f"{item.template.file}   sha256 {item.template.sha256[:12]}")
    if cited := item.excerpt:
        place = f"{cited.path}:{cited.lines}"
        yield ("excerpt", f"{place}   {cited.name}   sha256 {cited.sha256[:12]}")
    yield ("step", f"{item.step}, made {past.moment(item.made_at)}   key {item.key[:12]}")
    yield from _fate(item)


def _answer(asked: Asked) -> Iterator[tuple[str, str]]:
    model = asked.answered_by
    other = "" if model == asked.model else f" (asked for as {asked.model})"
    yield ("model", f"{model}{other} of {asked.provider}")
    draw = f"sample {asked.sample}" + (f", attempt {asked.attempt + 1}" if asked.attempt else "")
    yield ("request", f"{asked.request}   {draw}")
    if asked.mended:
        how = {"corrected": "its teacher put it right", "repaired": "its JSON was repaired here"}
        yield (asked.mended, f"the first answer could not be read; {how[asked.mended]}")
    usage = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in asked.usage.items())
    yield ("answered", f"{past.moment(asked.answered_at)} in {asked.seconds:.1f} s   {usage}")


def _fate(item: Item) -> Iterator[tuple[str, str]]:
    for verdict in item.verdicts:
        word = "rejected" if verdict.severity == "error" else "warning"
        yield (word, f"{verdict.rule}: {verdict.message}")
    if judged := item.judged:
        scores = ", ".join(f"{name} {score}" for name, score in judged.scores.items())
        yield ("judged", f"{scores}   by {judged.teacher} ({judged.model}): {judged.reason}")
    for split, enhanced in dict.fromkeys((h.split, h.enhanced) for h in item.held_by):
        held = [h for h in item.held_by if (h.split, h.enhanced) == (split, enhanced)]
        named = ", ".join(f"build:{h.build} ({h.recipe} {h.version})" for h in held[:BUILDS])
        more = f" and {len(held) - BUILDS} more" if len(held) > BUILDS else ""
        yield (split, f"in the data set of {named}{more}")
        for one in enhanced:
            ends = "at both ends" if one.where == "both" else f"at the {one.where}"
            yield (one.kind, f"'{one.text}' was put {ends} of turn {one.turn + 1}")
    if not item.held_by and not item.rejected:
        yield ("split", "in no data set yet")
