"""A value as other tools write a row → a Row, or all that is wrong with it. Reads no file.

Strict about what is trained on: turns, roles and texts, and the labels that a row says about
itself. All other fields are the other tool's own notes, and are passed over.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jessy_build.formats.reading import MAX_ROW, OTHER_SYSTEM, Meant, Wrong
from jessy_build.teachers import json_places, rows
from jessy_build.teachers.rows import TURNS, Row, excerpt, kind, told

LABELS = ("topic", "language", "complexity")
Path = json_places.Path


class Form(NamedTuple):
    """How a format writes a conversation: the fields' names, and who is called what."""

    turns: str
    role: str
    text: str
    roles: Mapping[str, str]
    expected: str


CONVERSATIONS = Form(
    "conversations",
    "from",
    "value",
    {
        **dict.fromkeys(("human", "user"), "user"),
        **dict.fromkeys(("gpt", "jessy", "assistant"), "assistant"),
        "system": "system",
    },
    '{"from": "human" or "gpt" or "jessy", "value": "..."}',
)
CHAT = Form(
    "messages",
    "role",
    "content",
    {"user": "user", "assistant": "assistant", "system": "system"},
    '{"role": "user" or "assistant", "content": "..."}',
)
PROMPT, COMPLETION = "prompt", "completion"


def conversation(
    form: Form, value: Any, at: tuple[str, int], meant: Meant, path: Path = ()
) -> Row | list[Wrong]:
    """`at` is the file's name and the row's number in it."""
    wrong: list[Wrong] = []
    if type(value) is list and form is CONVERSATIONS:
        # A bare list of turns is a conversation without notes.
        return _made(_turns(form, value, path, meant, wrong), value, at, meant, path, wrong)
    if type(value) is not dict:
        expected = f'{{"{form.turns}": [...]}}'
        return [Wrong(path, rows.NOT_A_ROW, "a row must be an object", expected, kind(value))]
    if form.turns not in value:
        problem = f"the row has no '{form.turns}'"
        return [Wrong(path, rows.NO_MESSAGES, problem, form.turns, _keys(value))]
    texts = _turns(form, value[form.turns], (*path, form.turns), meant, wrong)
    return _made(texts, value, at, meant, path, wrong)


def completion(value: Any, at: tuple[str, int], meant: Meant, path: Path = ()) -> Row | list[Wrong]:
    wrong: list[Wrong] = []
    if type(value) is not dict:
        expected = '{"prompt": "...", "completion": "..."}'
        return [Wrong(path, rows.NOT_A_ROW, "a row must be an object", expected, kind(value))]
    texts = []
    for key in (PROMPT, COMPLETION):
        if key in value:
            texts.append(_text((*path, key), value[key], wrong))
        else:
            problem = f"the row has no '{key}'"
            wrong.append(Wrong(path, rows.NO_MESSAGES, problem, "prompt, completion", _keys(value)))
    return _made(tuple(texts), value, at, meant, path, wrong)


def label_path(value: Any, label: str) -> Path | None:
    """Where a row says the label itself; None where only the recipe says it for the row."""
    for holder, path in _holders(value):
        if holder.get(label) not in (None, ""):
            return (*path, label)
    return None


def _turns(form: Form, items: Any, path: Path, meant: Meant, wrong: list[Wrong]) -> tuple[str, ...]:
    if type(items) is not list:
        wrong.append(_of_kind(path, items, "a list of turns"))
        return ()
    texts: list[str] = []
    told_role = False
    for index, item in enumerate(items):
        if len(wrong) >= rows.MOST:
            return ()
        here = (*path, index)
        if type(item) is not dict:
            wrong.append(_of_kind(here, item, form.expected))
            told_role = True
            continue
        missing = [key for key in (form.role, form.text) if key not in item]
        for key in missing:
            wrong.append(
                Wrong(here, rows.NO_MESSAGES, f"turn {index + 1} has no '{key}'", form.expected)
            )
        if missing:
            told_role = True
            continue
        role = item[form.role]
        who = form.roles.get(role) if type(role) is str else None
        if who == "system" and not index:
            _system((*here, form.text), item[form.text], meant, wrong)
            continue
        wanted = TURNS[len(texts) % 2]
        if who != wanted and not told_role:
            # One turn left out shifts all that follow, so only the first is told.
            wrong.append(_role(form, here, index, role, who, wanted))
            told_role = True
        texts.append(_text((*here, form.text), item[form.text], wrong))
    if not texts and not wrong:
        wrong.append(Wrong(path, rows.NO_MESSAGES, "the conversation has no turns", got="[]"))
    elif len(texts) % 2 and not told_role:
        last = (*path, len(items) - 1, form.role)
        problem = "the last turn must be the assistant's: its answer is what is trained"
        wrong.append(Wrong(last, rows.WRONG_ROLE, problem, _names(form, "assistant")))
    return tuple(texts)


