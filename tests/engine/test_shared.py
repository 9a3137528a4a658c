"""What a shared store gives is proved; whatever happens to it, a build goes on."""

import hashlib
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.engine import bucket, depot, known, packed, shared
from jessy_build.engine.answers import Answer
from jessy_build.engine.events import StepProgress
from jessy_build.engine.folder import Folder
from jessy_build.engine.kind import Job
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.rebuild import Reuse
from jessy_build.example import Reply, Request, Usage
from tests.engine import sharing
from tests.engine.sharing import build, notes
from tests.engine.world import World, chain
from tests.loopback.s3_api import BUCKET, SECRET, S3Server

ABC = chain("a", "b", "c")


class Place:
    """A shared store from the outside: its files, to look at and to damage."""

    def __init__(self, address: str, root: Path, server: S3Server | None = None) -> None:
        self.address, self.root, self.server = address, root, server

    def names(self, below: str = "") -> list[str]:
        if self.server:
            return [n.removeprefix("jessy/") for n in self.server.names() if f"/{below}" in n]
        files = (p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())
        return sorted(name for name in files if below in name)

    def read(self, name: str) -> bytes:
        if self.server:
            return self.server.read(f"jessy/{name}")
        return (self.root / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        if self.server:
            self.server.write(f"jessy/{name}", content)
            return
        (self.root / name).unlink(missing_ok=True)
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_bytes(content)

    def remove(self, name: str) -> None:
        if self.server:
            self.server.remove(f"jessy/{name}")
        else:
            (self.root / name).unlink()


@pytest.fixture(params=["folder", "s3"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    if request.param == "folder":
        yield Place(str(tmp_path / "shared"), tmp_path / "shared")
        return
    with S3Server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield Place(f"s3://{BUCKET}/jessy", tmp_path, server)


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "shared"), tmp_path / "shared")


# Taking and giving


def test_what_one_has_built_the_others_take(tmp_path: Path, place: Place) -> None:
    first, second = (sharing.world(tmp_path / name, place.address) for name in ("one", "two"))
    build(first, ABC)
    assert first.kind.ran == ["s0", "s1", "s2"]
    decisions = second.rebuilder().plan(ABC)
    assert all(isinstance(decision, Reuse) for decision in decisions.values())
    result = build(second, ABC)
    assert second.kind.ran == [] and notes(second) == []
    assert second.text(result, "s2") == "abc"


def test_files_come_only_when_a_step_reads_them(tmp_path: Path, place: Place) -> None:
    build(sharing.world(tmp_path / "one", place.address), ABC)
    second = sharing.world(tmp_path / "two", place.address)
    result = build(second, chain("a", "b", "X"))
    assert second.kind.ran == ["s2"]
    here = {
        name: second.store.object(artifact.tree["text"][0]).exists()
        for name, artifact in result.made.items()
    }
    assert here == {"s0": False, "s1": True, "s2": True}


def test_what_is_on_its_way_is_told_under_the_step_that_waits(tmp_path: Path, place: Place) -> None:
    build(sharing.world(tmp_path / "one", place.address), chain("a" * 3_000_000, "b"))
    world = sharing.world(tmp_path / "two", place.address)
    build(world, chain("a" * 3_000_000, "X"))
    told = [event for event in world.events if isinstance(event, StepProgress)]
    coming = [event for event in told if event.step == "s1"]
    assert {event.text for event in coming} == {"text from the shared store"}
    assert {event.total for event in coming} == {3_000_000}
    assert [event.done for event in coming] == sorted({event.done for event in coming})
    assert coming[-1].done == 3_000_000


def test_a_later_build_still_knows_what_lies_there(tmp_path: Path, place: Place) -> None:
    build(sharing.world(tmp_path / "one", place.address), ABC)
    build(sharing.world(tmp_path / "two", place.address), ABC)
    again = World(tmp_path / "two")
    shared.join(again.store, place.address, tmp_path, offline=False)
    result = build(again, ABC)
    assert again.kind.ran == []
    assert again.text(result, "s2") == "abc"


def test_what_was_built_before_the_store_was_shared_is_shared_too(
    tmp_path: Path, folder: Place
) -> None:
    (tmp_path / "one").mkdir()
    alone = World(tmp_path / "one")
    alone.build(ABC)
    assert not folder.root.exists()
    shared.join(alone.store, folder.address, tmp_path, offline=False)
    build(alone, ABC)
    assert alone.kind.ran == []
    second = sharing.world(tmp_path / "two", folder.address)
    build(second, ABC)
    assert second.kind.ran == []


def test_the_first_row_of_a_key_stays(tmp_path: Path, folder: Place) -> None:
    """Two that made the same action at once, with different bytes: all take what came first."""
    first, second, third = (
        sharing.world(tmp_path / name, folder.address) for name in ("one", "two", "three")
    )
    for world, text in ((first, "first"), (second, "second")):
        world.kind.during = lambda job, text=text: (job.out / "who").write_text(text)
    second.store.find(chain("a").steps[0].action({}).key)  # nothing is there yet
    build(first, chain("a"))
    build(second, chain("a"))
    assert second.kind.ran == ["s0"], "it did not know of the first"
    result = build(third, chain("a"))
    assert (third.store.view(result.made["s0"]) / "who").read_text() == "first"
    assert second.text(second_result := build(second, chain("a")), "s0") == "a"
    assert (second.store.view(second_result.made["s0"]) / "who").read_text() == "second"


def test_a_file_damaged_here_comes_whole_from_there(tmp_path: Path, place: Place) -> None:
    world = sharing.world(tmp_path / "one", place.address)
    result = build(world, ABC)
    file = world.store.object(result.made["s1"].tree["text"][0])
    file.chmod(0o644)
    file.write_bytes(b"rotten")
    result = build(world, chain("a", "b", "X"))
    assert world.kind.ran == ["s2"]
    assert world.text(result, "s2") == "abX"


# Nothing is believed


def test_every_byte_of_a_row_is_watched(tmp_path: Path, folder: Place) -> None:
    build(sharing.world(tmp_path / "one", folder.address), ABC)
    rows = folder.names("rows/")
    assert len(rows) == 3
    for name in rows:
        key, content = _key(name), folder.read(name)
        assert isinstance(packed.artifact_of(key, content), Artifact)
        for position in range(len(content)):
            for bits in (1, 0x20, 0x80):
                with pytest.raises(packed.Wrong):
                    packed.artifact_of(key, _flipped(content, position, bits))
            with pytest.raises(packed.Wrong):
                packed.artifact_of(key, content[:position])


def test_a_damaged_row_is_named_left_aside_and_written_anew(tmp_path: Path, place: Place) -> None:
    build(sharing.world(tmp_path / "one", place.address), ABC)
    for number, name in enumerate(place.names("rows/")):
        content = place.read(name)
        place.write(name, _flipped(content, len(content) // 2))
        world = sharing.world(tmp_path / f"two{number}", place.address)
        result = build(world, ABC)
        assert len(world.kind.ran) == 1, "only what the row stood for"
        assert any(_key(name)[:12] in text and "damaged" in text for text in notes(world))
        assert world.text(result, "s2") == "abc"
        assert packed.artifact_of(_key(name), place.read(name)), "it was mended"
    third = sharing.world(tmp_path / "three", place.address)
    build(third, ABC)
    assert third.kind.ran == [] and notes(third) == []


def test_every_byte_of_every_object_is_watched(tmp_path: Path, folder: Place) -> None:
    build(sharing.world(tmp_path / "one", folder.address), ABC)
    number = 0
    for name in folder.names("objects/"):
        content = folder.read(name)
        for position in range(len(content)):
            number += 1
            folder.write(name, _flipped(content, position))
            world = sharing.world(tmp_path / f"two{number}", folder.address)
            result = build(world, chain("a", "b", "c", "d"))
            assert world.text(result, "s3") == "abcd"
            assert folder.read(name) == content or name not in _needed(world, result)
            folder.write(name, content)
            for last in folder.names("rows/"):
                if json.loads(folder.read(last).partition(b"\n")[2])["step"] == "s3":
                    folder.remove(last)
    assert number == 6, "a, ab and abc"


DAMAGE = {
    "flipped": lambda content: _flipped(content, 0),
    "cut off": lambda content: content[:-1],
    "empty": lambda content: b"",
    "longer": lambda content: content * 3,
    "another one's": lambda content: b"x" * len(content),
    "gone": None,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_object_is_named_made_again_and_mended(
    tmp_path: Path, place: Place, how: str
) -> None:
    build(sharing.world(tmp_path / "one", place.address), ABC)
    name = next(n for n in place.names("objects/") if place.read(n) == b"ab")
    if (damage := DAMAGE[how]) is None:
        place.remove(name)
    else:
        place.write(name, damage(b"ab"))
    world = sharing.world(tmp_path / "two", place.address)
    result = build(world, chain("a", "b", "X"))
    assert world.text(result, "s2") == "abX"
    assert "s1" in world.kind.ran and "s0" not in world.kind.ran
    assert any("stored file text" in text and "shared store" in text for text in notes(world))
    assert place.read(name) == b"ab", "mended there as well"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path, folder: Place) -> None:
    build(sharing.world(tmp_path / "one", folder.address), ABC)
    for name in [*folder.names("objects/"), *folder.names("rows/")]:
        folder.remove(name)
        os.mkfifo(folder.root / name)
    world = sharing.world(tmp_path / "two", folder.address)
    result = build(world, ABC)
    assert world.kind.ran == ["s0", "s1", "s2"]
    assert world.text(result, "s2") == "abc"


def test_a_row_under_another_key_is_not_used(tmp_path: Path, place: Place) -> None:
    first = sharing.world(tmp_path / "one", place.address)
    made = build(first, chain("a"))
    wanted = chain("z").steps[0].action({}).key
    stolen = packed.row_of(made.made["s0"])
    place.write(f"v1/rows/{wanted[:2]}/{wanted[2:]}.json", stolen)
    world = sharing.world(tmp_path / "two", place.address)
    assert world.text(build(world, chain("z")), "s0") == "z"
    assert any("not the digest of its own pre-image" in text for text in notes(world))


def test_a_row_that_claims_a_key_which_is_not_its_own_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    artifact = World(tmp_path / "one").build(chain("a")).made["s0"]
    for change in ({"params": {"text": "z"}}, {"version": 2}, {"inputs": {"x": "0" * 64}}):
        row = _row(artifact, preimage={**artifact.preimage, **change})
        with pytest.raises(packed.Wrong, match="pre-image"):
            packed.artifact_of(artifact.key, row)


PATHS = [
    *("../escape", "a/../../escape", "/etc/passwd", "", ".", "..", "a//b", "a/./b", "a/"),
    *("a\\..\\b", "nul\0", "x" * 256, "\udce4" * 2),
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "one").mkdir()
    artifact = World(tmp_path / "one").build(chain("a")).made["s0"]
    row = _row(artifact, tree={path: artifact.tree["text"]})
    with pytest.raises(packed.Wrong):
        packed.artifact_of(artifact.key, row)


@pytest.mark.parametrize(
    "change",
    [
        {"tree": {"text": ["0" * 63, 1]}},
        {"tree": {"text": ["G" * 64, 1]}},
        {"tree": {"text": ["0" * 64, -1]}},
        {"tree": {"text": ["0" * 64, True]}},
        {"tree": {"text": ["0" * 64]}},
        {"tree": {"a": ["0" * 64, 1], "a/b": ["0" * 64, 1]}},
        {"tree": ["text"]},
        {"facts": []},
        {"seconds": "1"},
        {"made_at": float("nan")},
        {"step": 3},
        {"about": None},
    ],
)
def test_a_row_of_another_shape_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "one").mkdir()
    artifact = World(tmp_path / "one").build(chain("a")).made["s0"]
    with pytest.raises(packed.Wrong):
        packed.artifact_of(artifact.key, _row(artifact, **change))


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b"\xff\xfe", b"{}", b"null", b"[]"])
def test_a_row_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(packed.Wrong):
        packed.artifact_of("0" * 64, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


# Answers


def test_answers_come_once(tmp_path: Path, place: Place) -> None:
    first, second = (sharing.world(tmp_path / name, place.address) for name in ("one", "two"))
    first.kind.during = lambda job: _ask(job, "hello", 3)
    build(first, chain("a"))
    assert len(place.names("answers/")) == 1
    second.rebuilder().plan(chain("a"))
    assert _answered(second, "hello") == set(), "a plan with nothing to do needs none"
    build(second, chain("a"))
    assert _answered(second, "hello") == {0, 1, 2}
    build(second, chain("b"))
    assert len(place.names("answers/")) == 1, "what came from there does not go back"
    second.kind.during = lambda job: _ask(job, "hello", 5)
    build(second, chain("c"))
    assert len(place.names("answers/")) == 2
    third = sharing.world(tmp_path / "three", place.address)
    build(third, chain("d"))
    assert _answered(third, "hello") == {0, 1, 2, 3, 4}
    assert third.store.ledger.answers.question(_stem("hello")) == _request("hello").question


def test_answers_of_a_step_that_failed_are_shared_too(tmp_path: Path, folder: Place) -> None:
    def ask_and_fail(job: Job) -> None:
        _ask(job, "paid", 2)
        raise StepError("the money is spent")

    first = sharing.world(tmp_path / "one", folder.address)
    first.kind.during = ask_and_fail
    assert build(first, chain("a")).failed
    second = sharing.world(tmp_path / "two", folder.address)
    build(second, chain("b"))
    assert _answered(second, "paid") == {0, 1}


def test_every_byte_of_a_segment_is_watched(tmp_path: Path, folder: Place) -> None:
    first = sharing.world(tmp_path / "one", folder.address)
    first.kind.during = lambda job: _ask(job, "hello", 2)
    build(first, chain("a"))
    (name,) = folder.names("answers/")
    content = folder.read(name)
    assert len(packed.lines_of(Path(name).stem, content)) == 2
    for position in range(len(content)):
        with pytest.raises(packed.Wrong):
            packed.lines_of(Path(name).stem, _flipped(content, position))
    folder.write(name, _flipped(content, 100))
    second = sharing.world(tmp_path / "two", folder.address)
    build(second, chain("b"))
    assert any(Path(name).stem[:12] in text and "damaged" in text for text in notes(second))
    assert _answered(second, "hello") == set()


def test_an_answer_to_another_question_is_refused() -> None:
    right = packed.segment_of([_line("hello", 0)])
    sha256 = hashlib.sha256(right).hexdigest()
    assert len(packed.lines_of(sha256, right)) == 1
    for old, new in (
        (b'"hello"', b'"other"'),  # the question is not what the stem stands for
        (b'"as":[0,', b'"as":[1,'),  # the answer belongs to another sample
        (b'"text":"answer 0"', b'"text":7'),
        (b'"usage"', b'"usages"'),
    ):
        assert old in right
        wrong = right.replace(old, new)
        with pytest.raises(packed.Wrong, match="not written as answers"):
            packed.lines_of(hashlib.sha256(wrong).hexdigest(), wrong)


def test_many_answers_go_in_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "SEGMENT", 10)
    folder = Place(str(tmp_path / "shared"), tmp_path / "shared")
    first = sharing.world(tmp_path / "one", folder.address)
    first.kind.during = lambda job: _ask(job, "hello", 35)
    build(first, chain("a"))
    assert len(folder.names("answers/")) == 4
    second = sharing.world(tmp_path / "two", folder.address)
    build(second, chain("b"))
    assert len(_answered(second, "hello")) == 35


