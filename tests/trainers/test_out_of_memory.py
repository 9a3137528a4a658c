"""A training that runs out of memory: of a real limit, and of one that a test sets in its child."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessy_build.diagnostics import StepError
from jessy_build.trainers import _batches, _death, _shortage, halves, lora
from jessy_build.trainers._batches import Sizes
from jessy_build.trainers._death import OutOfMemory
from jessy_build.trainers._rows import Row
from jessy_build.trainers.config import Config
from jessy_build.trainers.halves import Fullest, Halved, Heard
from jessy_build.trainers.lora import Progress, TrainingRun, TrainJob
from tests.trainers import limited
from tests.trainers.rows import WORDS, write_dataset
from tests.trainers.test_lora import children_of

mx: Any = pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")

CLOSE = 1e-4
FIELDS = {"epochs": 2, "batch_size": 4, "optimizer": {"learning_rate": 2e-3, "warmup_steps": 2}}


def config(**fields: Any) -> Config:
    return Config.model_validate_json(json.dumps({**FIELDS, **fields}))


Make = Callable[..., TrainJob]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows are held out: the half of a batch."""
    return write_dataset(tmp_path_factory.mktemp("data"), train=23, valid=2)


@pytest.fixture
def job(tiny_model: Path, dataset: Path, tmp_path: Path) -> Make:
    def make(name: str = "", **fields: Any) -> TrainJob:
        here = tmp_path / name
        made = TrainJob(tiny_model, dataset, here / "out", here / "work", config(**fields))
        return replace(made, save_seconds=0.0)

    return make


def train(job: TrainJob) -> tuple[TrainingRun, list[str]]:
    notes: list[str] = []
    return lora.train(job, lambda _: None, lambda: False, notes.append), notes


def alike(one: TrainingRun, other: TrainingRun) -> bool:
    curves = ((run.curve, run.validation) for run in (one, other))
    losses = [[point.loss for part in parts for point in part] for parts in curves]
    places = [[(p.step, p.epoch) for p in (*r.curve, *r.validation)] for r in (one, other)]
    return places[0] == places[1] and losses[0] == pytest.approx(losses[1], abs=CLOSE)


# ── half batches


@given(st.lists(st.integers(2, 90), min_size=1, max_size=40), st.integers(1, 9), st.integers(1, 3))
def test_an_update_of_half_batches_averages_over_the_same_rows(
    lengths: list[int], size: int, accumulation: int
) -> None:
    rows = [Row("r", tuple(range(n)), (False, *[True] * (n - 1))) for n in lengths]
    asked: dict[str, Any] = {"average": "token", "seed": 1, "epochs": 2, "updates": None}
    batches = _batches.schedule(rows, Sizes(size, 0), accumulation=accumulation, **asked)
    for batch in batches:
        pieces = _batches.cut(batch, 2)
        assert sum((piece.rows for piece in pieces), ()) == batch.rows
        assert max(len(piece.rows) for piece in pieces) == (len(batch.rows) + 1) // 2
        # mlx-lm divides by the batches of an update, of which there are twice as many.
        assert all(piece.share == 2 * batch.share for piece in pieces)
        assert pieces[-1].passed == batch.passed
        assert _batches.cut(batch, 1) == [batch]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"batch_size": 3, "grad_accumulation": 4, "loss": {"average": "row"}},
        {"batch_size": 5, "phases": [{"name": "all", "categories": ["talk"]}], "epochs": None},
    ],
    ids=["plain", "odd", "phases"],
)
def test_half_batches_give_the_curve_of_whole_ones(job: Make, fields: dict[str, Any]) -> None:
    whole, half = job("whole", **fields), job("half", **fields)
    half.work.mkdir(parents=True)
    halves.keep(half.work, half.config, 0)
    (one, _), (other, notes) = train(whole), train(half)
    assert alike(one, other) and len(one.curve) == one.steps > 3
    assert (one.halved, notes) == (None, [])
    assert other.halved == Halved(0, 2 * whole.config.grad_accumulation)
    adapters = [(j.out / "adapters.safetensors").read_bytes() for j in (whole, half)]
    assert adapters[0] != adapters[1], "rounding tells that it was another way"


# ── words and signals that only a test can set off


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_to(rows: int, spared: int = 0, die: str = limited.PYTHON) -> None:
        limited.limit(tmp_path, rows, spared, die)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return set_to


