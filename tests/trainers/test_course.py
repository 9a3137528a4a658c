"""What is read when: phases, repeated rows, and rows that every batch holds."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jessy_build.diagnostics import StepError
from jessy_build.trainers import _course
from jessy_build.trainers._rows import Row
from jessy_build.trainers.config import Config
from jessy_build.trainers.halves import Fullest

CATEGORIES = ("core", "code", "depth")


def row(number: int, category: str, level: str = "low", length: int = 6) -> Row:
    return Row(f"r{number}", tuple(range(length)), (*[False] * (length - 1), True), category, level)


def course(rows: list[Row], **fields: Any) -> _course.Course:
    return _course.course(rows, Config.model_validate({"batch_tokens": 0, "epochs": 1, **fields}))


def read(found: _course.Course) -> Counter[int]:
    return Counter(place for batch in found.batches for place in batch.rows)


some = st.lists(
    st.tuples(st.sampled_from(CATEGORIES), st.integers(2, 60)), min_size=1, max_size=40
).map(lambda all: [row(n, name, length=length) for n, (name, length) in enumerate(all)])


@example([row(n, "core") for n in range(3)], 3, 2, 0)
@example([row(n, "core") for n in range(1)], 3, 2, 0)
@example([], 3, 2, 0)
@given(some, st.integers(3, 9), st.integers(1, 2), st.integers(0, 99))
def test_every_batch_holds_its_rows_and_no_row_is_left_out(
    rows: list[Row], size: int, count: int, seed: int
) -> None:
    rows = [*rows, row(99, "core")]
    found = course(rows, batch_size=size, every_batch={"core": count}, seed=seed)
    for batch in found.batches:
        assert sum(rows[place].category == "core" for place in batch.rows) >= count
        assert len(batch.rows) <= size
    times = read(found)
    assert set(times) == set(range(len(rows)))
    assert all(times[place] == 1 for place, one in enumerate(rows) if one.category != "core")


def test_rows_that_come_again_come_in_turn() -> None:
    rows = [row(n, "core" if n < 3 else "code") for n in range(33)]
    times = read(course(rows, batch_size=6, every_batch={"core": 1}))
    assert [times[place] for place in range(3)] == [2, 2, 2], "six batches of five others"


def test_rows_of_a_level_or_a_category_are_read_as_often_as_the_recipe_says() -> None:
    rows = [row(0, "core", "low"), row(1, "core", "high"), row(2, "code", "low")]
    found = course(rows, epochs=2, repeat={"low": 3, "core": 2})
    assert read(found) == {0: 2 * 6, 1: 2 * 2, 2: 2 * 3}


def test_a_repeated_row_does_not_make_a_pass_longer_in_words() -> None:
    found = course([row(n, "core") for n in range(5)], epochs=2, repeat={"low": 3}, batch_size=2)
    assert found.passed(found.updates) == 2
    assert found.passed(found.updates // 2) == 1 and found.ends_a_pass(found.updates // 2)


PHASES = (
    {"name": "first", "categories": ("core",), "epochs": 2, "learning_rate": 1e-3},
    {"name": "then", "categories": ("code", "depth")},
)
MIXED = [row(n, CATEGORIES[n % 3]) for n in range(12)]


def test_phases_read_their_own_rows_one_after_the_other() -> None:
    found = course(MIXED, epochs=None, phases=PHASES, batch_size=3)
    assert read(found) == {n: 2 if n % 3 == 0 else 1 for n in range(12)}
    first, then = found.stretches
    assert (first.begin, first.end, then.begin, then.end) == (0, 4, 4, 7)
    assert (first.rate, then.rate) == (1e-3, 1e-4)
    for number, batch in enumerate(found.batches):
        names = {MIXED[place].category for place in batch.rows}
        assert names <= ({"core"} if number < 4 else {"code", "depth"})
    assert [bool(found.ended(step)) for step in range(1, 8)] == [
        *(False, False, False, True),
        *(False, False, True),
    ]
    assert found.passed(7) == 3


def test_what_every_batch_holds_is_kept_through_phases_that_do_not_train_it() -> None:
    found = course(MIXED, epochs=None, phases=PHASES, batch_size=3, every_batch={"core": 1})
    then = found.batches[found.stretches[1].begin :]
    assert all(any(MIXED[p].category == "core" for p in batch.rows) for batch in then)
    others = Counter(p for batch in then for p in batch.rows if MIXED[p].category != "core")
    assert set(others.values()) == {1} and len(others) == 8


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"every_batch": {"gone": 1}}, "asks for rows of 'gone'"),
        ({"epochs": None, "phases": ({"name": "x", "categories": ("gone",)},)}, "no rows to train"),
    ],
)
def test_what_the_data_set_has_no_rows_for_is_told(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(StepError) as caught:
        course(MIXED, **fields)
    assert said in caught.value.problem and caught.value.hint


@pytest.mark.parametrize(
    "fields",
    [
        {"phases": PHASES, "epochs": 2},
        {"phases": PHASES, "epochs": None, "steps": 5},
        {"every_batch": {"core": 4}, "batch_size": 4},
        {"repeat": {"low": 0}},
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"phases have epochs|leave room|greater than or equal"):
        Config.model_validate({"epochs": 1, **fields})


def test_the_fullest_batch_is_that_of_the_larger_halves_where_they_are_halved() -> None:
    rows = [row(n, "core", length=8) for n in range(5)] + [row(9, "core", length=21)]
    found = course(rows, batch_tokens=40)
    whole, half = _course.fullest(found, rows), _course.fullest(_course.cut(found, 2), rows)
    assert (whole.rows, whole.tokens, half.rows, half.tokens) == (5, 8, 3, 8)
    assert _course.fullest(course(rows[3:], batch_tokens=20), rows[3:]) == Fullest(1, "r9", 21)
