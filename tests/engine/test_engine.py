"""What a user of the engine sees: what runs, what does not, and why it says so."""

import errno
import os
import threading
from pathlib import Path

import pytest

from jessy_build.diagnostics import StepError
from jessy_build.engine.events import StepFailed, StepNote, StepReused
from jessy_build.engine.kind import Job
from jessy_build.engine.rebuild import MayRun, Reuse, Run
from jessy_build.engine.store import Store
from jessy_build.plan.step import Plan, Step
from tests.engine.world import World, chain


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_second_build_runs_nothing(world: World) -> None:
    world.build(chain("a", "b", "c"))
    assert world.kind.ran == ["s0", "s1", "s2"]
    result = world.build(chain("a", "b", "c"))
    assert world.kind.ran == [] and result.ran == []
    assert all(isinstance(event, StepReused) for event in world.events)


def test_a_change_runs_only_what_depends_on_it(world: World) -> None:
    world.build(chain("a", "b", "c"))
    result = world.build(chain("a", "X", "c"))
    assert world.kind.ran == ["s1", "s2"]
    assert world.text(result, "s2") == "aXc"


def test_going_back_runs_nothing(world: World) -> None:
    world.build(chain("a", "b", "c"))
    world.build(chain("a", "X", "c"))
    result = world.build(chain("a", "b", "c"))
    assert world.kind.ran == []
    assert world.text(result, "s2") == "abc"


def test_an_equal_output_stops_the_rebuild(world: World) -> None:
    world.build(chain("a", "b", "c", upper=1))
    world.build(chain("A", "b", "c", upper=1))
    assert world.kind.ran == ["s0", "s1"], "s1 gives AB either way, so s2 need not run"


def test_the_plan_names_field_old_and_new(world: World) -> None:
    world.build(chain("a", "b", "c"))
    decisions = world.rebuilder().plan(chain("a", "X", "c"))
    assert isinstance(decisions["s0"], Reuse)
    second = decisions["s1"]
    assert isinstance(second, Run)
    assert second.reason.text == "text changed"
    change = second.reason.changes[0]
    assert (change.field, change.old, change.new) == ("text", "b", "X")
    assert decisions["s2"] == MayRun(("s1",))


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (None, chain("a"), "never built"),
        (chain("a"), Plan((Step("s0", "text", 2, {"text": "a"}),)), "version 1 became 2"),
        (chain("a"), chain("b"), "text changed"),
    ],
)
def test_reasons_are_said(world: World, before: Plan | None, now: Plan, reason: str) -> None:
    if before:
        world.build(before)
    decision = world.rebuilder().plan(now)["s0"]
    assert isinstance(decision, Run) and reason in decision.reason.text


def test_a_flipped_byte_is_found_named_and_mended(world: World) -> None:
    result = world.build(chain("a", "b"))
    _flip(world, result.made["s0"].tree["text"][0])
    decision = world.rebuilder().plan(chain("a", "b"))["s0"]
    assert isinstance(decision, Run) and "stored file text was damaged" in decision.reason.text
    result = world.build(chain("a", "b"))
    assert world.kind.ran == ["s0"]
    assert world.text(result, "s1") == "ab"


def test_damage_that_times_do_not_show_never_reaches_a_result(world: World) -> None:
    result = world.build(chain("a", "b"))
    sha256 = result.made["s0"].tree["text"][0]
    _flip(world, sha256)
    file = world.store.object(sha256)
    stat = file.stat()
    noted = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    world.store.ledger.set_file(sha256, noted, sha256)  # as if the disk had rotted silently
    world.store = Store(world.root / "store")
    result = world.build(chain("a", "X"))
    assert world.text(result, "s1") == "aX"
    assert world.kind.ran == ["s1", "s0", "s1"], "s1 met the damage, s0 was made again"
    assert any(isinstance(e, StepNote) and "damaged" in e.text for e in world.events)


def test_a_removed_object_is_made_again(world: World) -> None:
    result = world.build(chain("a", "b"))
    world.store.object(result.made["s1"].tree["text"][0]).unlink()
    result = world.build(chain("a", "b"))
    assert world.kind.ran == ["s1"]


def test_a_failed_step_stops_its_dependents_not_its_siblings(world: World) -> None:
    plan = Plan(
        (
            Step("bad", "text", 1, {"fail": True}),
            Step("good", "text", 1, {"text": "g"}),
            Step("behind bad", "text", 1, {}, {"x": "bad"}),
            Step("behind good", "text", 1, {}, {"x": "good"}),
        )
    )
    result = world.build(plan)
    assert set(world.kind.ran) == {"bad", "good", "behind good"}
    assert result.left == ["behind bad"]
    failed = next(event for event in world.events if isinstance(event, StepFailed))
    assert (failed.step, failed.problem, failed.hint) == ("bad", "asked to fail", "do not ask")


