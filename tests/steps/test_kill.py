"""Builds killed with -9 at any moment: the next one needs no help, asks nothing twice that was
answered, and ends with the very same bytes."""

import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import warm
from tests.steps import asked
from tests.steps.asked import ITEMS, PLACES, Teacher
from tests.steps.killing import kill_after, on_disk
from tests.steps.project import Project

UNTIL = ("--until", "assemble")
SLOW = 0.04
"""Seconds that the teacher takes for an answer: about half of a build is spent asking."""


@dataclass(frozen=True)
class Straight:
    """A build that nobody disturbed: how long it took, and what came of it."""

    seconds: float
    results: dict[str, bytes]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def straight(root: Path, base: Path, *words: str) -> Straight:
    warm.get_ready()
    with Teacher(SLOW) as teacher:
        project = asked.make(root, base, teacher)
        began = time.monotonic()
        done = project.run("build", "recipe.yaml", *words)
        assert done.code == 0, done.out + done.err
        assert teacher.count == ITEMS
        results = asked.results(project)
        assert {"builds/asked/v1/dataset/train.jsonl", "recipe.lock.yaml"} <= results.keys()
        return Straight(time.monotonic() - began, results)


@pytest.fixture(scope="module")
def assembled(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    return straight(tmp_path_factory.mktemp("straight") / "p", base, *UNTIL)


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    return straight(tmp_path_factory.mktemp("straight") / "p", base)


@dataclass
class Chain:
    """One project whose builds are killed one after the other, and then left in peace."""

    project: Project
    teacher: Teacher
    expected: Straight
    words: tuple[str, ...]
    kills: list[float] = field(default_factory=list)
    lost: int = 0
    """Answers that were on their way in some kill, and so are asked for again."""

    def kill(self, moment: float) -> bool:
        hit = kill_after(self.project, moment, self.words, harsh=len(self.kills) % 2 == 1)
        look = self.project.root.parent / f"look-{self.project.root.name}"
        now = self.teacher.settle() - on_disk(self.project, look) - self.lost
        assert 0 <= now <= PLACES, f"killed at {moment:.2f}s: more is lost than was in flight"
        self.lost += now
        self.kills += [moment] if hit else []
        return hit

    def end(self) -> None:
        done = self.project.run("build", "recipe.yaml", *self.words)
        assert done.code == 0, (self.kills, done.out, done.err)
        assert self.teacher.count == ITEMS + self.lost, self.kills
        found, expected = asked.results(self.project), self.expected.results
        assert found.keys() == expected.keys(), self.kills
        assert [name for name in found if found[name] != expected[name]] == [], self.kills


def kill_at(
    moments: list[float], folder: Path, base: Path, expected: Straight, words: tuple[str, ...] = ()
) -> int:
    """Returns how many builds were really killed: one for each moment."""
    drawn, kills = random.Random(3), 0
    while moments:
        with Teacher(SLOW) as teacher:
            project = asked.make(folder / f"{len(moments)}-{kills}", base, teacher)
            chain = Chain(project, teacher, expected, words)
            # The later it was killed, the less is left to do, and the sooner a build may be over.
            while soon := [m for m in moments if m < expected.seconds - 0.8 * sum(chain.kills)]:
                moment = drawn.choice(soon)
                moments.remove(moment)
                if not chain.kill(moment):
                    moments.append(0.9 * moment)
                    break
            chain.end()
            kills += len(chain.kills)
            shutil.rmtree(project.root)
    return kills


def spread(count: int, seed: int, over: float) -> list[float]:
    """Random moments, one in each of `count` equal parts of a build."""
    drawn = random.Random(seed)
    return [over * (part + drawn.random()) / count for part in range(count)]


def test_a_data_set_is_the_same_after_any_kills(
    base: Path, assembled: Straight, tmp_path: Path
) -> None:
    moments = spread(42, seed=1, over=assembled.seconds)
    assert kill_at(moments, tmp_path, base, assembled, UNTIL) == 42


def test_a_whole_build_is_the_same_after_any_kills(
    base: Path, trained: Straight, tmp_path: Path
) -> None:
    moments = spread(10, seed=2, over=trained.seconds)
    assert kill_at(moments, tmp_path, base, trained) == 10
