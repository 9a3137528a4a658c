"""One line of an env file changes, and nothing else of it; or nothing at all."""

import os
import stat
from pathlib import Path

import pytest

from jessy_build.diagnostics import StepError
from jessy_build.packaging.env_file import EnvLine

NEW = "jessy:v2"
KEPT = [
    # Before, after; the key is KEY.
    ("", "KEY=jessy:v2\n"),
    ("A=1\n", "A=1\nKEY=jessy:v2\n"),
    ("A=1", "A=1\nKEY=jessy:v2\n"),
    ("A=1\r\nB=2", "A=1\r\nB=2\r\nKEY=jessy:v2\r\n"),
    ("A=1\nKEY=jessy:v1\nB=2\n", "A=1\nKEY=jessy:v2\nB=2\n"),
    ("KEY=jessy:v1", "KEY=jessy:v2"),
    ("A=1\r\nKEY=jessy:v1\r\nB=2\r\n", "A=1\r\nKEY=jessy:v2\r\nB=2\r\n"),
    ("export KEY=jessy:v1\n", "export KEY=jessy:v2\n"),
    ("  export\tKEY=jessy:v1\n", "  export\tKEY=jessy:v2\n"),
    ('KEY="jessy:v1"\n', 'KEY="jessy:v2"\n'),
    ("KEY='jessy:v1'  # live\n", "KEY='jessy:v2'  # live\n"),
    ('KEY="a\\"b"\n', 'KEY="jessy:v2"\n'),
    ("KEY = jessy:v1   # live, see #3\n", "KEY = jessy:v2   # live, see #3\n"),
    ("KEY=a#b c  \nB=2\n", "KEY=jessy:v2  \nB=2\n"),
    ("KEY=\nB=2\n", "KEY=jessy:v2\nB=2\n"),
    ("KEY=   # none yet\n", "KEY=jessy:v2   # none yet\n"),
    ("KEY=#none\n", "KEY=jessy:v2 #none\n"),
    ("KEY='never closed\nB='x'\n", "KEY=jessy:v2\nB='x'\n"),
    ("# KEY=jessy:v0\nKEYS=1\nMY_KEY=2\n", "# KEY=jessy:v0\nKEYS=1\nMY_KEY=2\nKEY=jessy:v2\n"),
    ('A="\nKEY=in a text\n"\nKEY=x\n', 'A="\nKEY=in a text\n"\nKEY=jessy:v2\n'),
    ("KEY=a\nB=2\nKEY='b'\n", "KEY=jessy:v2\nB=2\nKEY='jessy:v2'\n"),
    ("\ufeffKEY=a\n", "\ufeffKEY=jessy:v2\n"),
    ("\ufeff", "\ufeffKEY=jessy:v2\n"),
    ("İsim=ş\n", "İsim=ş\nKEY=jessy:v2\n"),
]


@pytest.fixture
def line(tmp_path: Path) -> EnvLine:
    return EnvLine(tmp_path / ".env", "KEY")


@pytest.mark.parametrize(("before", "after"), KEPT)
def test_only_the_line_of_the_key_changes(line: EnvLine, before: str, after: str) -> None:
    line.path.write_bytes(before.encode())
    assert line.write(NEW)
    assert line.path.read_bytes() == after.encode()
    assert line.says() == NEW


def test_bytes_that_are_no_text_stay(line: EnvLine) -> None:
    line.path.write_bytes(b"A=\xff\xfe\nKEY=\xff\n")
    assert line.write(NEW)
    assert line.path.read_bytes() == b"A=\xff\xfe\nKEY=jessy:v2\n"


def test_a_file_that_says_it_already_is_not_written(line: EnvLine) -> None:
    line.path.write_text("KEY='jessy:v2' # so\n")
    before = line.path.stat()
    assert not line.write(NEW)
    after = line.path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_file_that_is_not_there_is_made(line: EnvLine) -> None:
    assert line.says() is None
    assert line.write(NEW)
    assert line.path.read_text() == "KEY=jessy:v2\n"
    other = line.path.with_name("other")
    other.touch()
    assert line.path.stat().st_mode == other.stat().st_mode


def test_lines_that_contradict_each_other_say_nothing(line: EnvLine) -> None:
    line.path.write_text("KEY=jessy:v2\nKEY=jessy:v1\n")
    assert line.says() is None


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_permissions_stay(line: EnvLine, mode: int) -> None:
    line.path.write_text("KEY=a\n")
    line.path.chmod(mode)
    assert line.write(NEW)
    assert stat.S_IMODE(line.path.stat().st_mode) == mode


def test_a_link_stays_one(line: EnvLine, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/env").write_text("KEY=a\n")
    line.path.symlink_to("shared/env")
    assert line.write(NEW)
    assert line.path.is_symlink()
    assert (tmp_path / "shared/env").read_text() == "KEY=jessy:v2\n"


def test_readers_see_the_old_file_or_the_new_one(
    line: EnvLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.path.write_text("SECRET=1\nKEY=a\n")

    def fails(here: Path, there: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(StepError, match="No space left on device") as caught:
        line.write(NEW)
    assert "deploy.env_file" in caught.value.hint
    assert line.path.read_text() == "SECRET=1\nKEY=a\n"
    assert [path.name for path in line.path.parent.iterdir()] == [".env"]


def test_what_cannot_be_written_is_known_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No room for the name of the file that takes its place: so for the superuser, too.
    for path in (tmp_path / ("x" * 250), tmp_path / "gone/.env"):
        with pytest.raises(StepError, match="cannot be written"):
            EnvLine(path, "KEY").must_be_writable()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StepError, match="no plain file"):
        EnvLine(tmp_path / "pipe", "KEY").must_be_writable()
    closed = EnvLine(tmp_path / "closed", "KEY")
    closed.path.write_text("KEY=a\n")
    closed.must_be_writable()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for refused in (closed.must_be_writable, lambda: closed.write(NEW)):
        with pytest.raises(StepError, match="Permission denied"):
            refused()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["closed", "pipe"]