def _role(form: Form, path: Path, index: int, role: Any, who: str | None, wanted: str) -> Wrong:
    names = ", ".join(name for name, known in form.roles.items() if known != "system")
    if who is None:
        problem = f"turn {index + 1} is by an unknown role"
        return Wrong((*path, form.role), rows.WRONG_ROLE, problem, names, told(role))
    hint = "roles alternate: user, assistant, user, assistant, ..."
    if who == "system":
        hint = "a system text may stand in the first turn only"
    problem = f"turn {index + 1} must be the {wanted}'s"
    at = (*path, form.role)
    return Wrong(at, rows.WRONG_ROLE, problem, _names(form, wanted), told(role), hint)


def _names(form: Form, who: str) -> str:
    return " or ".join(name for name, known in form.roles.items() if known == who)


def _system(path: Path, text: Any, meant: Meant, wrong: list[Wrong]) -> None:
    """The persona's own is put before each row anyway; another one would be lost without a word."""
    if type(text) is not str:
        wrong.append(_of_kind(path, text, "a text"))
    elif not meant.drop_system and text != meant.system:
        wrong.append(
            Wrong(
                path,
                OTHER_SYSTEM,
                "the system text of this row is not the persona's",
                expected="no system text" if meant.system is None else excerpt(meant.system),
                got=excerpt(text),
                hint="write `system: drop` beside `files` to leave it out of every row",
            )
        )


def _text(path: Path, value: Any, wrong: list[Wrong]) -> str:
    if type(value) is not str:
        wrong.append(_of_kind(path, value, "a text"))
        return ""
    if not value or value.isspace():
        name = rows.named(path)
        wrong.append(Wrong(path, rows.EMPTY_TEXT, f"{name} is empty", expected="a text"))
    elif not value.isascii() and _is_broken(value):
        problem = f"{rows.named(path)} holds half a character (a lone \\ud8xx escape)"
        hint = "write the character itself, or both halves of its escape"
        wrong.append(Wrong(path, rows.BROKEN_TEXT, problem, hint=hint))
    return value


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _made(
    texts: tuple[str, ...],
    value: Any,
    at: tuple[str, int],
    meant: Meant,
    path: Path,
    wrong: list[Wrong],
) -> Row | list[Wrong]:
    labels: dict[str, Any] = {}
    if meant.own_labels:
        for holder, below in _holders(value):
            for key in (*LABELS, "iterations"):
                if key not in labels and holder.get(key) not in (None, ""):
                    labels[key] = _label(key, holder[key], (*path, *below, key), wrong)
    if wrong:
        return wrong
    if sum(map(len, texts)) > MAX_ROW:
        limit = f"{MAX_ROW // 1024:,} thousand characters"
        return [Wrong(path, rows.TOO_LONG, f"the conversation is longer than {limit}")]
    return Row(
        texts,
        *at,
        meant.category,
        labels.get("topic", meant.topic),
        labels.get("language", meant.language),
        labels.get("complexity", meant.complexity),
        labels.get("iterations"),
    )


def _holders(value: Any) -> list[tuple[Mapping[str, Any], Path]]:
    """Where a row may say its labels: itself, its metadata, the metadata of its last turn."""
    if type(value) is list:
        return _of_last(value, ())
    if type(value) is not dict:
        return []
    found: list[tuple[Mapping[str, Any], Path]] = [(value, ())]
    if type(metadata := value.get("metadata")) is dict:
        found.append((metadata, ("metadata",)))
    for form in (CONVERSATIONS, CHAT):
        found += _of_last(value.get(form.turns), (form.turns,))
    return found


def _of_last(turns: Any, path: Path) -> list[tuple[Mapping[str, Any], Path]]:
    if type(turns) is not list or not turns or type(turns[-1]) is not dict:
        return []
    metadata = turns[-1].get("metadata")
    return [(metadata, (*path, len(turns) - 1, "metadata"))] if type(metadata) is dict else []


def _label(key: str, value: Any, path: Path, wrong: list[Wrong]) -> Any:
    if key == "iterations":
        if type(value) is int and value >= 1:
            return value
        wrong.append(_of_kind(path, value, "a whole number from 1"))
        return None
    if type(value) is str and not value.isspace() and not _is_broken(value):
        return value
    hint = "write `own_labels: false` beside `files` to pass over what rows say of themselves"
    wrong.append(_of_kind(path, value, "a text", hint))
    return ""


def _of_kind(path: Path, value: Any, expected: str, hint: str = "") -> Wrong:
    problem = f"{rows.named(path)} must be {expected}" if path else f"this must be {expected}"
    return Wrong(path, rows.WRONG_VALUE, problem, expected, told(value), hint)


def _keys(value: Mapping[str, Any]) -> str:
    """What the row has instead."""
    return excerpt(", ".join(map(str, list(value)[:8]))) if value else "an empty object"
