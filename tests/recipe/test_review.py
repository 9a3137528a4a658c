"""The review beside a recipe: a line a decision, read with the recipe and written whole."""

from pathlib import Path

import pytest

from jessy_build.example import Message
from jessy_build.recipe import paths, review
from jessy_build.recipe.paths import Folder, Ground
from jessy_build.recipe.review import Decision

ASKED = (Message("user", "selam"), Message("assistant", "Selam kanka!"))
EDIT = Decision(
    "b" * 16,
    review.text_of(ASKED),
    "smalltalk",
    "edit",
    "selam",
    (Message("user", "selam"), Message("assistant", "çok \u2028 iyi\u0085 \x7f ✨")),
)
REJECT = Decision("a" * 16, "c" * 16, "smalltalk", "reject", "naber")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = review.path_of(tmp_path / "quickstart.yaml")
    assert path.name == "quickstart.review.jsonl"
    review.write(path, [EDIT, REJECT])
    found = review.read(tmp_path / "quickstart.yaml")
    assert found.problems == ()
    assert found.decisions == {EDIT.about: EDIT, REJECT.about: REJECT}


def test_a_decision_is_one_line_of_a_diff_wherever_it_fell(tmp_path: Path) -> None:
    path = tmp_path / "r.review.jsonl"
    review.write(path, [EDIT])
    before = path.read_text().splitlines()
    review.write(path, [EDIT, REJECT])
    after = path.read_text().splitlines()
    assert len(after) == 2 and after[1:] == before, "sorted by id, each on its own line"
    assert '"asked": "naber"' in after[0], "for whoever reads the diff"
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"


def test_with_the_last_decision_the_file_goes(tmp_path: Path) -> None:
    path = tmp_path / "r.review.jsonl"
    review.write(path, [EDIT])
    review.write(path, [])
    assert not path.exists()
    assert review.read(tmp_path / "r.yaml") == review.Review({})


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "r.review.jsonl"
    path.mkdir()
    with pytest.raises(OSError):
        review.write(path, [EDIT])
    assert list(tmp_path.iterdir()) == [path]
    (problem,) = review.read(tmp_path / "r.yaml").problems
    assert problem.code == "R001"


def test_equal_lines_as_a_merge_may_leave_them_are_one(tmp_path: Path) -> None:
    line = review.line_of(REJECT)
    (tmp_path / "r.review.jsonl").write_text(f"{line}\n\n{line}\n")
    found = review.read(tmp_path / "r.yaml")
    assert found.problems == () and len(found.decisions) == 1


def test_another_text_has_another_digest() -> None:
    turned = tuple(reversed(ASKED))
    mended = (ASKED[0], Message("assistant", "Selam!"))
    assert len({review.text_of(one) for one in (ASKED, turned, mended)}) == 3


def test_no_pattern_takes_a_review_for_rows(tmp_path: Path) -> None:
    for name in ("rows.jsonl", "recipe.review.jsonl"):
        (tmp_path / name).touch()
    found = paths.glob("*.jsonl", Folder(tmp_path, ""), Ground(tmp_path))
    assert [one.path.name for one in found] == ["rows.jsonl"]


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{",
        "[" * 100_000,
        "{}",
        '{"id": 1, "text": "b", "category": "c", "decision": "reject"}',
        '{"id": "a", "text": "b", "category": "c", "decision": ["reject"]}',
        '{"id": "a", "text": "b", "category": "c", "decision": "reject", "messages": [{}]}',
        '{"id": "a", "text": "b", "category": "c", "decision": "edit", "messages": "x"}',
        '{"id": "a", "text": "b", "category": "c", "decision": "edit", "messages": [1]}',
        '{"id": "a", "text": "b", "category": "c", "decision": "edit",'
        ' "messages": [{"role": "user", "content": "\\ud800"}]}',
    ],
)
def test_a_line_that_is_no_decision_is_told_with_its_place(line: str, tmp_path: Path) -> None:
    (tmp_path / "r.review.jsonl").write_text(f"{review.line_of(REJECT)}\n{line}\n")
    found = review.read(tmp_path / "r.yaml")
    (problem,) = found.problems
    assert (problem.code, problem.span.line) == ("R310", 2)
    assert len(found.decisions) == 1
