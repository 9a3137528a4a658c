"""Rows and replies as they are written down: every field, in its order, and back again."""

import json

from jessy_build.example import Cited, Example, Message, Origin, Reply, Usage, from_line, to_line

ROW = Example(
    id="0123456789abcdef",
    category="smalltalk",
    topic="selamlaşma",
    language="tr",
    complexity="low",
    messages=(Message("user", 'sana "bisi" sorucam'), Message("assistant", "sor kanka ✨")),
    origin=Origin("claude", "rows.jsonl:12"),
    iterations=2,
)
REPLY = Reply("{}", "length", Usage(11, 7, 3, 1), 0.25, "claude-haiku-5-5", "f" * 64)


def test_a_row_comes_back_from_its_line() -> None:
    assert from_line(to_line(ROW)) == ROW
    about = Cited("src/a.rs", "10-24", "Pair::first", "0" * 64)
    written = ROW._replace(origin=Origin("claude", "f" * 64, about, "corrected"))
    assert from_line(to_line(written)) == written
    assert from_line(to_line(ROW._replace(edited=True))).edited


def test_a_line_holds_every_field_in_its_order() -> None:
    row = json.loads(to_line(ROW))
    assert list(row) == [name for name in Example._fields if name != "edited"]
    assert list(json.loads(to_line(ROW._replace(edited=True)))) == list(Example._fields)
    assert list(row["messages"][1]) == list(Message._fields)
    assert list(row["origin"]) == ["teacher", "source"], "an excerpt only where there is one"
    assert "sor kanka ✨" in to_line(ROW)


def test_a_reply_comes_back_from_what_is_stored_of_it() -> None:
    assert list(REPLY.plain) == [n for n in Reply._fields if n not in ("limit", "shown")]
    assert list(REPLY.plain["usage"]) == list(Usage._fields)
    cut = REPLY._replace(stop="length", limit=300, shown=("a", "b"))
    for reply in (REPLY, cut):
        assert Reply.of(json.loads(json.dumps(reply.plain))) == reply
