"""How many rows each topic, language and level of a category gets, and whether that adds up."""

from collections.abc import Mapping
from dataclasses import dataclass

from jessy_build.recipe.model import Category, Topic

TOLERANCE = 1e-6


def topics(name: str, category: Category) -> tuple[Topic, ...]:
    """Topics with their counts filled in; what is left after those given is shared evenly."""
    written = as_written(category) or (Topic(name=name),)
    if category.count == "all":
        return written
    open_ones = [topic for topic in written if topic.count is None]
    left = category.count - sum(topic.count or 0 for topic in written)
    each, more = divmod(max(left, 0), len(open_ones)) if open_ones else (0, 0)
    counts = iter([each + 1] * more + [each] * (len(open_ones) - more))
    return tuple(
        topic if topic.count is not None else topic.model_copy(update={"count": next(counts)})
        for topic in written
    )


def as_written(category: Category) -> tuple[Topic, ...]:
    match category.topics:
        case None:
            return ()
        case dict() as counts:
            return tuple(Topic(name=name, count=count) for name, count in counts.items())
        case listed:
            return tuple(Topic(name=t) if isinstance(t, str) else t for t in listed)


def are_shares(weights: Mapping[str, float]) -> bool:
    """Weights that sum to 1 are shares; all others are meant as rows."""
    return abs(sum(weights.values()) - 1) <= TOLERANCE