@pytest.mark.parametrize("die", [limited.PYTHON, limited.METAL], ids=["python", "metal"])
def test_it_goes_on_once_with_half_batches_and_says_so(
    job: Make, memory: Callable[..., None], die: str
) -> None:
    straight, _ = train(job("straight"))
    memory(rows=2, spared=3, die=die)
    run, notes = train(job("short"))
    assert notes == [
        "out of memory after step 3: went on with half batches and twice the accumulation (1 → 2)"
    ]
    assert (run.halved, run.resumed) == (Halved(3, 2), 3)
    assert alike(run, straight)


def test_validation_rows_are_halved_as_well(
    job: Make, memory: Callable[..., None], tmp_path: Path
) -> None:
    memory(rows=2)
    asked = replace(job(epochs=1), dataset=write_dataset(tmp_path / "data", train=5, valid=4))
    assert train(asked)[0].halved == Halved(0, 2)


def test_a_training_that_was_killed_later_goes_on_with_half_batches_at_once(
    job: Make, memory: Callable[..., None]
) -> None:
    asked = job()
    memory(rows=2, spared=2)
    notes: list[str] = []

    def kill_at_five(progress: Progress) -> None:
        if notes and progress.done == 5:
            for child in children_of(os.getpid()):
                os.kill(child, signal.SIGKILL)

    with pytest.raises(StepError) as caught:
        lora.train(asked, kill_at_five, lambda: False, notes.append)
    assert "killed from outside" in caught.value.problem and len(notes) == 1
    memory(rows=2)
    run, notes = train(asked)
    assert (notes, run.halved) == ([], Halved(2, 2)) and run.resumed and run.resumed >= 4


def test_a_second_time_it_is_said_what_to_lower_and_a_third_begins_where_it_was(
    job: Make, memory: Callable[..., None]
) -> None:
    asked = job()
    memory(rows=1, spared=2)
    for expected in (1, 0):
        notes: list[str] = []
        with pytest.raises(StepError) as caught:
            lora.train(asked, lambda _: None, lambda: False, notes.append)
        assert len(notes) == expected
        assert caught.value.problem == (
            "training ran out of memory, with half batches, too: "
            "MemoryError: Unable to allocate 3.2 GiB"
        )
        assert caught.value.hint == (
            "lower train.lora.rank (now 16); or lower train.batch_tokens (now 448); or close other "
            "programs. With the recipe as it is, the next build goes on from the last checkpoint"
        )
        assert caught.value.log == asked.work / "train.log"


def test_another_training_in_the_same_folder_has_batches_of_its_own(
    job: Make, memory: Callable[..., None]
) -> None:
    memory(rows=2)
    assert train(job(steps=2, epochs=None))[0].halved
    memory(rows=99)
    assert train(job(steps=3, epochs=None))[0].halved is None


def test_what_cannot_be_halved_is_not_tried_again(job: Make, memory: Callable[..., None]) -> None:
    memory(rows=0, spared=2)
    notes: list[str] = []
    with pytest.raises(StepError) as caught:
        lora.train(job(batch_size=1), lambda _: None, lambda: False, notes.append)
    assert (notes, "half" in caught.value.problem) == ([], False)
    assert "rank (now 16); or shorten or drop row r" in caught.value.hint


def test_a_base_that_is_too_large_to_be_loaded_is_told(
    job: Make, memory: Callable[..., None]
) -> None:
    memory(rows=99, die=limited.LOADING)
    notes: list[str] = []
    with pytest.raises(StepError) as caught:
        lora.train(job(), lambda _: None, lambda: False, notes.append)
    assert notes == []
    assert caught.value.hint == (
        "take a smaller base, since this one was not even loaded; or close other programs"
    )


def test_words_of_an_earlier_attempt_are_not_taken_for_this_ones(
    job: Make, memory: Callable[..., None]
) -> None:
    asked = job()
    asked.work.mkdir(parents=True)
    (asked.work / "train.log").write_text("MemoryError\n")
    memory(rows=2, die="        raise LookupError('odd')")
    with pytest.raises(StepError) as caught:
        train(asked)
    assert caught.value.problem.endswith("exit code 1: LookupError: odd")


