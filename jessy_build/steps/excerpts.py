"""Which excerpt of a file each item is about, where a category has sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from jessy_build import digest

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.sources.excerpt import Excerpt

TEXTS = "sources (excerpts)"
"""What the texts are called among what a step is about."""
MOST_NOTED = 1 << 18
"""Characters of a category's excerpts."""
Place = tuple[str, str, str]
"""Topic, language and level."""


class Celled(Protocol):
    """What an item is one of."""

    @property
    def topic(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def level(self) -> str: ...


@dataclass(frozen=True)
class Dealt:
    """The excerpts of a category, and the number of that of each item."""

    excerpts: "Sequence[Excerpt]"
    numbers: Mapping[Place, Sequence[int]]

    def of(self, cell: Celled, ordinal: int) -> "Excerpt":
        return self.excerpts[self.numbers[cell.topic, cell.language, cell.level][ordinal]]

    @cached_property
    def used(self) -> "list[Excerpt]":
        """Those that some item is about, in the files' order."""
        numbers = {number for some in self.numbers.values() for number in some}
        return [self.excerpts[number] for number in sorted(numbers)]

    @cached_property
    def digest(self) -> str:
        """Of what each item is about, without the lines: what only moved is no other row."""
        keys = [[excerpt.key, excerpt.digest] for excerpt in self.used]
        return digest.of_value([keys, self._named])

    @cached_property
    def places(self) -> list[Any]:
        """All that a prompt may read of them."""
        return [[excerpt.variables for excerpt in self.used], self._named]

    @property
    def _named(self) -> list[Any]:
        return [
            [*place, [self.excerpts[number].key for number in numbers]]
            for place, numbers in self.numbers.items()
        ]


def dealt(loaded: "LoadedRecipe", category: str, rows: Mapping[Place, int]) -> Dealt | None:
    found = loaded.opened.excerpts.get(category)
    if not found:
        return None
    from jessy_build.plan import dealing

    weights = _weights(loaded, category, rows)
    return Dealt(found, dealing.deal(rows, weights, [excerpt.key for excerpt in found]))


def _weights(
    loaded: "LoadedRecipe", category: str, rows: Mapping[Place, int]
) -> dict[Place, float]:
    wanted = loaded.recipe.categories[category]
    topics = {topic.name: topic.count or 1 for topic in loaded.topics(category)}
    languages = {str(name): weight for name, weight in (wanted.languages or {"tr": 1}).items()}
    levels = wanted.complexity or dict.fromkeys(loaded.recipe.complexity, 1.0)
    return {
        (topic, language, level): topics[topic] * languages[language] * levels[level]
        for topic, language, level in rows
    }


def about(loaded: "LoadedRecipe", category: str) -> dict[str, Any]:
    """The text of each excerpt by its name, to tell which one was edited, and where. Of very many
    their digests: it is noted with every artifact."""
    found = loaded.opened.excerpts.get(category, ())
    if not found:
        return {}
    few = sum(len(excerpt.text) for excerpt in found) <= MOST_NOTED
    texts = {excerpt.key: excerpt.text if few else excerpt.digest for excerpt in found}
    return {f"categories.{category}.{TEXTS}": texts}
