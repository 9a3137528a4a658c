"""How long the rows of a data set will be in tokens, as far as anybody can know before it is made.

No plan asks a tokenizer: bytes are counted instead.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build.engine.rebuild import Decision, Reuse
from jessy_build.engine.store import Store
from jessy_build.plan.step import Plan
from jessy_build.steps.desk import Asking
from jessy_build.steps.items import Picked

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe

BYTES: Mapping[str, float] = {"en": 3.9}
"""Of a token, as counted in our curated rows."""
OTHER_BYTES = 2.8
"""The same in any other language: Turkish has 3.4 in a large vocabulary, and 2.2 in a small one."""
MARKS = 5
"""Tokens around each message: who speaks, and where it ends."""
WORD = 6.5
"""Bytes of a word that nobody has written yet, and of the space behind it."""
QUESTION = 12
"""Words of a question that nobody has asked yet."""
TRAIN = "train.jsonl"


def planned(loaded: "LoadedRecipe", plan: Plan) -> Mapping[int, float]:
    """Rows to train on, by their tokens, as the recipe asks for them."""
    learned = 1 - loaded.recipe.dataset.split.valid
    found: Counter[int] = Counter()
    for step in plan:
        if isinstance(step.payload, Picked):
            found.update(_picked(step.payload, loaded.system))
        elif step.kind == "generate" and isinstance(step.payload, Asking):
            found += _asked(loaded, step.payload)
    return {length: rows * learned for length, rows in found.items()}


def made(decision: Decision | None, store: Store) -> Mapping[int, float] | None:
    """The same of a data set that is to be used again; None where there is none here."""
    if not isinstance(decision, Reuse):
        return None
    digest, _ = decision.artifact.tree.get(TRAIN, ("", 0))
    # It may lie in a shared store only.
    file = store.object(digest) if digest else None
    return in_file(file) if file is not None and file.is_file() else None


def in_file(file: Path) -> Mapping[int, float]:
    """Of a data set that is there."""
    return Counter(_written(file))


def _written(file: Path) -> Iterator[int]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            said = [message["content"] for message in row["messages"]]
            yield _tokens(said, row.get("language"))


def _picked(picked: Picked, system: str | None) -> Iterator[int]:
    for row in picked.taken:
        said = [message.content for message in row.messages]
        alone = row.messages[0].role != "system"
        yield _tokens([system, *said] if system and alone else said, row.language)


def _asked(loaded: "LoadedRecipe", asking: Asking) -> Counter[int]:
    """Answers are taken to be in the middle of what their level allows."""
    before = [loaded.system] if loaded.system else []
    turns = _most_turns(loaded.recipe.categories[asking.questions.category].turns)
    found: Counter[int] = Counter()
    for cell in asking.questions.cells:
        words = loaded.recipe.complexity[cell.level].words
        answer = (words.min + words.max) / 2
        said = math.ceil(WORD * (QUESTION + answer) / _bytes(cell.language)) + 2 * MARKS
        found[_tokens(before, cell.language) + turns * said] += cell.rows
    return found


def _most_turns(turns: Any) -> int:
    return int(getattr(turns, "max", turns) or 1)


def _tokens(said: list[str], language: str | None) -> int:
    each = _bytes(language)
    return sum(math.ceil(len(text.encode()) / each) + MARKS for text in said)


def _bytes(language: str | None) -> float:
    return BYTES.get(language or "", OTHER_BYTES)