# Out of reach


def test_a_store_out_of_reach_is_one_line_and_the_build_goes_on(tmp_path: Path) -> None:
    world = sharing.world(tmp_path / "one", str(tmp_path / "not" / "mounted"))
    result = build(world, ABC)
    assert world.text(result, "s2") == "abc"
    assert notes(world) == [
        f"{tmp_path}/not/mounted is not used: there is no such folder; the build goes on here"
    ]
    assert not (tmp_path / "not").exists(), "a disk that is not mounted is not made up"


def test_a_dead_server_is_one_line_and_the_build_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3Server() as server:
        environment = server.environment
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    world = sharing.world(tmp_path / "one", f"s3://{BUCKET}/jessy")
    result = build(world, ABC)
    assert world.text(result, "s2") == "abc"
    assert notes(world) == [
        f"s3://{BUCKET}/jessy is not used: it cannot be reached; the build goes on here"
    ]


def test_a_server_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "WAIT_SECONDS", 1)
    with S3Server() as server, socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for name, value in {**server.environment, "AWS_ENDPOINT_URL": silent_url}.items():
            monkeypatch.setenv(name, value)
        world = sharing.world(tmp_path / "one", f"s3://{BUCKET}/jessy")
        result = build(world, ABC)
    assert world.text(result, "s2") == "abc"
    (note,) = notes(world)
    assert "it cannot be reached" in note