def test_steps_run_at_once_within_their_pools(world: World) -> None:
    meet = threading.Barrier(2, timeout=10)
    world.kind.during = lambda job: _wait(meet)
    plan = Plan(tuple(Step(f"n{n}", "text", 1, {"text": str(n)}, pool="network") for n in (1, 2)))
    result = world.build(plan, {"cpu": 1, "network": 2})
    assert not result.failed, "two steps of one pool of two met each other"


def test_steps_that_wait_for_one_pool_leave_the_others_alone(world: World) -> None:
    """One step for the machine works, many wait behind it, and two of the network still meet."""
    meet = threading.Barrier(3, timeout=10)
    world.kind.during = lambda job: _wait(meet) if job.step.params.get("meets") else None
    heavy = (
        Step(f"g{n}", "text", 1, {"text": f"g{n}", "meets": n == 0}, pool="gpu") for n in range(6)
    )
    light = (
        Step(f"n{n}", "text", 1, {"text": f"n{n}", "meets": True}, pool="network") for n in (1, 2)
    )
    result = world.build(Plan((*heavy, *light)), {"gpu": 1, "network": 2})
    assert not result.failed and len(result.ran) == 8


def test_a_pool_of_one_never_holds_two(world: World) -> None:
    inside, most = [], []

    def during(job: Job) -> None:
        inside.append(job.step.name)
        most.append(len(inside))
        threading.Event().wait(0.02)
        inside.remove(job.step.name)

    world.kind.during = during
    plan = Plan(tuple(Step(f"g{n}", "text", 1, {"text": str(n)}, pool="gpu") for n in range(5)))
    world.build(plan, {"gpu": 1, "cpu": 4})
    assert max(most) == 1
    world.build(
        Plan(tuple(Step(f"c{n}", "text", 1, {"text": f"c{n}"}) for n in range(5))), {"cpu": 4}
    )
    assert max(most) > 1


def test_an_effect_that_no_longer_holds_runs_again(world: World) -> None:
    world.build(chain("a"))
    world.kind.lost = {"s0"}
    decision = world.rebuilder().plan(chain("a"))["s0"]
    assert isinstance(decision, Run) and "the world changed" in decision.reason.text


def test_a_full_disk_is_said_and_loses_nothing(world: World) -> None:
    def full(job: Job) -> None:
        if job.step.name == "s1":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(job.out))

    world.kind.during = full
    result = world.build(chain("a", "b"))
    assert "no space is left" in result.failed["s1"].problem
    world.kind.during = lambda job: None
    world.build(chain("a", "b"))
    assert world.kind.ran == ["s1"]


def test_a_step_finds_its_scratch_again_after_it_died(world: World) -> None:
    def die_once(job: Job) -> None:
        if not (job.work / "half").exists():
            (job.work / "half").write_text("done")
            raise StepError("died")

    world.kind.during = die_once
    assert world.build(chain("a")).failed
    assert not world.build(chain("a")).failed
    assert not any((world.root / "store" / "work").iterdir()), "and it goes when the step is done"


def test_two_builds_at_once_share_their_work(tmp_path: Path) -> None:
    first, second = World(tmp_path), World(tmp_path)
    second.kind = first.kind
    started = threading.Barrier(2, timeout=10)

    def build(world: World) -> None:
        started.wait()
        world.build(chain("a", "b", "c"))

    first.kind.ran.clear()
    threads = [threading.Thread(target=build, args=(world,)) for world in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [
        e.step for w in (first, second) for e in w.events if type(e).__name__ == "StepFinished"
    ]
    assert sorted(names) == ["s0", "s1", "s2"]


def test_steps_must_stand_behind_what_they_need() -> None:
    with pytest.raises(ValueError, match="before what it needs"):
        Plan((Step("b", "text", 1, {}, {"x": "a"}), Step("a", "text", 1, {})))


def test_a_plan_until_a_step_holds_only_what_it_needs() -> None:
    plan = Plan((*chain("a", "b").steps, Step("other", "text", 1, {})))
    assert [step.name for step in plan.until("s1")] == ["s0", "s1"]


def test_equal_actions_have_equal_keys_whatever_the_order() -> None:
    one = Step("x", "text", 1, {"a": 1, "b": 2}).action({"p": "1", "q": "2"})
    two = Step("y", "text", 1, {"b": 2, "a": 1}).action({"q": "2", "p": "1"})
    assert one.key == two.key


def _flip(world: World, sha256: str) -> None:
    file = world.store.object(sha256)
    file.chmod(0o644)
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])


def _wait(barrier: threading.Barrier) -> None:
    barrier.wait()