RANK, TOKENS = "lower train.lora.rank (now 16)", "lower train.batch_tokens (now 448)"
LAYERS = "lower train.lora.layers (now all), or write train.method: lora"
TWICE = "set train.grad_checkpoint: true"
ALONE = (
    "shorten or drop row r7, which is read alone: its 90 tokens take the most "
    "(train.max_seq_length, now 2048, refuses longer ones)"
)


@pytest.mark.parametrize(
    ("fields", "rows", "device", "expected"),
    [
        ({}, 4, "cpu", [RANK, TOKENS]),
        ({"lora": {"rank": 1}}, 4, "cpu", [TOKENS]),
        ({"method": "full"}, 4, "cpu", [LAYERS, TOKENS]),
        ({"batch_tokens": 0}, 4, "cpu", [RANK, "lower train.batch_size (now 4)"]),
        ({}, 1, "cpu", [RANK, ALONE]),
        ({}, 4, "Apple M1", [RANK, TOKENS, TWICE]),
        ({"grad_checkpoint": True}, 4, "Apple M1", [RANK, TOKENS]),
    ],
)
def test_what_to_lower_depends_on_what_fills_the_memory(
    tmp_path: Path, fields: dict[str, Any], rows: int, device: str, expected: list[str]
) -> None:
    heard = Heard(0, 9, Fullest(rows, "r7", 90), device)
    told = halves.given_up(OutOfMemory("said", tmp_path), config(**fields), heard, None)
    assert told.hint.split("; or ") == [*expected, "close other programs"]


# ── what is a sign of it


def ended(work: Path, code: int, kills: int | None = 0) -> StepError:
    (work / "train.log").touch()
    return _death.cause(code, work / "train.log", _death.Before(kills=kills))


def test_sigkill_is_a_want_of_memory_only_where_the_kernel_says_so(tmp_path: Path) -> None:
    """By its real counter, which stands at some number."""
    counted = _shortage.kills()
    if counted is not None:
        assert isinstance(ended(tmp_path, -signal.SIGKILL, kills=counted - 1), OutOfMemory)
    assert "killed from outside" in ended(tmp_path, -signal.SIGKILL, kills=counted).problem
    assert "killed from outside" in ended(tmp_path, -signal.SIGKILL, kills=None).problem


CGROUP, FS = "proc/self/cgroup", "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({CGROUP: "0::/a/b\n", f"{FS}/a/b/memory.events": "low 0\noom 3\noom_kill 2\n"}, 2),
        ({CGROUP: "0::/a/b\n", f"{FS}/a/memory.events": "oom_kill 4\noom_group_kill 0\n"}, 4),
        ({CGROUP: "4:memory:/a\n0::/\n", f"{FS}/memory/a/memory.oom_control": "oom_kill 5\n"}, 5),
        ({CGROUP: "0::/\n", "proc/vmstat": "nr_free_pages 9\noom_kill 6\n"}, 6),
        ({}, None),
    ],
    ids=["v2", "above", "v1", "machine", "nobody"],
)
def test_the_kernels_count_is_found_where_it_stands(
    tmp_path: Path, files: dict[str, str], expected: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _shortage.kills(tmp_path) == expected


def test_sigsegv_is_one_only_where_memory_may_be_refused(tmp_path: Path) -> None:
    if _shortage.is_refused():
        pytest.skip("memory is limited here already")
    assert type(ended(tmp_path, -signal.SIGSEGV)) is StepError
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 44, limits[1]))
    try:
        assert type(ended(tmp_path, -signal.SIGSEGV)) is OutOfMemory
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


# ── a real limit

