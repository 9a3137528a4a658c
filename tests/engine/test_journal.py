"""A ledger that was cut, overwritten or taken away: what is whole in it counts, the rest is told.

No case needs a hand: the next build mends what it finds and goes on to the same data set.
"""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.steps import asked
from tests.steps.asked import ITEMS, Teacher
from tests.steps.project import SIGKILL, Project, Ran

UNTIL = ("build", "recipe.yaml", "--until", "assemble")
FRAME = 24 + 4096
"""Bytes of a frame in SQLite's journal: a header and a page; the file's own header has 32."""


@dataclass(frozen=True)
class Before:
    """Two projects: one killed while it asked, with a journal, and one that came to its end."""

    killed: Path
    whole: Path
    results: dict[str, bytes]


@pytest.fixture(scope="module")
def before(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Before:
    root = tmp_path_factory.mktemp("journal")
    with Teacher() as teacher:
        whole = asked.make(root / "whole", tiny_model, teacher)
        assert whole.run(*UNTIL).code == 0
        results = asked.results(whole)
        with closing(sqlite3.connect(whole.root / ".jessy/ledger.sqlite")) as ledger:
            ledger.execute("pragma wal_checkpoint(truncate)")
    with Teacher(0.05) as teacher:
        killed = asked.make(root / "killed", tiny_model, teacher)
        process = killed.start(*UNTIL)
        while teacher.count < ITEMS // 2:
            assert process.poll() is None
        process.send_signal(SIGKILL)
        process.communicate()
    assert journal(killed).stat().st_size > 20 * FRAME
    return Before(killed.root, whole.root, results)


def ledger(project: Project) -> Path:
    return project.root / ".jessy/ledger.sqlite"


def journal(project: Project) -> Path:
    return project.root / ".jessy/ledger.sqlite-wal"


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    with Teacher() as running:
        yield running


@pytest.fixture
def killed(before: Before, tmp_path: Path, teacher: Teacher) -> Project:
    return _copy(before.killed, tmp_path / "p", teacher)


@pytest.fixture
def whole(before: Before, tmp_path: Path, teacher: Teacher) -> Project:
    return _copy(before.whole, tmp_path / "p", teacher)


def _copy(source: Path, target: Path, teacher: Teacher) -> Project:
    shutil.copytree(source, target, copy_function=shutil.copy2)
    env = {"ANTHROPIC_BASE_URL": teacher.url, "ANTHROPIC_API_KEY": "sk-ant-test-0123456789"}
    return Project(target, env)


def answers(project: Project, scratch: Path) -> int:
    """How many answers SQLite itself finds, in a copy."""
    scratch.mkdir()
    for file in (ledger(project), journal(project)):
        if file.exists():
            shutil.copy(file, scratch)
    with closing(sqlite3.connect(scratch / "ledger.sqlite")) as found:
        if not found.execute("select 1 from sqlite_master where name = 'replies'").fetchone():
            return 0
        return int(found.execute("select count(*) from replies").fetchone()[0])


def goes_on(project: Project, before: Before) -> Ran:
    done = project.run(*UNTIL)
    assert done.code == 0, done.out + done.err
    assert "Traceback" not in done.err and "fault of jessy-build" not in done.err
    assert asked.results(project) == before.results
    again = project.run(*UNTIL)
    assert (again.code, again.err) == (0, ""), "once it is mended nothing more is said"
    assert "Nothing to do" in again.out
    return done


def cut(share: float, plus: int = 0) -> Callable[[bytes], bytes]:
    """At a share of the frames, and some bytes more: into the middle of one."""
    return lambda data: data[: 32 + int(share * ((len(data) - 32) // FRAME)) * FRAME + plus]


def flip(place: float) -> Callable[[bytes], bytes]:
    def flipped(data: bytes) -> bytes:
        at = int(place * (len(data) - 1))
        return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]

    return flipped


def noise(length: int) -> bytes:
    return random.Random(length).randbytes(length)


JOURNALS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half a header": lambda data: data[:16],
    "a header alone": lambda data: data[:32],
    "half the first frame's header": cut(0, 12),
    "half the first frame": cut(0, 2000),
    "between two frames": cut(0.5),
    "in the header of a frame": cut(0.5, 12),
    "in the page of a frame": cut(0.5, 1024),
    "one byte short": lambda data: data[:-1],
    "most of it": cut(0.9, 3000),
    "garbage behind": lambda data: data + noise(5000),
    "a frame of garbage behind": lambda data: data + noise(FRAME),
    "zeros behind": lambda data: data + bytes(3 * FRAME),
    "zeros at the end": lambda data: data[:-FRAME] + bytes(FRAME),
    "a flipped byte in the header": flip(0.0),
    "a flipped byte in the middle": flip(0.5),
    "a flipped byte near the end": flip(0.98),
    "garbage all over": lambda data: noise(len(data)),
}


@pytest.mark.parametrize("how", JOURNALS)
def test_a_damaged_journal_counts_as_far_as_it_is_whole(
    how: str, killed: Project, before: Before, teacher: Teacher, tmp_path: Path
) -> None:
    file = journal(killed)
    file.write_bytes(JOURNALS[how](file.read_bytes()))
    kept = answers(killed, tmp_path / "look")
    goes_on(killed, before)
    assert teacher.count == ITEMS - kept


def test_a_journal_that_is_taken_away_loses_only_what_was_in_it(
    killed: Project, before: Before, teacher: Teacher, tmp_path: Path
) -> None:
    journal(killed).unlink()
    kept = answers(killed, tmp_path / "look")
    goes_on(killed, before)
    assert teacher.count == ITEMS - kept


def page(number: int, content: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[: 4096 * number] + content + data[4096 * (number + 1) :]


LEDGERS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "half a header": lambda data: data[:50],
    "a header alone": lambda data: data[:100],
    "one page": lambda data: data[:4096],
    "a third": lambda data: data[: len(data) // 3],
    "half a page less": lambda data: data[:-2048],
    "a page less": lambda data: data[:-4096],
    "half": lambda data: data[: len(data) // 2],
    "garbage in its header": lambda data: noise(100) + data[100:],
    "garbage in its first page": page(0, noise(4096)),
    "garbage all over": lambda data: noise(len(data)),
    "text": lambda data: b"this is no ledger\n" * 1000,
}


@pytest.mark.parametrize("how", LEDGERS)
def test_a_ledger_that_cannot_be_read_is_set_aside_and_it_is_said(
    how: str, whole: Project, before: Before, teacher: Teacher
) -> None:
    file = ledger(whole)
    damaged = LEDGERS[how](file.read_bytes())
    file.write_bytes(damaged)
    done = goes_on(whole, before)
    if how == "half a page less" and not teacher.count:
        return  # What was in it is needed by nobody.
    assert "the ledger of the store" in done.err
    if len(damaged) > 1:
        aside = whole.root / ".jessy/ledger.damaged-1.sqlite"
        assert str(aside) in done.err and aside.read_bytes() == damaged
    else:
        assert "is gone" in done.err and "asked anew" in done.err
        assert teacher.count == ITEMS


def test_every_page_may_be_garbage(
    whole: Project, before: Before, teacher: Teacher, tmp_path: Path
) -> None:
    """Page by page: whatever it held, the build ends well, and what was lost is told."""
    intact = ledger(whole).read_bytes()
    saved = 0
    pages = len(intact) // 4096
    assert pages > 15
    for number in range(1, pages):
        for beside in whole.root.glob(".jessy/ledger*"):
            beside.unlink()
        ledger(whole).write_bytes(page(number, noise(4096))(intact))
        asked_before = teacher.count
        done = whole.run(*UNTIL)
        assert done.code == 0, (number, done.out, done.err)
        assert "fault of jessy-build" not in done.err, number
        assert asked.results(whole) == before.results, number
        anew = teacher.count - asked_before
        assert "ledger of the store was damaged" in done.err or not anew, number
        saved += ITEMS - anew
    assert saved > pages * ITEMS * 0.6, "one page lost is not all lost"


def test_an_answer_with_one_wrong_letter_is_told_and_alone_asked_anew(
    whole: Project, before: Before, teacher: Teacher
) -> None:
    """SQLite reads it, and it is JSON: only its checksum tells."""
    with closing(sqlite3.connect(ledger(whole))) as found, found:
        # So that the step looks at its answers again.
        found.execute("delete from artifacts where step = 'generate:talk'")
        wrong = found.execute(
            "update replies set reply = replace(reply, 'cevap', 'Cevap') where rowid ="
            " (select max(rowid) from replies where instr(reply, 'A line about'))"
        )
        assert wrong.rowcount == 1
    done = goes_on(whole, before)
    assert "an answer to the question" in done.err and "is not what was written" in done.err
    assert f"{ITEMS - 1} answers and " in done.err
    assert teacher.count == 1


def test_a_finished_step_noted_with_one_wrong_digit_is_told_and_made_again(
    whole: Project, before: Before, teacher: Teacher
) -> None:
    with closing(sqlite3.connect(ledger(whole))) as found, found:
        wrong = found.execute(
            "update artifacts set facts = replace(facts, ':', ': ') where step = 'validate'"
        )
        assert wrong.rowcount == 1
    (whole.root / "recipe.lock.yaml").unlink()
    done = goes_on(whole, before)
    assert "what stands there of validate is not what was written" in done.err
    assert teacher.count == 0


def test_a_ledger_of_an_earlier_version_is_taken_as_it_is(
    whole: Project, before: Before, teacher: Teacher
) -> None:
    with closing(sqlite3.connect(ledger(whole))) as found, found:
        for table in ("replies", "artifacts"):
            found.execute(f"alter table {table} drop column seal")
        found.execute("pragma user_version = 5")
        found.execute("delete from artifacts where step = 'generate:talk'")
    done = goes_on(whole, before)
    assert (done.err, teacher.count) == ("", 0)


def test_a_ledger_that_is_taken_away_is_told_and_nothing_else_is_lost(
    whole: Project, before: Before, teacher: Teacher
) -> None:
    for file in whole.root.glob(".jessy/ledger*"):
        file.unlink()
    objects = sum(1 for p in (whole.root / ".jessy/objects").rglob("*") if p.is_file())
    done = goes_on(whole, before)
    assert "the ledger of the store is gone: it is missing" in done.err
    assert teacher.count == ITEMS
    assert sum(1 for p in (whole.root / ".jessy/objects").rglob("*") if p.is_file()) == objects


@pytest.mark.parametrize("command", ["plan", "status", "build", "history"])
def test_every_command_mends(command: str, whole: Project) -> None:
    ledger(whole).write_bytes(b"garbage" * 1000)
    words = {"history": ("history", "asked")}.get(command, (command, "recipe.yaml"))
    if command == "build":
        words = UNTIL
    done = whole.run(*words)
    assert "was damaged" in done.err and "fault of jessy-build" not in done.err, done.err
    assert ledger(whole).read_bytes()[:15] == b"SQLite format 3"
    assert "was damaged" not in whole.run(*words).err


def test_two_builds_that_find_it_damaged_mend_it_once(
    whole: Project, before: Before, teacher: Teacher
) -> None:
    ledger(whole).write_bytes(noise(50_000))
    running = [whole.start(*UNTIL) for _ in range(3)]
    told = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], told
    assert len(list(whole.root.glob(".jessy/ledger.damaged-*.sqlite"))) == 1
    assert teacher.count == ITEMS
    assert asked.results(whole) == before.results
