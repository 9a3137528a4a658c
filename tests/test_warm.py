"""A forked command is what a started one is."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from tests import warm
from tests.loopback import messages_api
from tests.loopback.server import Slow
from tests.steps import test_under_load

pytestmark = pytest.mark.skipif(not warm.FORKS, reason="nothing is forked on this system")
ENV = {**warm.BEGAN, "OLLAMA_HOST": "http://127.0.0.1:9"}


def forked(words: list[str], cwd: Path) -> tuple[int, str, str]:
    with TemporaryFile("w+") as given, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        started = warm.start(words, cwd, ENV, (given, out, err))
        assert started and started.pid != os.getpid()
        code = started.wait(60)
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


@pytest.mark.parametrize(
    "words", [["--version"], ["check", "recipe.yaml"], ["plan", "missing.yaml", "--json"], []]
)
def test_code_and_words_are_those_of_a_process_of_its_own(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("recipe: 1\nname: ğ\n", encoding="utf-8")
    warm.get_ready()
    command = [sys.executable, "-m", "jessy_build", *words]
    done = subprocess.run(command, cwd=tmp_path, env=ENV, capture_output=True, text=True)
    for _ in warm.SEEDS:
        assert forked(words, tmp_path) == (done.returncode, done.stdout, done.stderr)


def test_a_signal_that_ends_it_is_told(tmp_path: Path) -> None:
    warm.get_ready()
    with messages_api.MessagesServer(*[Slow(20, messages_api.said("{}"))] * 9) as server:
        project = test_under_load.make(tmp_path, server)
        env = {**ENV, **project.env}
        with TemporaryFile() as given, TemporaryFile() as out:
            streams = (given, out, out)
            killed = warm.start(test_under_load.UNTIL, tmp_path, env, streams, session=True)
            assert killed and os.getpgid(killed.pid) == killed.pid
            while not server.count:
                assert killed.poll() is None
            os.killpg(killed.pid, signal.SIGKILL)
            assert killed.wait(60) == -signal.SIGKILL
            late = warm.start(test_under_load.UNTIL, tmp_path, env, streams)
            assert late
            with pytest.raises(subprocess.TimeoutExpired):
                late.wait(0.2)


@pytest.mark.parametrize("early", ["PYTHONPATH", "PYTHONIOENCODING", "LC_ALL"])
def test_what_an_interpreter_reads_as_it_starts_wants_one_of_its_own(early: str) -> None:
    with TemporaryFile() as file:
        env = {**ENV, early: "/nowhere"}
        assert warm.start(["--version"], Path(), env, (file, file, file)) is None


def test_after_those_that_fork_were_killed_commands_start_as_ever_and_are_forked_again(
    tmp_path: Path,
) -> None:
    warm.get_ready()
    children = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    rows = [line.split(None, 1) for line in children.stdout.splitlines()]
    doomed = [int(pid) for pid, words in rows if "tests.warm" in words]
    assert len(doomed) == len(warm.SEEDS)
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    with Path(os.devnull).open("r+b") as nobody:
        for _ in doomed:
            assert warm.start(["--version"], tmp_path, ENV, (nobody, nobody, nobody)) is None
    warm.get_ready()
    code, out, _ = forked(["--version"], tmp_path)
    assert code == 0 and out