LARGE = {
    "steps": 3,
    "epochs": None,
    "batch_size": 16,
    "batch_tokens": 0,
    "lora": {"rank": 2},
    # With it the batches are a short one, the long one, and a short one.
    "seed": 1,
}
PARENT = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from jessy_build.trainers import lora
*paths, config = sys.argv[1:]
config = lora.Config.model_validate_json(config)
job = lora.TrainJob(*map(Path, paths), config, save_seconds=0.0)
notes = []
run = lora.train(job, lambda _: None, lambda: False, notes.append)
print(json.dumps([notes, asdict(run.halved) if run.halved else None, run.resumed]))
"""


@dataclass(frozen=True)
class Peaks:
    """Bytes of the whole training, with whole batches and with half ones."""

    promised: tuple[int, int]
    held: tuple[int, int]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chance = random.Random(1)
    folder = tmp_path_factory.mktemp("large")

    def row(number: int, words: int) -> str:
        text = " ".join(chance.choices(WORDS, k=words))
        said = [{"role": "user", "content": "sor"}, {"role": "assistant", "content": text}]
        return json.dumps({"id": f"r{number}", "category": "talk", "messages": said}) + "\n"

    # Long ones stand out from what allocators reserve for threads, which differs by 200 MB.
    lengths = [10] * 16 + [30] * 16 + [400] * 16
    text = "".join(row(number, words) for number, words in enumerate(lengths))
    (folder / "train.jsonl").write_text(text)
    (folder / "valid.jsonl").write_text(row(99, 10))
    return folder


@pytest.fixture(scope="module")
def peaks(tiny_model: Path, large: Path, tmp_path_factory: pytest.TempPathFactory) -> Peaks:
    """Measured here, since cores, libraries and allocators decide about it."""
    if sys.platform != "linux" or mx.default_device().type != mx.DeviceType.cpu:
        pytest.skip("neither macOS nor a GPU knows such limits")
    promised, held = [0, 0], [0, 0]
    for half in range(2):
        here = tmp_path_factory.mktemp("peaks")
        job = TrainJob(tiny_model, large, here / "out", here, config(**LARGE))
        if half:
            halves.keep(here, job.config, 0)

        def look(_: Progress, half: int = half) -> None:
            for child in children_of(os.getpid()):
                with suppress(OSError, IndexError):
                    status = Path(f"/proc/{child}/status").read_text()
                    now = int(status.partition("VmPeak:")[2].split()[0]) * 1024
                    promised[half] = max(promised[half], now)

        held[half] = lora.train(job, look, lambda: False).peak_memory
    assert promised[0] - promised[1] > 4e8 and held[0] - held[1] > 4e8
    return Peaks((promised[0], promised[1]), (held[0], held[1]))


def under(first: str, job: TrainJob) -> list[Any]:
    """What a training tells whose parent runs `first` in its shell."""
    paths = [str(path) for path in (job.base, job.dataset, job.out, job.work)]
    words = [sys.executable, "-c", PARENT, *paths, job.config.model_dump_json()]
    done = subprocess.run(
        ["sh", "-c", f'{first} && exec "$@"', "sh", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told: list[Any] = json.loads(done.stdout)
    return told


def between(sizes: tuple[int, int]) -> int:
    return sum(sizes) // 2


SAID = "out of memory after step 1: went on with half batches and twice the accumulation (1 → 2)"


def test_where_memory_is_limited_it_goes_on_with_half_batches(
    tiny_model: Path, large: Path, tmp_path: Path, peaks: Peaks
) -> None:
    job = TrainJob(tiny_model, large, tmp_path / "out", tmp_path / "work", config(**LARGE))
    notes, halved, resumed = under(f"ulimit -v {between(peaks.promised) // 1024}", job)
    assert (notes, halved, resumed) == ([SAID], {"step": 1, "accumulation": 2}, 1)


@pytest.fixture
def group() -> Iterator[tuple[Path, str]]:
    """A control group of its own, and what its limit is called: for those who may make one."""
    for root, name in (("memory", "memory.limit_in_bytes"), (".", "memory.max")):
        folder = Path("/sys/fs/cgroup", root, f"jessy-test-{os.getpid()}")
        with suppress(OSError):
            folder.mkdir()
        if (folder / name).is_file():
            break
        with suppress(OSError):
            folder.rmdir()
    else:
        pytest.skip("no control group can be made here")
    yield folder, name
    folder.rmdir()


def test_what_the_kernel_kills_goes_on_with_half_batches(
    tiny_model: Path, large: Path, tmp_path: Path, peaks: Peaks, group: tuple[Path, str]
) -> None:
    folder, limit = group
    (folder / limit).write_text(str(between(peaks.held)))
    job = TrainJob(tiny_model, large, tmp_path / "out", tmp_path / "work", config(**LARGE))
    notes, halved, resumed = under(f"echo $$ > {folder}/cgroup.procs", job)
    assert (notes, halved, resumed) == ([SAID], {"step": 1, "accumulation": 2}, 1)
