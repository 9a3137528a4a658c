"""The words of a data set: Message, Request, Reply, Example. JSON lines in one fixed order."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from jessy_build import digest

Role = Literal["system", "user", "assistant"]
Stop = Literal["end", "length", "refusal"]
Mended = Literal["", "corrected", "repaired"]
"""Whether an answer that could not be read was put right by its teacher, or by us."""


BATCH = "batch_"
"""Begins the names of what came with batches, as "batch_output_tokens"."""


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Role
    content: str


class Usage(NamedTuple):
    """Tokens as the server billed them; `input_tokens` is what no cache had to do with."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    thinking_tokens: int = 0
    cache_write_tokens: int = 0
    batched: bool = False
    """Whether it came with a batch, at a price of its own."""

    @property
    def plain(self) -> dict[str, int]:
        return self._asdict()

    @property
    def measures(self) -> dict[str, int]:
        """What is summed up: those of a batch under names of their own, since they cost less."""
        before = BATCH if self.batched else ""
        counts = {before + name: count for name, count in self._asdict().items() if count}
        counts.pop(BATCH + "batched", None)
        return counts


SEEDS_APART = 1_000_003
"""Between two tries for one answer. More than the samples of a question, and small enough that
dozens of tries stay below the 2**31 that servers take."""


class Request(NamedTuple):
    """What is asked. All that decides a whole answer is in its digest, which is the item's key.

    `provider` is the teacher's kind, never its host: the same model behind another address gives
    the same answer. `sample` tells apart several answers to one identical prompt, `attempt` the
    tries for one of them. How long an answer may become (`max_tokens`) and how long it may take
    are no part of the question: they decide only whether it comes to an end.
    """

    provider: str
    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    params: Mapping[str, Any] = MappingProxyType({})
    schema: Mapping[str, Any] | None = None
    sample: int = 0
    attempt: int = 0
    timeout: float | None = None
    """Seconds the answer may take, where its level of complexity sets a limit."""
    shown: tuple[str, ...] = ()
    """Questions of earlier rows in the prompt, so that another one comes of it."""
    plain_stem: str = ""
    """The stem of the same question with nothing shown, which names its answer: what was asked
    before hangs on other answers, and a question that did would be another one on each run."""

    @property
    def seed(self) -> int:
        """Another sample differs, and so does another try; the same one comes out the same."""
        return self.sample + SEEDS_APART * self.attempt

    @property
    def stem(self) -> str:
        """Names the question itself: equal for all samples of it, so that one rendering serves."""
        return self.plain_stem or digest.of_value(self.question)

    @property
    def digest(self) -> str:
        return request_digest(self.stem, self.sample, self.attempt)

    @property
    def question(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "model": self.model,
            "messages": [[message.role, message.content] for message in self.messages],
            "params": dict(self.params),
            "schema": self.schema,
        }


def request_digest(stem: str, sample: int, attempt: int = 0) -> str:
    return digest.of_bytes(f"{stem}:{sample}:{attempt}".encode())


class Reply(NamedTuple):
    """One answer. Only `stop == "end"` may become an example; `model` is what the server ran."""

    text: str
    stop: Stop
    usage: Usage
    seconds: float
    model: str
    request: str
    mended: Mended = ""
    limit: int = 0
    """The `max_tokens` at which it was cut off; 0 for one that came to its end."""
    shown: tuple[str, ...] = ()
    """Questions of earlier rows that were shown to its teacher."""

    @property
    def plain(self) -> dict[str, Any]:
        row = {**self._asdict(), "usage": self.usage.plain}
        for name in ("limit", "shown"):
            if not row[name]:
                del row[name]
        return row

    def is_cut_below(self, max_tokens: int) -> bool:
        """Whether it was cut off where it would have more room today."""
        return self.stop == "length" and self.limit < max_tokens

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Reply":
        """From what `plain` made of one."""
        shown = tuple(row.get("shown", ()))
        return cls(**{**row, "usage": Usage(**row["usage"]), "shown": shown})


class Cited(NamedTuple):
    """The part of a file that an example was written about."""

    path: str
    lines: str
    """Where it stood when the row was made: `10-24`."""
    name: str
    sha256: str
    """Of its text."""


class Origin(NamedTuple):
    """Where an example comes from: a teacher's request, or a line of a file."""

    teacher: str
    source: str
    """`file.jsonl:12` for a curated row, the request's digest for a generated one."""
    excerpt: Cited | None = None
    mended: Mended = ""

    @property
    def plain(self) -> dict[str, Any]:
        """Without what says nothing, so that most rows are as short as ever."""
        said: dict[str, Any] = {"teacher": self.teacher, "source": self.source}
        if self.excerpt:
            said["excerpt"] = self.excerpt._asdict()
        return {**said, "mended": self.mended} if self.mended else said

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Origin":
        """From what `plain` made of one."""
        excerpt = row.get("excerpt")
        cited = Cited(**excerpt) if excerpt else None
        return cls(row["teacher"], row["source"], cited, row.get("mended", ""))


class Example(NamedTuple):
    """A row of the data set, and where it comes from."""

    id: str
    category: str
    topic: str
    language: str
    complexity: str
    messages: tuple[Message, ...]
    origin: Origin
    iterations: int | None = None
    edited: bool = False
    """Whether a review put these messages in the place of those that its origin gave."""


def example_id(category: str, messages: Iterable[Message]) -> str:
    """Named by what is asked: a corrected answer keeps its id and its split."""
    asked = [m.content for m in messages if m.role == "user"]
    return digest.of_value([category, asked])[:16]


def to_line(example: Example) -> str:
    row = example._asdict()
    row["messages"] = [message._asdict() for message in example.messages]
    row["origin"] = example.origin.plain
    if not example.edited:
        # Few are: a row that is as its origin gave it says nothing of it.
        del row["edited"]
    return json.dumps(row, ensure_ascii=False, separators=(", ", ": "))


def from_line(line: str) -> Example:
    row = json.loads(line)
    row["messages"] = tuple(Message(**m) for m in row["messages"])
    row["origin"] = Origin.of(row["origin"])
    return Example(**row)


def write_jsonl(path: Path, examples: Iterable[Example]) -> int:
    """Returns the number of rows. The order is the caller's, and part of the file's digest."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example in examples:
            file.write(to_line(example) + "\n")
            count += 1
    return count


def read_jsonl(path: Path) -> Iterator[Example]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield from_line(line)