def test_a_bucket_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3Server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        world = sharing.world(tmp_path / "one", "s3://nobody/jessy")
        build(world, ABC)
    (note,) = notes(world)
    assert "there is no such bucket" in note


def test_no_credentials_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        world = sharing.world(tmp_path / "one", f"s3://{BUCKET}/jessy")
        build(world, ABC)
    (note,) = notes(world)
    assert "no credentials were found" in note


def test_a_store_that_went_away_costs_only_what_was_left_there(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "disk" / "shared"), tmp_path / "disk" / "shared")
    (tmp_path / "disk").mkdir()
    build(sharing.world(tmp_path / "one", place.address), ABC)
    second = sharing.world(tmp_path / "two", place.address)
    assert isinstance(second.rebuilder().plan(ABC)["s2"], Reuse)
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    again = World(tmp_path / "two")
    shared.join(again.store, place.address, tmp_path, offline=False)
    result = build(again, chain("a", "b", "X"))
    assert again.text(result, "s2") == "abX"
    assert again.kind.ran[-1] == "s2"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts, and only for others is it tested")
def test_a_read_only_store_gives_and_takes_nothing(tmp_path: Path, folder: Place) -> None:
    build(sharing.world(tmp_path / "one", folder.address), ABC)
    before = folder.names()
    if subprocess.run(
        ["mount", "--bind", folder.root, folder.root], capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder.root], check=True)
        world = sharing.world(tmp_path / "two", folder.address)
        result = build(world, chain("a", "b", "X"))
        assert world.kind.ran == ["s2"]
        assert world.text(result, "s2") == "abX"
        assert notes(world) == [f"nothing more goes to {folder.root}: it is read-only"]
    finally:
        subprocess.run(["umount", folder.root], check=True)
    assert folder.names() == before


