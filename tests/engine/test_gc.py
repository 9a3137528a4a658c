"""What leaves a store and what stays: rows first, files after, and builds may run meanwhile."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jessy_build.engine import decisions, gc, locks
from jessy_build.engine.decisions import Decided
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.schedule import Result
from jessy_build.engine.store import Store
from jessy_build.plan.step import Plan
from tests.engine.world import World, chain

REPOSITORY = Path(__file__).parent.parent.parent
LATER = 2 * gc.ORPHAN_SECONDS


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def build(world: World, plan: Plan, recipe: str = "r.yaml", status: str = "done") -> Result:
    """As a real build leaves it behind in the ledger."""
    ledger = world.store.ledger
    number = ledger.begin_build(recipe, "r", "v1", {}, "nobody")
    result = world.build(plan)
    for name, artifact in result.made.items():
        ledger.decisions.note(Decided(number, name, artifact.key, "ran"))
        if status == "done":
            ledger.set_latest(recipe, name, artifact.key, [])
    if status != "running":
        ledger.end_build(number, status, 1.0, {n: a.key for n, a in result.made.items()})
    return result


def sweep(world: World, last: int = 1, named: tuple[str, ...] = ()) -> gc.Garbage:
    keep = gc.kept(world.store, last, named)
    return gc.sweep(world.store, keep, set, time.time(), lambda done, total, text: None)


def texts(world: World) -> set[str]:
    """The content of every stored object."""
    files = (world.root / "store/objects").rglob("*")
    return {path.read_text() for path in files if path.is_file()}


def test_only_the_last_builds_stay_and_they_need_nothing_made_again(world: World) -> None:
    for text in ("one", "two", "three"):
        build(world, chain(text, "!"))
    found = sweep(world, last=2)
    assert {a.step for a in found.artifacts} == {"s0", "s1"} and len(found.artifacts) == 2
    assert texts(world) == {"two", "two!", "three", "three!"}
    assert build(world, chain("three", "!")).ran == []
    assert build(world, chain("two", "!")).ran == []
    assert build(world, chain("one", "!")).ran == ["s0", "s1"]


def test_a_build_that_made_nothing_new_does_not_push_an_older_one_out(world: World) -> None:
    for text in ("one", "two", "two", "two"):
        build(world, chain(text))
    assert sweep(world, last=2).artifacts == ()
    assert texts(world) == {"one", "two"}


def test_each_recipe_keeps_its_own(world: World) -> None:
    build(world, chain("mine"), "mine.yaml")
    for text in ("a", "b"):
        build(world, chain(text), "other.yaml")
    sweep(world, last=1)
    assert texts(world) == {"mine", "b"}


def test_what_somebody_names_stays(world: World) -> None:
    old = build(world, chain("old")).made["s0"]
    build(world, chain("new"))
    assert sweep(world, named=(old.key,)).artifacts == ()
    assert texts(world) == {"old", "new"}


def test_a_file_that_two_artifacts_share_stays_with_the_one_that_stays(world: World) -> None:
    build(world, chain("same", "x"))
    build(world, chain("SAME", "y"))
    third = build(world, chain("same", "z"))
    sweep(world)
    assert texts(world) == {"same", "samez"}
    assert world.text(third, "s0") == "same"


def test_a_dry_run_removes_nothing_and_says_what_the_real_one_then_does(world: World) -> None:
    for text in ("one", "two"):
        build(world, chain(text, "!"))
    (world.store.work("0" * 64) / "scratch").write_text("left by a kill")
    keep = gc.kept(world.store, 1, ())
    before = snapshot(world)
    said = gc.find(world.store, keep, set, time.time())
    assert snapshot(world) == before
    done = sweep(world)
    assert [a.key for a in done.artifacts] == [a.key for a in said.artifacts]
    assert {f.path for f in done.objects} == {f.path for f in said.objects}
    assert {f.path for f in done.work} == {f.path for f in said.work}
    assert set(done.views) == set(said.views)
    assert done.bytes == said.bytes == len("one" + "one!" + "left by a kill")


def snapshot(world: World) -> list[str]:
    folder = world.root / "store"
    parts = ("objects", "views", "work", "locks")
    return sorted(str(p) for part in parts for p in (folder / part).rglob("*"))


def test_views_work_folders_locks_and_notes_of_what_is_gone_go_along(world: World) -> None:
    old = build(world, chain("old", "!"))
    build(world, chain("new", "!"))
    world.store.view(old.made["s1"])
    (world.store.work(old.made["s1"].key) / "x").touch()
    root = world.root / "store"
    sweep(world)
    views = {path.name for path in (root / "views").iterdir()}
    stays = {world.store.digest(a) for a in world.store.ledger.artifacts()}
    assert views <= stays
    assert list((root / "work").iterdir()) == []
    left = {path.name for path in (root / "locks").iterdir() if len(path.name) == 64}
    assert left == {artifact.key for artifact in world.store.ledger.artifacts()}
    assert all(world.store.object(name).exists() for name in world.store.ledger.noted_files())


def test_content_that_lies_in_another_folder_too_is_not_counted_as_freed(world: World) -> None:
    old = build(world, chain("old one")).made["s0"]
    (sha256, size) = old.tree["text"]
    os.link(world.store.object(sha256), world.root / "laid-out")
    build(world, chain("new"))
    found = sweep(world)
    assert (found.bytes, found.elsewhere) == (0, size)


def test_a_stray_object_stays_an_hour_in_case_it_is_just_being_put(world: World) -> None:
    build(world, chain("x"))
    stray = world.store.object("ab" * 32)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_text("no row yet")
    os.utime(stray, (0, 0))  # the time of its last change says nothing: it may be a copy
    assert sweep(world).objects == ()
    keep = gc.kept(world.store, 1, ())
    done = gc.sweep(world.store, keep, set, time.time() + LATER, lambda *_: None)
    assert [f.path for f in done.objects] == [stray] and not stray.exists()


def test_what_a_living_build_has_decided_about_stays_and_a_dead_one_is_buried(world: World) -> None:
    ledger, root = world.store.ledger, world.store.root
    old = build(world, chain("old")).made["s0"]
    build(world, chain("new"))
    with alive(root, "a-build"):
        number = ledger.begin_build("r.yaml", "r", "v1", {}, "a-build")
        assert ledger.decisions.note(Decided(number, "s0", old.key, "reused"))
        assert ledger.decisions.alive(root) == {number}
        assert sweep(world).artifacts == ()
    assert ledger.decisions.alive(root) == set()
    ledger.end_build(number, "failed", 1.0, {})
    assert sweep(world).artifacts == (), "the next build goes on from what a failed one has"
    build(world, chain("new"))
    assert [a.key for a in sweep(world).artifacts] == [old.key]

    number = ledger.begin_build("r.yaml", "r", "v1", {}, "died")
    sweep(world)
    assert ledger.builds()[0].id == number and ledger.builds()[0].status == "killed"


@contextmanager
def alive(root: Path, name: str) -> Iterator[None]:
    with locks.hold(decisions.lock_of(root, name)):
        yield


def test_a_build_that_reuses_something_in_the_very_moment_is_told_or_spared(world: World) -> None:
    """Either the note comes first and the row stays, or the row goes and the note says so."""
    ledger = world.store.ledger
    artifact = build(world, chain("old")).made["s0"]
    build(world, chain("new"))
    number = ledger.begin_build("r.yaml", "r", "v1", {}, "x")
    assert ledger.decisions.note(Decided(number, "s0", artifact.key, "reused")) is True
    assert ledger.decisions.forget(artifact.key) is False
    ledger.end_build(number, "done", 1.0, {})
    assert ledger.decisions.forget(artifact.key) is True
    again = ledger.begin_build("r.yaml", "r", "v1", {}, "y")
    assert ledger.decisions.note(Decided(again, "s0", artifact.key, "reused")) is False


def test_a_claimed_step_and_its_work_folder_are_left_alone(world: World) -> None:
    old = build(world, chain("old")).made["s0"]
    build(world, chain("new"))
    work = world.store.work(old.key)
    with world.store.claim(old.key):
        done = sweep(world)
        assert done.artifacts == () and done.work == () and work.is_dir()
    assert [a.key for a in sweep(world).artifacts] == [old.key] and not work.exists()


def test_a_lock_whose_file_is_removed_still_lets_only_one_in(tmp_path: Path) -> None:
    """One waits for a lock, its holder removes the file, a third comes: two at once never are."""
    store, inside, most = Store(tmp_path), [0], [0]
    guard = threading.Lock()

    def enter() -> None:
        for _ in range(60):
            with store.claim("k"):
                with guard:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                with guard:
                    inside[0] -= 1
                # The last thing that a holder does: from here on a newcomer may enter.
                (tmp_path / "locks/k").unlink()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1


def test_builds_and_clean_ups_at_once_lose_nothing(world: World) -> None:
    """Old results come back while they are being removed: each ends whole, whoever was first."""
    stop = threading.Event()
    broken: list[BaseException] = []
    removed = [0]

    def clean() -> None:
        other = World(world.root)
        while not stop.is_set():
            try:
                keep = gc.kept(other.store, 1, ())
                done = gc.sweep(other.store, keep, set, time.time(), lambda *_: None)
                removed[0] += len(done.artifacts)
            except BaseException as error:
                broken.append(error)
                return

    thread = threading.Thread(target=clean)
    thread.start()
    try:
        for turn in range(40):
            made = run_noted(world, chain(f"text {turn % 3}", "!"))
            for artifact in made.values():
                world.store.glance(artifact)
    finally:
        stop.set()
        thread.join()
    assert broken == [] and removed[0] > 10


class Wordless:
    """There is no recipe whose fields could be named."""

    def of(self, step: object, changes: object) -> tuple[()]:
        return ()


def run_noted(world: World, plan: Plan) -> dict[str, Artifact]:
    """A build that notes its decisions as real ones do, without the words."""
    from jessy_build.engine.rebuild import Reuse
    from jessy_build.engine.rebuild import Run as Runs
    from jessy_build.steps.remember import Remembering

    ledger, name = world.store.ledger, f"t-{time.monotonic_ns()}"
    with alive(world.store.root, name):
        number = ledger.begin_build("r.yaml", "r", "v1", {}, name)

        def tell(step: object, decision: object, reason: object) -> bool:
            assert isinstance(decision, Reuse | Runs)
            reused = isinstance(decision, Reuse)
            key = decision.artifact.key if isinstance(decision, Reuse) else decision.action.key
            word = "reused" if reused else "started"
            return ledger.decisions.note(Decided(number, step.name, key, word))  # type: ignore[attr-defined, arg-type]

        plain = world.rebuilder()
        world.rebuilder = lambda: Remembering(plain.store, plain.holds, {}, tell, Wordless())  # type: ignore[method-assign, arg-type]
        result = world.build(plan)
        for step, artifact in result.made.items():
            ledger.set_latest("r.yaml", step, artifact.key, [])
            assert (world.store.view(artifact) / "text").exists()
        ledger.end_build(number, "done", 1.0, {n: a.key for n, a in result.made.items()})
    return result.made


KILLED = """
import sys, time
from pathlib import Path
from jessy_build.engine import gc
from jessy_build.engine.store import Store

store = Store(Path(sys.argv[1]))
def slowly(done, total, text):
    print(done, flush=True)
    time.sleep(0.002)
gc.sweep(store, gc.kept(store, 1, ()), set, time.time(), slowly)
"""


@pytest.mark.parametrize("after", [1, 7, 20, 41, 60, 90])
def test_a_kill_in_the_middle_leaves_a_store_that_works(world: World, after: int) -> None:
    for turn in range(15):
        build(world, chain(f"text {turn}", "a", "b"))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(world.store.root)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if int(line) >= after:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    assert build(world, chain("text 14", "a", "b")).ran == []
    for artifact in world.store.ledger.artifacts():
        world.store.prove(artifact)
    assert build(world, chain("text 3", "a", "b")).made
    keep = gc.kept(world.store, 1, ())
    gc.sweep(world.store, keep, set, time.time() + LATER, lambda *_: None)
    assert texts(world) == {"text 3", "text 3a", "text 3ab"}
