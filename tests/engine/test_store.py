"""A store, and its seam to a shared one: what is fetched when, and what is left behind."""

import os
import time
from pathlib import Path

import pytest

from jessy_build.diagnostics import StepError
from jessy_build.engine.store import Damaged, Store
from tests.engine import sharing
from tests.engine.sharing import build
from tests.engine.world import World, chain


def test_without_a_shared_store_a_missing_file_is_damage(tmp_path: Path) -> None:
    world = World(tmp_path)
    artifact = world.build(chain("a")).made["s0"]
    world.store.object(artifact.tree["text"][0]).unlink()
    for look in (world.store.glance, world.store.bring, world.store.view, world.store.prove):
        with pytest.raises(Damaged, match="stored file text is gone"):
            look(artifact)


def test_damage_is_an_error_with_a_next_move(tmp_path: Path) -> None:
    """Commands that only read a store (chat, show) meet it outside of a build."""
    error: StepError = Damaged("model.gguf", "is gone")
    assert (error.problem, error.hint) == (
        "stored file model.gguf is gone",
        "build again: it is made anew",
    )


def test_a_glance_lets_files_stay_in_the_shared_store_and_bring_does_not(tmp_path: Path) -> None:
    address = str(tmp_path / "shared")
    build(sharing.world(tmp_path / "one", address), chain("a"))
    store = sharing.world(tmp_path / "two", address).store
    artifact = store.find(chain("a").steps[0].action({}).key)
    assert artifact is not None
    file = store.object(artifact.tree["text"][0])
    store.glance(artifact)
    assert not file.exists()
    store.bring(artifact)
    assert file.read_text() == "a"
    store.prove(artifact)


def test_a_proof_takes_nothing_from_elsewhere(tmp_path: Path) -> None:
    """What a step has read must be what it was: a fresh copy of it would prove nothing."""
    world = sharing.world(tmp_path / "one", str(tmp_path / "shared"))
    artifact = build(world, chain("a")).made["s0"]
    world.store.object(artifact.tree["text"][0]).unlink()
    with pytest.raises(Damaged):
        world.store.prove(artifact)
    assert (world.store.view(artifact) / "text").read_text() == "a"


def test_what_is_forgotten_is_not_taken_from_there_in_the_same_run(tmp_path: Path) -> None:
    address = str(tmp_path / "shared")
    world = sharing.world(tmp_path / "one", address)
    artifact = build(world, chain("a")).made["s0"]
    world.store.forget(artifact)
    assert world.store.find(artifact.key) is None
    later = World(tmp_path / "one")
    assert later.store.find(artifact.key) is None, "and nothing is left of it here"
    assert sharing.world(tmp_path / "two", address).store.find(artifact.key) is not None


def test_files_on_their_way_here_leave_nothing_behind(tmp_path: Path) -> None:
    address = str(tmp_path / "shared")
    build(sharing.world(tmp_path / "one", address), chain("a"))
    world = sharing.world(tmp_path / "two", address)
    left = world.store.root / "incoming" / "left"
    left.parent.mkdir()
    left.write_text("half of a file, from a process that was killed")
    os.utime(left, (time.time() - 2 * 24 * 3600,) * 2)
    result = build(world, chain("a", "b"))
    assert world.text(result, "s1") == "ab"
    assert list(left.parent.iterdir()) == []


def test_a_store_that_shares_nothing_has_no_tables_for_it(tmp_path: Path) -> None:
    World(tmp_path).build(chain("a"))
    names = Store(tmp_path / "store").ledger._rows("select name from sqlite_master")
    assert not any("share" in name for (name,) in names)
