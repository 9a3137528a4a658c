"""Real training of the tiny model, in the real child process, which is stopped in every way."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jessy_build.diagnostics import StepError
from jessy_build.packaging import fuse
from jessy_build.trainers import _checkpoint, _death, _model, lora, metrics
from jessy_build.trainers.config import Config
from jessy_build.trainers.lora import Progress, TrainingRun, TrainJob
from tests.trainers.rows import write_dataset

mx: Any = pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")

FAST = {"learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 2}
HARD = {
    # All that makes a resume hard: dropout, accumulation with a rest, a schedule.
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
    "epochs": 3,
    "batch_size": 4,
    "grad_accumulation": 4,
    "optimizer": {**FAST, "weight_decay": 0.01},
    "loss": {"average": "row"},
}


def config(**fields: Any) -> Config:
    return Config.model_validate_json(json.dumps(fields))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def job(tiny_model: Path, dataset: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    def make(name: str = "", **fields: Any) -> TrainJob:
        here = tmp_path / name if name else tmp_path
        return TrainJob(tiny_model, dataset, here / "out", here / "work", config(**fields))

    return make


def train(job: TrainJob) -> TrainingRun:
    return lora.train(job, lambda _: None, lambda: False)


def adapter(job: TrainJob) -> bytes:
    return (job.out / "adapters.safetensors").read_bytes()


def children_of(parent: int) -> list[int]:
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    rows = (line.split(None, 2) for line in table.stdout.splitlines())
    return [int(r[0]) for r in rows if int(r[1]) == parent and "trainers._child" in r[2]]


def gone(pid: int, seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


# ── what a user may write


def test_three_epochs_unless_told_otherwise() -> None:
    assert config().epochs == 3
    assert config(steps=7).epochs is None
    assert config(epochs=5).epochs == 5


def test_epochs_and_steps_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="epochs or steps, not both"):
        config(epochs=1, steps=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lora": {"rank": 0}},
        {"lora": {"layers": 0}},
        {"lora": {"targets": []}},
        {"lora": {"dropout": 1}},
        {"optimizer": {"learning_rate": 0}},
        {"optimizer": {"kind": "sgd"}},
        {"batch_size": 0},
        {"epochs": 0},
        {"learning_rate": 1e-4},
    ],
)
def test_values_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**wrong)


def test_alpha_over_rank_is_the_scale() -> None:
    assert config(lora={"rank": 16, "alpha": 32}).lora.scale == 2.0


# ── what comes out


def test_a_training_learns_and_leaves_two_files(job: Callable[..., TrainJob]) -> None:
    asked = job(epochs=4, optimizer=FAST)
    told: list[Progress] = []
    run = lora.train(asked, told.append, lambda: False)
    assert sorted(file.name for file in asked.out.iterdir()) == [
        "adapter_config.json",
        "adapters.safetensors",
    ]
    losses = [seen.loss for seen in run.validation]
    assert losses[-1] < losses[0] - 0.3
    assert [seen.epoch for seen in run.validation] == [0, 1, 2, 3, 4]
    assert [point.step for point in run.curve] == list(range(1, run.steps + 1))
    assert run.curve[-1].epoch == run.epochs == 4
    assert run.best.loss == min(losses[1:])
    assert (run.rows, run.valid_rows, run.resumed) == (24, 4, None)
    assert 0 < run.supervised_tokens < run.tokens
    assert run.tokens_per_second > 0 and run.peak_memory > 10**7 and 0 <= run.padding < 0.5
    assert (told[0].done, told[0].total) == (0, run.steps)
    assert (told[-1].done, told[-1].unit) == (run.steps, "steps")
    assert any("tok/s" in progress.text for progress in told)


def test_the_adapter_is_one_that_mlx_lm_loads(job: Callable[..., TrainJob]) -> None:
    from mlx.utils import tree_flatten
    from mlx_lm.tuner.utils import load_adapters
    from mlx_lm.utils import load_model

    asked = job(
        steps=2, optimizer=FAST, lora={"rank": 2, "targets": ["q_proj", "up_proj"], "layers": 1}
    )
    train(asked)
    model, _ = load_model(asked.base)
    tokens = mx.array([[5, 6, 7]])
    before = model(tokens)
    load_adapters(model, str(asked.out))
    assert not mx.array_equal(before, model(tokens)).item()
    names = {name for name, _ in tree_flatten(model.parameters()) if "lora" in name}
    assert {name.split(".")[2] for name in names} == {"1"}
    assert {name.split(".")[4] for name in names} == {"q_proj", "up_proj"}


VAIN = {
    "steps": 60,
    "eval_every": 4,
    "early_stop": {"patience": 3},
    "optimizer": {"learning_rate": 0.01, "schedule": "constant"},
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
}


def test_training_ends_when_the_validation_loss_falls_no_more(
    job: Callable[..., TrainJob], tmp_path: Path
) -> None:
    dataset = write_dataset(tmp_path / "apart")
    # What no training row says: the better those are known, the less likely are these.
    held_out = [json.loads(line) for line in (dataset / "valid.jsonl").read_text().splitlines()]
    for row in held_out:
        row["messages"] = [
            {"role": "user", "content": "JQX"},
            {"role": "assistant", "content": "ZWJ QXV ZZW JJQ XVW QZX WJV VXQ"},
        ]
    lines = "".join(json.dumps(row) + "\n" for row in held_out)
    (dataset / "valid.jsonl").write_text(lines)
    asked = replace(job("straight", **VAIN), dataset=dataset)
    run = train(asked)
    assert run.planned == 60 and 12 < run.steps < 60
    losses = [seen.loss for seen in run.validation]
    assert all(loss > min(losses) for loss in losses[-3:])
    assert run.best.step == run.validation[-4].step == run.steps - 12
    killed = replace(job("killed", **VAIN), dataset=dataset, save_seconds=0.0)

    def kill_at(progress: Progress) -> None:
        if progress.done == run.steps - 5:
            for child in children_of(os.getpid()):
                os.kill(child, signal.SIGKILL)

    with pytest.raises(StepError):
        lora.train(killed, kill_at, lambda: False)
    again = train(killed)
    assert same_course(run, again) and adapter(killed) == adapter(asked)


def test_phases_train_one_adapter_and_a_gate_ends_them(tiny_model: Path, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", valid=6)
    for file in dataset.glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for number, row in enumerate(rows):
            row["category"] = "core" if number % 2 else "code"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def phases(most: float) -> dict[str, Any]:
        first = {"name": "first", "categories": ["core"], "epochs": 2, "learning_rate": 3e-3}
        gate = {"valid_loss": {"max": most}}
        return {"phases": [{**first, "gate": gate}, {"name": "then", "categories": ["code"]}]}

    def asked(name: str, most: float) -> TrainJob:
        here = tmp_path / name
        return TrainJob(tiny_model, dataset, here / "out", here / "work", config(**phases(most)))

    run = train(asked("open", 99.0))
    first, then = run.phases
    assert (first.name, then.name, then.step) == ("first", "then", run.steps)
    assert first.loss is not None and 0 < first.step < run.steps
    assert run.best.step > first.step, "the first phase has not learned all"
    rates = [point.learning_rate for point in run.curve]
    assert max(rates[: first.step]) == pytest.approx(3e-3)
    assert max(rates[first.step :]) == pytest.approx(1e-4)
    with pytest.raises(StepError) as caught:
        train(asked("shut", first.loss - 0.01))
    assert "'first' ended with a loss of" in caught.value.problem
    assert "its gate wants" in caught.value.problem
    (dataset / "valid.jsonl").write_text("")
    with pytest.raises(StepError) as caught:
        train(asked("blind", 99.0))
    assert "'first' has no validation rows; its gate wants" in caught.value.problem


def test_layers_that_are_computed_twice_have_the_same_gradients(tiny_model: Path) -> None:
    """On a GPU a training asks for it; this is the very function, on what is here."""
    import mlx.nn as nn
    from mlx.utils import tree_flatten
    from mlx_lm.utils import load_model

    model, _ = load_model(tiny_model)
    block = type(model.layers[0])
    plain, calls = block.__call__, []

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(self)
        return plain(self, *args, **kwargs)

    tokens = mx.array([[5, 6, 7, 8]])
    slope = nn.value_and_grad(model, lambda m: nn.losses.cross_entropy(m(tokens), tokens).mean())

    def gradients() -> dict[str, Any]:
        calls.clear()
        named = dict(tree_flatten(slope(model)[1]))
        mx.eval(named)
        return named

    block.__call__ = counted
    try:
        once, each = gradients(), len(calls)
        _model.compute_twice(model)
        twice = gradients()
        assert len(calls) == 2 * each
    finally:
        block.__call__ = plain
    assert all(mx.allclose(once[name], twice[name], atol=1e-6).item() for name in once)


def test_on_a_cpu_nothing_is_computed_twice(job: Callable[..., TrainJob]) -> None:
    fields = {"steps": 2, "optimizer": FAST}
    once, asked = job("once", **fields), job("asked", **fields, grad_checkpoint=True)
    assert same_course(train(once), train(asked)) and adapter(once) == adapter(asked)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("attention", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("mlp", {"gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_one_half_of_each_layer_may_learn(
    job: Callable[..., TrainJob], targets: str, expected: set[str]
) -> None:
    asked = job(steps=1, lora={"rank": 2, "targets": targets})
    train(asked)
    kept = json.loads((asked.out / "adapter_config.json").read_text())
    assert {key.rpartition(".")[2] for key in kept["lora_parameters"]["keys"]} == expected


# ── stopped and resumed


@pytest.fixture(scope="module")
def straight(
    tiny_model: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, TrainingRun]:
    """The same job as the interrupted ones, never interrupted."""
    folder = tmp_path_factory.mktemp("straight")
    asked = TrainJob(tiny_model, dataset, folder / "out", folder / "work", config(**HARD))
    run = train(asked)
    return adapter(asked), run


def same_course(one: TrainingRun, other: TrainingRun) -> bool:
    return (one.curve, one.validation, one.best) == (other.curve, other.validation, other.best)


def test_a_killed_training_goes_on_and_ends_bit_for_bit_the_same(
    job: Callable[..., TrainJob], straight: tuple[bytes, TrainingRun]
) -> None:
    asked = replace(job(**HARD), save_seconds=0.0)

    def kill_at_three(progress: Progress) -> None:
        if progress.done == 3:
            for child in children_of(os.getpid()):
                os.kill(child, signal.SIGKILL)

    with pytest.raises(StepError) as problem:
        lora.train(asked, kill_at_three, lambda: False)
    assert "killed from outside" in problem.value.problem
    assert "goes on from the last checkpoint" in problem.value.hint
    assert not asked.out.exists()

    run = train(asked)
    assert run.resumed is not None and 0 < run.resumed < run.steps
    assert adapter(asked) == straight[0]
    assert same_course(run, straight[1])


def test_the_curve_grows_line_by_line_and_a_kill_neither_doubles_nor_loses_one(
    job: Callable[..., TrainJob], straight: tuple[bytes, TrainingRun]
) -> None:
    asked = replace(job(**HARD), save_seconds=0.0)
    file = asked.work / metrics.NAME
    seen: list[int] = []

    def kill_at_three(progress: Progress) -> None:
        if progress.done == 3 and not seen:
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            seen.extend(line["step"] for line in lines if "loss" in line)
            for child in children_of(os.getpid()):
                os.kill(child, signal.SIGKILL)

    with pytest.raises(StepError):
        lora.train(asked, kill_at_three, lambda: False)
    assert seen[:3] == [1, 2, 3], "a line is there as soon as its step is told"
    with file.open("a") as beyond:
        # As it is when steps were made after the last checkpoint: they are made again.
        beyond.write('{"step": 5, "loss": 0.0}\n{"step": 6, "lo')

    run = train(asked)
    assert run.resumed
    assert file.read_text() == metrics.text(map(asdict, run.curve), map(asdict, run.validation)), (
        "appended as it would be written at once"
    )
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    steps = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    looks = [(line["step"], line["valid_loss"]) for line in lines if "valid_loss" in line]
    assert steps == [(point.step, point.loss) for point in straight[1].curve]
    assert looks == [(look.step, look.loss) for look in straight[1].validation]
    assert set(lines[0]) == {"step", "epoch", "valid_loss", "seconds"}
    assert set(lines[1]) == {*metrics.REPORT} - {"gpu_utilization"}
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds) and seconds[0] > 0 and seconds[-1] <= run.seconds


def test_a_cancelled_training_is_saved_at_once_and_goes_on(
    job: Callable[..., TrainJob], straight: tuple[bytes, TrainingRun]
) -> None:
    asked = job(**HARD)
    done: list[int] = []
    begin = 0.0

    def cancelled() -> bool:
        nonlocal begin
        begin = begin or (time.monotonic() if done and done[-1] >= 2 else 0.0)
        return bool(begin)

    with pytest.raises(KeyboardInterrupt):
        lora.train(asked, lambda progress: done.append(progress.done), cancelled)
    assert time.monotonic() - begin < 3
    assert children_of(os.getpid()) == []
    assert (asked.work / _checkpoint.NAME).exists()

    run = train(asked)
    assert run.resumed is not None and run.resumed >= 1
    assert adapter(asked) == straight[0]
    assert same_course(run, straight[1])


def test_a_finished_training_is_not_done_again(
    job: Callable[..., TrainJob], straight: tuple[bytes, TrainingRun]
) -> None:
    asked = job(steps=3, optimizer=FAST)
    first, before = train(asked), adapter(asked)
    second = train(asked)
    assert second.resumed == first.steps
    assert adapter(asked) == before
    assert second.curve == first.curve


def test_another_setting_does_not_go_on_from_the_old_checkpoint(
    job: Callable[..., TrainJob],
) -> None:
    train(job(steps=2, optimizer=FAST))
    assert train(job(steps=2, optimizer={**FAST, "learning_rate": 1e-3})).resumed is None


PARENT = """
import json, sys
from pathlib import Path
from jessy_build.trainers import lora
base, dataset, out, work, config = sys.argv[1:]
job = lora.TrainJob(*map(Path, (base, dataset, out, work)), lora.Config.model_validate_json(config))
try:
    lora.train(job, lambda progress: print(progress.done, flush=True), lambda: False)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def started(job: TrainJob) -> "tuple[subprocess.Popen[str], int]":
    """A parent of its own and its training child, some steps into the work."""
    paths = [str(path) for path in (job.base, job.dataset, job.out, job.work)]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *paths, job.config.model_dump_json()],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout
    while int(parent.stdout.readline()) < 2:
        pass
    (child,) = children_of(parent.pid)
    return parent, child