def test_offline_asks_a_folder_and_no_bucket(tmp_path: Path, folder: Place) -> None:
    (tmp_path / "one").mkdir()
    world = World(tmp_path / "one")
    shared.join(world.store, f"s3://{BUCKET}/jessy", tmp_path, offline=True)
    assert world.store.shared is None
    shared.join(world.store, folder.address, tmp_path, offline=True)
    assert world.store.shared is not None


# Several at once, and killed ones


def test_two_that_push_at_once_leave_a_whole_store(tmp_path: Path, place: Place) -> None:
    worlds = [sharing.world(tmp_path / name, place.address) for name in ("one", "two")]
    children = [_child(tmp_path / name, place.address, "abc") for name in ("one", "two")]
    for child in children:
        assert child.wait(60) == 0
    assert _whole(place) == 3
    del worlds
    third = sharing.world(tmp_path / "three", place.address)
    assert third.text(build(third, chain("abc", "abc", "abc")), "s2") == "abc" * 3
    assert third.kind.ran == []


def test_kill_9_in_the_middle_of_a_push_leaves_nothing_that_looks_whole(
    tmp_path: Path, place: Place
) -> None:
    """Pushes of some megabytes, each killed at another moment."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    rows = left = 0
    for number in range(20 if place.server is None else 8):
        child = _child(tmp_path / f"one{number}", place.address, f"{number} " * 2_000_000)
        assert child.stdout and child.stdout.readline() == b"pushing\n"
        time.sleep(chance.random() * 0.4)
        child.send_signal(signal.SIGKILL)
        child.wait()
        found = _whole(place)
        assert found >= rows, "what was there before is still there"
        rows = found
        left = len(place.names("tmp/"))
    print(f"{rows} rows, {left} files left half-written")
    # The next one is not hindered by what they left.
    assert _child(tmp_path / "last", place.address, "abc").wait(60) == 0
    assert _whole(place) == rows + 3


CHILD = """
import sys
from pathlib import Path
from tests.engine import sharing
from tests.engine.world import chain
root, address, text = sys.argv[1:]
text = text if len(text) < 100 else text * 1000
world = sharing.world(Path(root), address) if not Path(root).exists() else None
if world is None:
    from jessy_build.engine import shared
    from tests.engine.world import World
    world = World(Path(root))
    shared.join(world.store, address, Path(root), offline=False)
