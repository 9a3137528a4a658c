"""`--scale 0.25`: the same recipe with a part of its rows, for a smaller first try.

A recipe in, a recipe out: what is built of it lies beside the real build and replaces nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from jessy_build.recipe import matrix, quotas
from jessy_build.recipe.model import Category, Topic
from jessy_build.teachers.curated import Row

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe


def share_of(text: str) -> Fraction:
    """`0.25`, `1/4` or `25%`. ValueError for what is no part of the whole."""
    number = Fraction(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < number <= 1:
        raise ValueError(text)
    return number


def percent(share: Fraction) -> str:
    return f"{float(share * 100):g}"


def scaled(loaded: "LoadedRecipe", share: Fraction) -> "LoadedRecipe":
    if share == 1:
        return loaded
    recipe = loaded.recipe
    categories = {name: part_of(c, share) for name, c in recipe.categories.items()}
    # Of a recipe that is whole in itself every row is taken; here the part has to be chosen.
    rows = {
        name: _part(rows, share) if recipe.categories[name].count == "all" else rows
        for name, rows in loaded.rows.items()
    }
    version = matrix.fitted(recipe.version, f"{percent(share)}pct")
    return replace(
        loaded,
        recipe=recipe.model_copy(update={"categories": categories, "version": version}),
        rows=rows,
        variant=f"{loaded.variant} at {percent(share)} %".lstrip(),
        options=(*loaded.options, "--scale", f"{percent(share)}%"),
    )


def part_of(category: Category, share: Fraction) -> Category:
    if category.count == "all":
        return category
    topics = quotas.as_written(category)
    given = [_at_least_one(topic.count * share) for topic in topics if topic.count is not None]
    others = len(topics) - len(given)
    count = _at_least_one(category.count * share) if others or not topics else 0
    # A topic is never scaled away, so many small ones may together keep more than the share.
    count = max(count, sum(given) + others)
    update: dict[str, Any] = {"count": count}
    if given:
        update["topics"] = tuple(_topic(topic, share) for topic in topics)
    for field in ("languages", "complexity"):
        if weights := getattr(category, field):
            update[field] = _as_shares(weights)
    return category.model_copy(update=update)


def _topic(topic: Topic, share: Fraction) -> Topic:
    if topic.count is None:
        return topic
    return topic.model_copy(update={"count": _at_least_one(topic.count * share)})


def _as_shares(weights: Mapping[Any, float]) -> Mapping[Any, float]:
    """Rows that summed to the old count are meant as its shares."""
    if quotas.are_shares(weights):
        return weights
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _at_least_one(rows: Fraction) -> int:
    return max(1, math.ceil(rows))


def _part(rows: Sequence[Row], share: Fraction) -> tuple[Row, ...]:
    """Chosen by what is asked, so that it holds however the file is ordered or added to.

    A smaller part lies within a larger one.
    """
    wanted = _at_least_one(len(rows) * share)
    chosen = sorted(range(len(rows)), key=lambda at: (_drawn(rows[at]), at))[:wanted]
    return tuple(rows[at] for at in sorted(chosen))


def _drawn(row: Row) -> bytes:
    asked = "\0".join(message.content for message in row.messages if message.role == "user")
    return sha256(asked.encode()).digest()