LONG = {"epochs": 400, "optimizer": FAST}


def test_a_child_whose_parent_is_killed_saves_and_ends(job: Callable[..., TrainJob]) -> None:
    asked = job(**LONG)
    parent, child = started(asked)
    parent.kill()
    parent.wait()
    assert gone(child)
    assert (asked.work / _checkpoint.NAME).exists()


def test_ctrl_c_saves_and_ends_within_two_seconds(job: Callable[..., TrainJob]) -> None:
    asked = job(**LONG)
    parent, child = started(asked)
    begin = time.monotonic()
    os.killpg(parent.pid, signal.SIGINT)
    said, _ = parent.communicate(timeout=20)
    took = time.monotonic() - begin
    assert said.splitlines()[-1] == "interrupted"
    assert gone(child, 1)
    assert (asked.work / _checkpoint.NAME).exists()
    assert took < 3


# ── what can go wrong


def refused(asked: TrainJob) -> StepError:
    with pytest.raises(StepError) as problem:
        train(asked)
    return problem.value


def test_a_diverging_training_is_stopped_and_says_what_to_change(
    job: Callable[..., TrainJob],
) -> None:
    settings = {"learning_rate": 1e30, "schedule": "constant", "max_grad_norm": 0.0}
    problem = refused(job(epochs=2, optimizer=settings))
    assert "training diverged" in problem.problem
    assert "learning_rate (now 1e+30)" in problem.hint


