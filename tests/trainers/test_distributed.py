"""Real training by mlx.launch: two processes on this machine, which are stopped in every way."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from jessy_build.diagnostics import StepError
from jessy_build.trainers import _members, halves, lora
from jessy_build.trainers._ranks import Ranks
from jessy_build.trainers.config import Config
from jessy_build.trainers.lora import Progress, TrainingRun, TrainJob
from tests.trainers.rows import write_dataset

pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")

TWO = ("127.0.0.1", "127.0.0.1")
NEAR = 1e-5
"""The largest part by which a loss of two processes may differ: sums in another order."""
PLAIN = {
    # Batches of odd sizes, some of one row: then a process has none.
    "lora": {"rank": 4, "alpha": 8},
    "epochs": 6,
    "batch_size": 3,
    "grad_accumulation": 2,
    "optimizer": {"learning_rate": 2e-3, "warmup_steps": 2, "weight_decay": 0.01},
    "loss": {"average": "row"},
}
HARD = {**PLAIN, "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}


def config(**fields: Any) -> Config:
    return Config.model_validate_json(json.dumps(fields))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), valid=5)


@pytest.fixture
def job(tiny_model: Path, dataset: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    def make(name: str, hosts: tuple[str, ...] = TWO, **fields: Any) -> TrainJob:
        here = tmp_path / name
        return TrainJob(
            tiny_model, dataset, here / "out", here / "work", config(**fields), hosts=hosts
        )

    return make


def train(job: TrainJob) -> TrainingRun:
    return lora.train(job, lambda _: None, lambda: False)


def adapter(job: TrainJob) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(job.out / "adapters.safetensors"))


def losses(run: TrainingRun) -> list[float]:
    return [point.loss for point in run.curve] + [seen.loss for seen in run.validation]


def test_two_processes_make_the_same_curve_and_adapter_as_one(job: Callable[..., TrainJob]) -> None:
    alone, both = job("alone", (), **PLAIN), job("both", **PLAIN)
    one, two = train(alone), train(both)
    assert (one.processes, two.processes) == (1, 2)
    assert len(one.curve) == len(two.curve) >= 20
    assert losses(two) == pytest.approx(losses(one), rel=NEAR)
    assert losses(one)[0] - losses(one)[len(one.curve) - 1] > 1000 * NEAR, "it has learned"
    assert (two.tokens, two.supervised_tokens) == (one.tokens, one.supervised_tokens)
    expected, found = adapter(alone), adapter(both)
    largest = max(abs(array).max() for array in expected.values())
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert abs(found[name] - array).max() < 1e-3 * largest, name
    assert sorted(file.name for file in both.out.iterdir()) == sorted(
        file.name for file in alone.out.iterdir()
    )


def test_half_batches_are_cut_among_them_as_whole_ones(job: Callable[..., TrainJob]) -> None:
    few = {**PLAIN, "epochs": 2}
    both = job("halves", **few)
    both.work.mkdir(parents=True)
    halves.keep(both.work, both.config, 0)
    run = train(both)
    assert run.halved and run.processes == 2
    assert losses(run) == pytest.approx(losses(train(job("whole", (), **few))), rel=NEAR)


# ── stopped and resumed


@pytest.fixture(scope="module")
def straight(
    tiny_model: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, TrainingRun]:
    """The same job as the interrupted ones, never interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    asked = TrainJob(
        tiny_model, dataset, folder / "out", folder / "work", config(**HARD), hosts=TWO
    )
    run = train(asked)
    return (asked.out / "adapters.safetensors").read_bytes(), run


def ranks_of(parent: int) -> dict[int, psutil.Process]:
    """By rank; mlx.launch is between them and their parent."""
    found = {}
    for process in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):
            if rank := process.environ().get("MLX_RANK"):
                found[int(rank)] = process
    return found