if len(text) > 100:
    world.kind.during = lambda job: job.step.name == "s0" and print("pushing", flush=True)
sharing.build(world, chain(text, "abc" if len(text) > 100 else text, text[:3]))
"""


def _child(root: Path, address: str, text: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, root, address, text[:2_000]],
        cwd=Path(__file__).parent.parent.parent,
        stdout=subprocess.PIPE,
    )


def _whole(place: Place) -> int:
    """Every row can be read, and every object that it names is there and right. How many rows."""
    objects = {name.replace("v1/objects/", "").replace("/", "") for name in place.names("objects/")}
    for sha256 in objects:
        content = place.read(f"v1/objects/{sha256[:2]}/{sha256[2:]}")
        assert hashlib.sha256(content).hexdigest() == sha256, "a file that is not what it says"
    rows = place.names("rows/")
    for name in rows:
        artifact = packed.artifact_of(_key(name), place.read(name))
        assert {sha256 for sha256, _ in artifact.tree.values()} <= objects
    for name in place.names("answers/"):
        packed.lines_of(Path(name).stem, place.read(name))
    return len(rows)


# Addresses, rights, secrets


def test_a_folder_is_named_in_several_ways(tmp_path: Path) -> None:
    wanted = (tmp_path / "a b").resolve()
    for address in (str(wanted), f"file://{wanted}", f"file://{tmp_path}/a%20b", "a b", "./a b"):
        found = depot.at(address, tmp_path)
        assert isinstance(found, Folder) and found.root == wanted, address


@pytest.mark.parametrize(
    "address", ["ftp://host/x", "http://host/x", "s3://", "gs:///", "file://host/x", "memory://x"]
)
def test_an_address_that_cannot_be_used_is_told_with_those_that_can(
    tmp_path: Path, address: str
) -> None:
    with pytest.raises(StepError) as refused:
        depot.at(address, tmp_path)
    assert "s3://bucket/path" in refused.value.hint


@pytest.mark.parametrize(
    "address",
    [f"s3://AKIA:{SECRET}@bucket/x", f"s3://bucket/x?secret={SECRET}", f"gs://a@b/x#{SECRET}"],
)
def test_a_key_in_an_address_is_refused_and_not_repeated(tmp_path: Path, address: str) -> None:
    with pytest.raises(StepError) as refused:
        depot.at(address, tmp_path)
    said = refused.value.problem + refused.value.hint + str(refused.value)
    assert SECRET not in said and "AKIA" not in said
    assert "keys come from the environment" in refused.value.hint


def test_a_package_that_is_missing_is_named_with_the_line_to_paste(tmp_path: Path) -> None:
    """In a child that sees no installed package."""
    for scheme, package, extra in (("s3", "s3fs", "s3"), ("gs", "gcsfs", "gcs")):
        paths = [p for p in sys.path if "site-packages" not in p]
        child = subprocess.run(
            [
                *(sys.executable, "-S", "-c"),
                "import sys; from pathlib import Path; from jessy_build.engine import depot\n"
                "try: depot.at(sys.argv[1], Path())\n"
                "except Exception as e: print(type(e).__name__, '|', e.problem, '|', e.hint)",
                f"{scheme}://bucket/x",
            ],
            env={"PYTHONPATH": os.pathsep.join([*paths, str(Path(__file__).parents[2])])},
            capture_output=True,
            text=True,
        )
        assert child.stdout.strip() == (
            f"{MissingPackage.__name__} | a shared store at {scheme}:// needs the package"
            f" '{package}', which is not installed here | uv pip install 'jessy-build[{extra}]'"
        ), child.stderr


def test_a_groups_folder_stays_open_to_the_group(tmp_path: Path, folder: Place) -> None:
    folder.root.mkdir()
    folder.root.chmod(0o2770)
    world = sharing.world(tmp_path / "one", folder.address)
    build(world, ABC)
    for path in folder.root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o2770 if path.is_dir() else 0o440), f"{path} {mode:o}"


def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path: Path, folder: Place) -> None:
    left, fresh = (folder.root / "tmp" / name for name in ("left", "fresh"))
    left.parent.mkdir(parents=True)
    left.write_text("half")
    fresh.write_text("in the making")
    os.utime(left, (time.time() - 2 * 24 * 3600,) * 2)
    build(sharing.world(tmp_path / "one", folder.address), chain("a"))
    assert not left.exists() and fresh.exists()


def test_a_login_in_what_was_measured_is_not_shared(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    made = World(tmp_path / "one").build(chain("a")).made["s0"]
    host = f"http://me:{SECRET}@ollama.example:11434"
    row = packed.row_of(Artifact(**{**made.__dict__, "facts": {"host": host, "note": "a@b"}}))
    assert SECRET.encode() not in row and b"http://ollama.example" in row
    assert packed.artifact_of(made.key, row).facts["note"] == "a@b"


def test_no_key_is_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        world = sharing.world(tmp_path / "one", f"s3://{BUCKET}/jessy")
        build(world, ABC)
        assert all(SECRET.encode() not in server.read(name) for name in server.names())
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_fsspec_is_imported_only_for_a_bucket(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import jessy_build.cli\n"
        "from tests.engine import sharing; from tests.engine.world import chain\n"
        "world = sharing.world(Path(sys.argv[1]), sys.argv[2])\n"
        "sharing.build(world, chain('a'))\n"
        "print('fsspec' in sys.modules, 's3fs' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "one", tmp_path / "shared"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "False False", done.stderr


# What is known of it


def test_answers_that_were_there_before_are_all_to_be_shared(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    world = World(tmp_path / "one")
    world.kind.during = lambda job: _ask(job, "hello", 3)
    world.build(chain("a"))
    path = tmp_path / "one" / "store" / "ledger.sqlite"
    first, second = known.Known(path, "/one"), known.Known(path, "/two")
    assert len(first.unshared(10)) == len(second.unshared(10)) == 3
    first.sent("answers/x", first.unshared(2))
    assert (len(first.unshared(10)), len(second.unshared(10))) == (1, 3)
    world.build(chain("b"))
    assert len(second.unshared(10)) == 3, "the same answers, written again"
    again = known.Known(path, "/one")
    assert again.segments() == {"answers/x"} and not again.holds("key:tree")


def _answered(world: World, prompt: str) -> set[int]:
    answers = world.store.ledger.answers
    return {sample for sample in range(50) if answers.one(_stem(prompt), sample, 0)}


def _request(prompt: str, sample: int = 0) -> Request:
    from jessy_build.example import Message

    return Request("loopback", "model", (Message("user", prompt),), 100, sample=sample)


def _stem(prompt: str) -> str:
    return _request(prompt).stem


def _reply(prompt: str, sample: int) -> dict[str, Any]:

    request = _request(prompt, sample).digest
    return Reply(f"answer {sample}", "end", Usage(1, 2), 0.1, "model", request).plain


def _ask(job: Job, prompt: str, count: int) -> None:
    """What a step that asks writes down: only what is not answered yet."""
    missing = [sample for sample in range(count) if not job.answers.one(_stem(prompt), sample, 0)]
    job.answers.add(
        [Answer(_stem(prompt), sample, 0, True, _reply(prompt, sample)) for sample in missing],
        {_stem(prompt): _request(prompt).question},
    )


def _line(prompt: str, sample: int) -> known.Line:
    reply = json.dumps(_reply(prompt, sample), separators=(",", ":"))
    question = json.dumps(_request(prompt).question, separators=(",", ":"))
    return known.Line(_stem(prompt), sample, 0, True, reply, 1.0, question)


def _row(artifact: Artifact, **change: Any) -> bytes:
    """A row with another content and the right first line, as somebody might write it by hand."""
    row = json.loads(packed.row_of(artifact).partition(b"\n")[2])
    body = json.dumps({**row, **change}).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _key(row: str) -> str:
    return row.removeprefix("v1/rows/").removesuffix(".json").replace("/", "")


def _needed(world: World, result: Any) -> set[str]:
    """Names of the shared objects that this build read."""
    digests = [artifact.tree["text"][0] for artifact in result.made.values()]
    return {f"v1/objects/{d[:2]}/{d[2:]}" for d in digests if world.store.object(d).exists()}


def _flipped(content: bytes, position: int, bits: int = 1) -> bytes:
    return content[:position] + bytes([content[position] ^ bits]) + content[position + 1 :]