def test_a_loss_that_stays_far_above_where_it_began_ends_it_and_the_best_is_kept(
    job: Callable[..., TrainJob],
) -> None:
    learned = job("learned", steps=40, optimizer={"learning_rate": 3e-2, "schedule": "constant"})
    train(learned)
    base = learned.work / "base"
    fuse.fuse(learned.base, learned.out, base)
    settings = {"learning_rate": 300.0, "schedule": "constant", "max_grad_norm": 0.0}
    limits = {"threshold": 1.15, "patience": 4}
    asked = replace(job(steps=60, eval_every=1, optimizer=settings, divergence=limits), base=base)
    problem = refused(asked)
    found = re.search(r"after (\d+) of 60 steps the loss is ([\d.]+), and was", problem.problem)
    assert found and int(found[1]) < 60 and float(found[2]) > 4
    assert "learning_rate (now 300)" in problem.hint
    assert str(asked.work / "best") in problem.hint and "is kept" in problem.hint
    assert (asked.work / "best/adapters.safetensors").stat().st_size > 1000
    assert not asked.out.exists()


def test_a_row_that_is_too_long_is_named_before_anything_is_loaded(
    job: Callable[..., TrainJob],
) -> None:
    begin = time.monotonic()
    assert "train.jsonl: row r" in refused(job(max_seq_length=10)).problem
    assert time.monotonic() - begin < 5


