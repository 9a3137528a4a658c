"""preview --tokens: rows as the model sees them in training, token by token.

The trainer's own reading makes them; here they only become visible. No text of a row is lost: the
texts of its tokens and what is left out make the rendered template again.
"""

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jessy_build import mlx_model
from jessy_build.chat import Chat
from jessy_build.console import cells
from jessy_build.diagnostics import StepError
from jessy_build.engine.rebuild import Decision, Reuse
from jessy_build.steps import assemble, rows_ahead
from jessy_build.steps.items import Picked
from jessy_build.steps.typed import command
from jessy_build.trainers import _rows

if TYPE_CHECKING:
    from jessy_build.steps.builds import Workspace

Entry = dict[str, Any]


@dataclass(frozen=True)
class Token:
    id: int
    text: str
    """Its part of the rendered template; empty where the token before it has shown the letter that
    both are made of."""
    supervised: bool
    """Whether the loss counts it."""
    special: bool
    """One of the tokenizer's special tokens, not text that looks like one."""


@dataclass(frozen=True)
class Row:
    id: str
    category: str
    tokens: tuple[Token, ...]
    """Up to the last supervised one: training reads nothing behind it."""
    count: int
    supervised: int
    share: float
    """Of train.max_seq_length; with more than 1 a build stops at this row."""
    left_out: str
    """What the template writes behind the last supervised token."""


@dataclass(frozen=True)
class Document:
    """What `jessy preview --tokens --json` prints."""

    format: Literal[1]
    recipe: str
    name: str
    version: str
    rows_from: Literal["assemble", "curated"]
    """The data set that training reads; or, before there is one, curated rows as they would stand
    in it, neither validated nor split."""
    max_seq_length: int
    rows: tuple[Row, ...]
    without: tuple[str, ...]
    """Categories of which no row is there to show."""


def document(workspace: "Workspace", names: Sequence[str], count: int) -> Document:
    """The first rows of each category; StepError where the base, or every row, is missing."""
    decisions = workspace.decisions("train")
    recipe = workspace.loaded.recipe
    base = _base(workspace, decisions)
    made, found = _entries(workspace, decisions)
    chosen = list(_first(found, names, count))
    if not chosen:
        raise StepError(
            f"there are no rows to show of {', '.join(names)}",
            hint=f"make them first: {command('build')} {workspace.words} --until assemble",
        )
    reader = _Reader(base, recipe.train.max_seq_length)
    rows = tuple(reader.row(entry) for entry in chosen)
    shown = {row.category for row in rows}
    return Document(
        format=1,
        recipe=workspace.id,
        name=recipe.name,
        version=recipe.version,
        rows_from="assemble" if made else "curated",
        max_seq_length=recipe.train.max_seq_length,
        rows=rows,
        without=tuple(name for name in names if name not in shown),
    )


def _base(workspace: "Workspace", decisions: Mapping[str, Decision]) -> Path:
    made = decisions["convert"]
    if isinstance(made, Reuse):
        return workspace.store.view(made.artifact, "convert")
    raise StepError(
        f"the base of {workspace.id} is not in the store, and its tokenizer with it",
        hint=f"fetch it first: {command('build')} {workspace.words} --until convert",
    )


def _entries(
    workspace: "Workspace", decisions: Mapping[str, Decision]
) -> tuple[bool, Iterator[Entry]]:
    """Lines of the data set, and whether it is made; else what curated rows would be there."""
    made = decisions["assemble"]
    if isinstance(made, Reuse):
        folder = workspace.store.view(made.artifact, "assemble")
        return True, (entry for _, entry in _rows.entries(folder / rows_ahead.TRAIN))
    (params,) = (step.params for step in workspace.plan if step.kind == assemble.name)
    picked = (s.payload.examples() for s in workspace.plan if isinstance(s.payload, Picked))
    examples = (example for some in picked for example in some)
    return False, assemble.rendered(params, examples)


def _first(entries: Iterable[Entry], names: Sequence[str], count: int) -> Iterator[Entry]:
    left = Counter(dict.fromkeys(names, count))
    for entry in entries:
        if left[entry["category"]] > 0:
            left[entry["category"]] -= 1
            yield entry


