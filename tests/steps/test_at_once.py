"""Steps that do not need each other run at once, and together keep to the recipe's pools."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.loopback import messages_api
from tests.loopback.server import Connection, Seen, Step
from tests.steps import asked
from tests.steps.asked import ITEMS, RECIPE, Teacher
from tests.steps.project import Project

UNTIL = ("build", "recipe.yaml", "--until", "assemble", "--json")
TWO_TEACHERS = RECIPE.replace(
    "  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 4}\n",
    "  claude: {kind: anthropic, model: claude-haiku-5-5, concurrency: 6}\n"
    "  other: {kind: anthropic, model: claude-sonnet-5-5, concurrency: 6}\n",
).replace("deep: {teacher: claude", "deep: {teacher: other")


def category(seen: Seen) -> str:
    return "deep" if "deep" in seen.body["messages"][-1]["content"] else "talk"


class Watched(Teacher):
    """Knows of which categories requests are in flight at the same moment."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.watching = threading.Lock()
        self.now: Counter[str] = Counter()
        self.most_categories = 0

    def usual(self, seen: Seen) -> Step:
        return Through(self, category(seen), super().usual(seen))


@dataclass(frozen=True)
class Through:
    teacher: Watched
    category: str
    then: Step

    def play(self, connection: Connection) -> None:
        with self.teacher.watching:
            self.teacher.now[self.category] += 1
            at_once = sum(count > 0 for count in self.teacher.now.values())
            self.teacher.most_categories = max(self.teacher.most_categories, at_once)
        self.then.play(connection)
        with self.teacher.watching:
            self.teacher.now[self.category] -= 1


@pytest.fixture
def teacher() -> Iterator[Watched]:
    with Watched(0.3) as running:
        yield running


@pytest.fixture
def make(tmp_path: Path, tiny_model: Path, teacher: Watched) -> Callable[[str], Project]:
    return lambda recipe: asked.make(tmp_path / "p", tiny_model, teacher, recipe)


def test_two_teachers_of_a_kind_keep_to_its_pool_together(
    make: Callable[[str], Project], teacher: Watched
) -> None:
    done = make(TWO_TEACHERS + "pools: {anthropic: 8}\n").run(*UNTIL)
    assert done.code == 0, done.out + done.err
    assert teacher.count == ITEMS
    assert teacher.most_at_once == 8
    assert teacher.most_categories == 2, "both steps at once"


def test_without_a_pool_each_teacher_keeps_to_its_own_limit(
    make: Callable[[str], Project], teacher: Watched
) -> None:
    done = make(TWO_TEACHERS).run(*UNTIL)
    assert done.code == 0, done.out + done.err
    assert 8 < teacher.most_at_once <= 12


def test_a_teacher_of_two_categories_is_asked_no_more_at_once_than_it_says(
    make: Callable[[str], Project], teacher: Watched
) -> None:
    done = make(RECIPE).run(*UNTIL)
    assert done.code == 0, done.out + done.err
    assert teacher.most_at_once == 4


def test_one_network_step_at_a_time_where_the_recipe_says_so(
    make: Callable[[str], Project], teacher: Watched
) -> None:
    done = make(TWO_TEACHERS + "pools: {network: 1}\n").run(*UNTIL)
    assert done.code == 0, done.out + done.err
    assert teacher.most_at_once == 6
    assert teacher.most_categories == 1


def test_a_failed_step_stops_its_dependents_and_its_siblings_finish(
    tmp_path: Path, tiny_model: Path
) -> None:
    class Spent(Teacher):
        """The account of one model is used up after two answers."""

        deep = 0

        def usual(self, seen: Seen) -> Step:
            # The server asks for one answer at a time.
            self.deep += category(seen) == "deep"
            return (
                messages_api.spent()
                if self.deep > 2 and category(seen) == "deep"
                else super().usual(seen)
            )

    with Spent(0.05) as teacher:
        project = asked.make(tmp_path / "p", tiny_model, teacher, TWO_TEACHERS)
        project.edit("concurrency: 6}\n  other", "concurrency: 2}\n  other")
        failed = project.run(*UNTIL)
        assert failed.code == 1 and "spend limit" in failed.out + failed.err
        talk = sum(category(seen) == "talk" for seen in teacher.seen)
        assert talk == 24, "the sibling asked all of its own, though the other had failed long ago"
        assert set(asked.finished(failed.out)) == {"generate:talk", "generate:smalltalk"}
    with Teacher() as teacher:
        project.env = {**project.env, "ANTHROPIC_BASE_URL": teacher.url}
        done = project.run(*UNTIL)
        assert done.code == 0, done.out + done.err
        assert Counter(map(category, teacher.seen)) == {"deep": 14}


def test_who_waits_for_a_place_when_one_fails_asks_no_more(
    tmp_path: Path, tiny_model: Path
) -> None:
    """Four are about to ask, one at a time: the sixth answer fails, and there is no seventh."""
    example = messages_api.said('{"user": "hi", "assistant": "hello"}')
    lines = RECIPE.replace("  deep: {", "#").splitlines()
    recipe = "\n".join([*lines, "pools: {anthropic: 1}", ""])
    with Teacher(0.0, *(example for _ in range(5)), messages_api.spent()) as teacher:
        failed = asked.make(tmp_path / "p", tiny_model, teacher, recipe).run(*UNTIL)
        assert failed.code == 1 and "spend limit" in failed.out + failed.err
        assert teacher.settle() == 6