def test_a_projection_that_is_not_there_is_named_with_those_that_are(
    job: Callable[..., TrainJob],
) -> None:
    problem = refused(job(lora={"targets": ["q_proj", "wq"]}))
    assert problem.problem == "train.lora.targets names wq, which no layer of the base has"
    assert problem.hint == (
        "there are: down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
    )


def test_no_rows_no_training(job: Callable[..., TrainJob], tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("")
    assert "no rows to train on" in refused(replace(job(), dataset=tmp_path)).problem


def test_a_machine_without_mlx_gets_the_line_that_installs_it(
    job: Callable[..., TrainJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "mlx" / "__init__.py"
    missing.parent.mkdir()
    missing.write_text("raise ModuleNotFoundError('no mlx', name='mlx')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    problem = refused(job())
    assert "training needs the package 'mlx'" in problem.problem
    assert problem.hint == "uv pip install 'jessy-build[mlx]'"


def test_a_machine_without_a_driver_gets_its_name(
    job: Callable[..., TrainJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the CUDA back end ends where there is none."""
    (tmp_path / "mlx").mkdir()
    lacks = "libcuda.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "mlx" / "__init__.py").write_text(f"raise ImportError({lacks!r})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    problem = refused(job())
    assert problem.problem == f"training needs MLX, which does not start here: {lacks}"
    assert "NVIDIA's driver" in problem.hint


@pytest.mark.parametrize(
    ("code", "last", "expected"),
    [
        (-9, "", "killed from outside"),
        (-6, "what(): std::bad_alloc", "out of memory: what(): std::bad_alloc"),
        (-6, "[METAL] Insufficient Memory (0000)", "out of memory"),
        (1, "MemoryError", "out of memory: MemoryError"),
        (-11, "", "ended by SIGSEGV"),
        (1, "ValueError: odd", "ended with exit code 1: ValueError: odd"),
    ],
)
def test_the_way_a_child_died_is_told_in_words(
    tmp_path: Path, code: int, last: str, expected: str
) -> None:
    log = tmp_path / "train.log"
    log.write_text(f"step 1\n{last}\n\n")
    problem = _death.cause(code, log, _death.Before())
    assert expected in problem.problem
    assert "checkpoint" in problem.hint
    assert problem.log == log
