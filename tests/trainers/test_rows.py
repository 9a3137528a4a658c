import json
from pathlib import Path
from typing import Any

import pytest

from jessy_build.chat import BUILTIN, Chat
from jessy_build.diagnostics import StepError
from jessy_build.trainers import _rows

CHAT = Chat(BUILTIN["chatml"], eos="<|im_end|>")


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def read(folder: Path, *talks: list[dict[str, str]] | dict[str, Any], longest: int = 999) -> Any:
    file = folder / "train.jsonl"
    rows = [
        t if isinstance(t, dict) else {"id": f"r{n}", "messages": t} for n, t in enumerate(talks)
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    return _rows.read(file, CHAT, letters, longest)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def trained(row: _rows.Row) -> str:
    marked = zip(row.tokens, row.trained, strict=True)
    return "".join(chr(token) if counts else "·" for token, counts in marked).strip("·")


def test_answer_and_end_of_turn_are_trained_and_nothing_else(tmp_path: Path) -> None:
    (row,) = read(tmp_path, [user("hi"), answer("hello!")])
    assert trained(row) == "hello!<|im_end|>"


def test_every_answer_of_a_conversation_is_trained(tmp_path: Path) -> None:
    (row,) = read(tmp_path, [user("a"), answer("one"), user("b"), answer("two")])
    assert [part for part in trained(row).split("·") if part] == ["one<|im_end|>", "two<|im_end|>"]


def test_what_stands_behind_the_last_answer_is_left_out(tmp_path: Path) -> None:
    (row,) = read(tmp_path, [user("hi"), answer("yo"), user("bye")])
    assert "".join(map(chr, row.tokens)).endswith("yo<|im_end|>")


def test_the_last_token_is_a_target_only(tmp_path: Path) -> None:
    (row,) = read(tmp_path, [user("hi"), answer("yo")])
    assert len(row) == len(row.tokens) - 1


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    assert len(read(tmp_path, [user("hi"), answer("yo")], [user("a"), answer("b")])) == 2


def test_a_row_without_an_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError) as problem:
        read(tmp_path, [user("hi"), answer("yo")], {"id": "x7", "messages": [user("hi")]})
    assert problem.value.problem == "train.jsonl: row x7 has no answer to train on"


def test_a_row_that_is_too_long_is_refused_and_the_others_are_counted(tmp_path: Path) -> None:
    long = [user("hi"), answer("y" * 200)]
    with pytest.raises(StepError) as problem:
        read(tmp_path, long, long, [user("hi"), answer("yo")], long, longest=120)
    assert "row r0 is 262 tokens long; train.max_seq_length allows 120" in problem.value.problem
    assert problem.value.problem.endswith("(and 2 more rows)")


def test_a_template_that_rewrites_history_is_refused_with_the_row(tmp_path: Path) -> None:
    forgetful = Chat("{% for m in messages[-2:] %}[{{ m.role }}]{{ m.content }}{% endfor %}")
    file = tmp_path / "train.jsonl"
    talk = [user("a"), answer("b"), user("c"), answer("d")]
    file.write_text(json.dumps({"id": "r9", "messages": talk}), encoding="utf-8")
    with pytest.raises(StepError) as problem:
        _rows.read(file, forgetful, letters, 99)
    assert "row r9 " in problem.value.problem


def test_what_is_unfit_names_the_token_where_that_shows(tmp_path: Path) -> None:
    def unfit(chat: Chat, longest: int, *talk: dict[str, str]) -> _rows.Unfit:
        with pytest.raises(_rows.Unfit) as problem:
            _rows.row("r", list(talk), chat, letters, longest)
        return problem.value

    long = unfit(CHAT, 50, user("hi"), answer("y" * 30))
    assert (long.at, long.expected) == (50, "at most 50 tokens")
    text = CHAT.render([user("hi"), answer("y" * 30)])
    assert "".join(map(chr, long.tokens)) == text.rstrip()

    none = unfit(CHAT, 50, user("hi"))
    assert none.at == len(none.tokens) - 1 and none.tokens

    forgetful = Chat("{% for m in messages[-2:] %}[{{ m.role }}]{{ m.content }}{% endfor %}")
    rewritten = unfit(forgetful, 99, user("a"), answer("b"), user("c"), answer("d"))
    alone, followed = "[user]a[assistant]b", "[user]c[assistant]d"
    assert "".join(map(chr, rewritten.instead)) == alone
    assert "".join(map(chr, rewritten.tokens)) == followed
    assert rewritten.at == followed.index("c")