class _Reader:
    """Reads rows as the trainer does, and remembers which text each token stands for."""

    def __init__(self, base: Path, max_length: int) -> None:
        try:
            self.tokenizer = mlx_model.tokenizer(base)
        except ImportError as problem:
            raise mlx_model.missing(problem, "reading rows as tokens") from None
        added = self.tokenizer.get_added_tokens_decoder()
        self.special = {id for id, token in added.items() if token.special}
        self.chat = Chat.load(base)
        self.max_length = max_length

    def row(self, entry: Entry) -> Row:
        texts: list[str] = []

        def encode(text: str) -> list[int]:
            encoded = _rows.encoding(self.tokenizer, text)
            texts.extend(_texts(text, [end for _, end in encoded.offsets]))
            ids: list[int] = encoded.ids
            return ids

        # A row that is too long is worth a look, so its length is no error here.
        read = _rows.read_entry(entry, "", self.chat, encode, sys.maxsize)
        marked = zip(texts, read.tokens, read.trained, strict=False)
        return Row(
            id=read.id,
            category=read.category,
            tokens=tuple(Token(i, text, counts, i in self.special) for text, i, counts in marked),
            count=len(read.tokens),
            supervised=read.supervised,
            share=len(read.tokens) / self.max_length,
            left_out="".join(texts[len(read.tokens) :]),
        )


def _texts(text: str, ends: Sequence[int]) -> list[str]:
    """Cut at the tokens' ends, since their beginnings may leave out a space."""
    done, cut = 0, []
    for end in ends:
        cut.append(text[done:end])
        done = max(done, end)
    if cut:
        cut[-1] += text[done:]
    return cut


def to_json(document: Document) -> dict[str, Any]:
    return asdict(document)


# For people

Part = tuple[str, str]
"""Text and its style."""
BOUNDARY = "│"
LEARNED, READ = "  + ", "    "
"""Before lines of supervised tokens, and of others: read where there are no colours."""
SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥"}
REST_OF_A_LETTER = "◌"
LEGEND = (
    "│ between tokens, + learned (supervised), «…» special, ␣ space, ↵ newline, ⇥ tab, "
    "◌ rest of a letter"
)


def lines(document: Document, width: int) -> Iterator[list[Part]]:
    if document.rows_from == "curated":
        yield [("Curated rows, before validation and split: there is no data set yet.", "")]
    yield [(LEGEND, "dim")]
    for row in document.rows:
        yield []
        yield [(_head(row, document.max_seq_length), "bold")]
        yield from _wrapped(row.tokens, width)
        if row.left_out:
            yield [(f"    left out behind it: {_visible(row.left_out)}", "dim")]
    if document.without:
        yield []
        yield [(f"No rows yet of {', '.join(document.without)}.", "")]


def _head(row: Row, most: int) -> str:
    learned = f"{row.supervised:,} supervised ({row.supervised / row.count:.0%})"
    share = f"{row.share:.1%} of train.max_seq_length {most:,}"
    long = ": too long, a build stops here" if row.share > 1 else ""
    return f"{row.category} {row.id}   {row.count:,} tokens, {learned}, {share}{long}"


def _wrapped(tokens: Sequence[Token], width: int) -> Iterator[list[Part]]:
    """A new line where learning begins or ends, behind a newline, and where there is no room."""
    line: list[Part] = []
    used, before = 0, None
    for token in tokens:
        text = _shown(token) + BOUNDARY
        turned = before is not None and before.supervised != token.supervised
        broken = before is not None and before.text.endswith("\n")
        if line and (turned or broken or used + cells(text) > width):
            yield line
            line = []
        if not line:
            gutter = LEARNED if token.supervised else READ
            line, used = [(gutter + BOUNDARY, _style(token))], cells(gutter + BOUNDARY)
        line.append((text, _style(token)))
        used += cells(text)
        before = token
    if line:
        yield line


def _style(token: Token) -> str:
    return "green" if token.supervised else ""


def _shown(token: Token) -> str:
    if not token.text:
        return REST_OF_A_LETTER
    return f"«{_visible(token.text)}»" if token.special else _visible(token.text)


def _visible(text: str) -> str:
    return "".join(map(_sign, text))


def _sign(letter: str) -> str:
    if letter in SIGNS:
        return SIGNS[letter]
    return f"\\x{ord(letter):02x}" if unicodedata.category(letter) == "Cc" else letter