def ends_as(straight: tuple[bytes, TrainingRun], asked: TrainJob) -> bool:
    run = train(asked)
    assert run.resumed is not None and 0 < run.resumed < run.steps
    again = (asked.out / "adapters.safetensors").read_bytes()
    one, other = straight[1], run
    assert (one.curve, one.validation, one.best) == (other.curve, other.validation, other.best)
    return again == straight[0]


@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_is_killed_is_named_within_seconds_and_a_resume_ends_the_same(
    job: Callable[..., TrainJob], straight: tuple[bytes, TrainingRun], rank: int
) -> None:
    asked = replace(job("killed", **HARD), save_seconds=0.0 if rank == 0 else 1e9)
    killed: list[float] = []
    all_of_them: list[psutil.Process] = []

    def kill_at_five(progress: Progress) -> None:
        if progress.done == 5 and not killed:
            ranks = ranks_of(os.getpid())
            all_of_them.extend(ranks.values())
            ranks[rank].kill()
            killed.append(time.monotonic())

    with pytest.raises(StepError) as problem:
        lora.train(asked, kill_at_five, lambda: False)
    assert time.monotonic() - killed[0] < 8
    assert f"process {rank + 1} of 2 on 127.0.0.1 was killed from outside" in (
        problem.value.problem
    )
    assert "goes on from the last checkpoint" in problem.value.hint
    assert psutil.wait_procs(all_of_them, 1)[1] == []
    assert not asked.out.exists()
    assert ends_as(straight, replace(asked, save_seconds=20.0))


def test_a_cancelled_training_is_saved_and_ends_the_same(
    job: Callable[..., TrainJob], straight: tuple[bytes, TrainingRun]
) -> None:
    asked = job("cancelled", **HARD)
    reached: list[float] = []

    def look(progress: Progress) -> None:
        if progress.done == 4:
            reached.append(time.monotonic())

    with pytest.raises(KeyboardInterrupt):
        lora.train(asked, look, lambda: bool(reached))
    assert time.monotonic() - reached[0] < 5
    assert ranks_of(os.getpid()) == {}
    assert ends_as(straight, asked)


PARENT = """
import sys
from pathlib import Path
from jessy_build.trainers import lora
base, dataset, out, work, config = sys.argv[1:]
config = lora.Config.model_validate_json(config)
hosts = ("127.0.0.1", "127.0.0.1")
job = lora.TrainJob(*map(Path, (base, dataset, out, work)), config, hosts=hosts)
lora.train(job, lambda progress: print(progress.done, flush=True), lambda: False)
"""


def test_all_of_them_end_when_their_parent_is_killed_and_rank_0_saves(
    job: Callable[..., TrainJob], straight: tuple[bytes, TrainingRun]
) -> None:
    asked = job("orphans", **HARD)
    paths = [str(path) for path in (asked.base, asked.dataset, asked.out, asked.work)]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *paths, asked.config.model_dump_json()],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    while int(parent.stdout.readline()) < 4:
        pass
    below = psutil.Process(parent.pid).children(recursive=True)
    assert len(ranks_of(parent.pid)) == 2 and len(below) == 3, "mlx.launch and two of ours"
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(below, 15)[1] == []
    assert ends_as(straight, asked)


def test_a_launcher_that_is_killed_leaves_nobody_behind(job: Callable[..., TrainJob]) -> None:
    asked = job("launcher", **HARD)
    below: list[psutil.Process] = []

    def kill_at_four(progress: Progress) -> None:
        if progress.done == 4 and not below:
            below.extend(ranks_of(os.getpid()).values())
            below[0].parent().kill()

    with pytest.raises(StepError, match="killed from outside"):
        lora.train(asked, kill_at_four, lambda: False)
    assert psutil.wait_procs(below, 15)[1] == []
    assert (asked.work / "checkpoint.safetensors").exists()


def test_all_of_them_end_early_at_the_same_step(job: Callable[..., TrainJob]) -> None:
    run = train(
        job(
            "early",
            **{
                **HARD,
                "epochs": 40,
                "eval_every": 3,
                "early_stop": {"patience": 2},
                "optimizer": {"learning_rate": 0.1, "schedule": "constant"},
            },
        )
    )
    assert run.steps < run.planned
    assert run.best.step == run.steps - 6


def test_a_diverging_training_is_told_as_by_one(job: Callable[..., TrainJob]) -> None:
    wild = {"learning_rate": 1e30, "schedule": "constant", "max_grad_norm": 0.0}
    with pytest.raises(StepError) as problem:
        train(job("wild", **{**PLAIN, "optimizer": wild}))
    assert "training diverged" in problem.value.problem
    assert ranks_of(os.getpid()) == {}


def test_mlx_launch_leaves_the_cores_to_them(job: Callable[..., TrainJob]) -> None:
    used: list[float] = []

    def look(progress: Progress) -> None:
        if progress.done in (3, 30) and "loss" in progress.text:
            launcher = ranks_of(os.getpid())[0].parent()
            assert launcher
            used.extend([sum(launcher.cpu_times()[:2]), time.monotonic()])

    lora.train(job("quiet", **{**PLAIN, "epochs": 16}), look, lambda: False)
    cpu, wall, later_cpu, later_wall = used
    assert later_cpu - cpu < 0.2 * (later_wall - wall)


# ── on machines that are not alike


@pytest.fixture
def machines(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each process stands in a folder of its own, where one path leads to other files."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "if rank := os.environ.get('MLX_RANK'):\n"
        f"    os.chdir(os.path.join({str(tmp_path)!r}, rank))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for rank in range(2):
        shutil.copytree(dataset, tmp_path / str(rank) / "data")
    return tmp_path


def refused(asked: TrainJob) -> StepError:
    with pytest.raises(StepError) as problem:
        train(replace(asked, dataset=Path("data")))
    assert ranks_of(os.getpid()) == {}
    return problem.value


def test_a_machine_with_other_rows_is_told(job: Callable[..., TrainJob], machines: Path) -> None:
    rows = machines / "1/data/train.jsonl"
    rows.write_text(rows.read_text().replace("kanka", "dostum"))
    problem = refused(job("other", **PLAIN))
    assert problem.problem == (
        "process 2 of 2 on 127.0.0.1 has another base, data set or recipe than"
        " process 1 of 2 on 127.0.0.1"
    )
    assert "one store that all of them see at the same path" in problem.hint


def test_a_machine_without_the_data_set_is_told(
    job: Callable[..., TrainJob], machines: Path
) -> None:
    shutil.rmtree(machines / "1/data")
    problem = refused(job("none", **PLAIN)).problem
    assert problem.startswith("process 2 of 2 on 127.0.0.1 has another base, data set or recipe")


def test_what_only_one_of_them_meets_is_told_with_its_name(
    job: Callable[..., TrainJob], machines: Path
) -> None:
    with (machines / "sitecustomize.py").open("a") as start:
        start.write(
            "if rank == '1': os.write(2, b'OSError: the disk is on fire\\n'); os._exit(1)\n"
        )
    assert refused(job("odd", **PLAIN)).problem == (
        "process 2 of 2 on 127.0.0.1 ended with exit code 1: OSError: the disk is on fire"
    )


def test_a_row_that_is_too_long_is_told_as_by_one(
    job: Callable[..., TrainJob], machines: Path
) -> None:
    assert "train.jsonl: row r" in refused(job("long", **PLAIN, max_seq_length=10)).problem


SSH = """#!PYTHON
# Logs in to this machine, as ssh does to another one: a terminal, and no variable comes along.
import os, pty, sys
command = ["env", "-i", f"HOME={os.environ['HOME']}", "PATH=" + os.defpath, "bash", "-c"]
command.append(sys.argv[-1])
if "-tt" not in sys.argv:
    os.execvp(command[0], command)
sys.exit(os.waitstatus_to_exitcode(pty.spawn(command)))
"""


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Two addresses, of which the second is reached as another machine is: by `ssh` alone."""
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(SSH.replace("PYTHON", sys.executable))
    ssh.chmod(0o755)
    monkeypatch.setenv("JESSY_FAR", "1")
    monkeypatch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.2", 0))
        except OSError:
            pytest.skip("this machine has one loopback address only")
    return "127.0.0.1", "127.0.0.2"


def test_a_process_behind_ssh_trains_along_and_ends_with_its_parent(
    job: Callable[..., TrainJob], login: tuple[str, ...]
) -> None:
    few = {**PLAIN, "epochs": 5}
    asked = job("far", login, **few)
    far: list[psutil.Process] = []

    def kill_at_four(progress: Progress) -> None:
        if progress.done == 4 and not far:
            ranks = ranks_of(os.getpid())
            far.append(ranks[1])
            assert "JESSY_FAR" not in ranks[1].environ() and "JESSY_FAR" in ranks[0].environ()
            ranks[0].kill()

    with pytest.raises(StepError, match=r"process 1 of 2 on 127.0.0.1 was killed"):
        lora.train(replace(asked, save_seconds=0.0), kill_at_four, lambda: False)
    assert psutil.wait_procs(far, 15)[1] == []
    run = train(asked)
    assert run.resumed
    assert losses(run) == pytest.approx(losses(train(job("near", (), **few))), rel=NEAR)


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh here")
def test_a_machine_that_ssh_cannot_log_in_to_is_told(job: Callable[..., TrainJob]) -> None:
    with pytest.raises(StepError) as problem:
        train(job("away", ("127.0.0.1", "nobody@127.0.0.2"), **PLAIN))
    assert problem.value.problem == ("ssh cannot start a training process on 'nobody@127.0.0.2'")
    assert "`ssh nobody@127.0.0.2 true` must work" in problem.value.hint
    assert ranks_of(os.getpid()) == {}


def test_a_host_that_is_not_known_is_told_before_anything_runs(
    job: Callable[..., TrainJob],
) -> None:
    asked = job("unknown", ("127.0.0.1", "mac-studio.invalid"), **PLAIN)
    with pytest.raises(StepError, match="of JESSY_TRAIN_DISTRIBUTED cannot be found"):
        train(asked)
    assert not (asked.work / "train.log").exists()


def test_others_are_given_an_address_of_this_machine_that_they_can_reach() -> None:
    from jessy_build.trainers._launch import _addresses

    assert _addresses(TWO) == list(TWO)
    own, other = _addresses(("127.0.0.1", "127.0.0.2"))
    assert other == "127.0.0.2" and own.startswith("127.")


def test_ports_that_are_taken_are_passed_over() -> None:
    from jessy_build.trainers._launch import _free, _port

    port = _port(3)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("", port + 1))
        taken.listen()
        assert not _free(port + 1)
        assert _port(3) == port + 2


def test_those_on_one_machine_share_its_cores() -> None:
    assert _members.size(os.cpu_count() or 1) == 1 <= _members.size()
    ranks = Ranks(("127.0.0.1", "10.0.0.2", "127.0.0.1"), 2)
    assert (ranks.beside, ranks.here, ranks.leads) == (2, True, False)
    assert ranks.cut([0, 1, 2, 3]) == [[0, 3], [1], [2]] and ranks.cut([0]) == [[0], [], []]


def test_dropout_is_anothers_in_each_rank_and_place_and_the_same_again() -> None:
    import mlx.core as mx

    def drawn(rank: int, place: int, seed: int = 1) -> float:
        Ranks(TWO, rank).stir(seed, place)
        return float(mx.random.uniform().item())

    found = [drawn(0, 0), drawn(1, 0), drawn(0, 1), drawn(1, 1), drawn(0, 0, seed=2)]
    assert len(set(found)) == 5
    assert drawn(1, 0) == found[1]
    mx.random.seed(7)
    untouched = mx.random.uniform().item()
    mx.random.seed(7)
    Ranks().stir(1, 0)
    assert mx.random.uniform().item() == untouched, "alone it is as it always was"
