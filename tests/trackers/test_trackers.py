"""Real services, told of metrics that grow in a file as a training writes them."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from jessy_build.trackers import TRACKERS, _child, follow
from jessy_build.trackers.follow import Services
from jessy_build.trackers.order import Memory, Order
from jessy_build.trainers import metrics
from tests.loopback.wandb_api import WandbServer
from tests.required import missing
from tests.trackers import read

MLFLOW_SECONDS = 20
"""For which its client tries by itself, where a file is locked."""
KEY = "0123456789abcdef0123456789abcdef01234567"
CONFIGS: Mapping[str, Mapping[str, str]] = {
    "tensorboard": {"folder": "{0}/runs"},
    "mlflow": {"uri": "sqlite:///{0}/m.db", "experiment": "jessy"},
    "wandb": {"project": "jessy"},
}
CURVE = [
    {"step": n, "epoch": n / 4, "loss": 4.0 / n, "learning_rate": 1e-4, "tokens_per_second": 90.5}
    | {"memory": 2_000_000, "gpu_utilization": 90 + n, "seconds": n * 0.5}
    for n in range(1, 9)
]
LOOKS = [{"step": n, "epoch": n / 4, "loss": 5.0 - n / 4, "seconds": n * 0.5} for n in (0, 4, 8)]
LINES = metrics.text(CURVE, LOOKS).splitlines(keepends=True)


class Training:
    """As a tracker sees one: a file that grows, and a folder that the next try finds again."""

    def __init__(self, root: Path, kind: str, **fields: Any) -> None:
        self.root, self.kind = root, kind
        self.notes: list[str] = []
        (root / "work").mkdir(exist_ok=True)
        config = {name: text.format(root) for name, text in CONFIGS[kind].items()}
        self.order = Order(
            **{
                "kind": kind,
                "config": config,
                "key": "5" * 64,
                "title": "jessy v1",
                "params": {"train.lora.rank": 8},
                "metrics": str(root / "work" / metrics.NAME),
                "work": str(root / "work"),
                "folder": str(root / "builds"),
                "offline": False,
                **fields,
            }
        )

    def follow(self, **env: str) -> Any:
        return follow.services([self.order], {**os.environ, **env}, self.notes.append)

    def write(self, count: int) -> None:
        """As a training does that goes on: what it knows is written anew, what comes is added."""
        with metrics.begin(self.root / "work", "".join(LINES[: count // 2])) as file:
            for line in LINES[count // 2 : count]:
                file.write(line)

    def wait_for(self, lines: int) -> None:
        late = time.monotonic() + 60
        while Memory.of(self.order.memory).told < lines:
            failed = any("does not follow" in note for note in self.notes)
            assert not failed and time.monotonic() < late, (self.notes, log(self))
            time.sleep(0.05)

    def curves(self) -> read.Curves:
        if self.kind == "tensorboard":
            return read.tensorboard(self.root / "runs")
        if self.kind == "mlflow":
            return read.mlflow(self.root / "m.db", "jessy")[0]
        return read.wandb(self.root / "builds")[0]


def log(training: Training) -> str:
    return (training.root / "work" / f"{training.kind}.log").read_text()


def child_of(services: Services) -> int:
    (child,) = services._children
    return child._process.pid


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file as MLflow makes it, which takes as long as all the rest."""
    needs("mlflow")
    file = tmp_path_factory.mktemp("mlflow") / "m.db"
    code = "import sys; from mlflow import MlflowClient as C; C(*sys.argv[1:]).search_experiments()"
    subprocess.run([sys.executable, "-c", code, *[f"sqlite:///{file}"] * 2], check=True)
    return file


@pytest.fixture(params=CONFIGS)
def training(request: pytest.FixtureRequest, tmp_path: Path) -> Training:
    needs(request.param)
    if request.param == "mlflow":
        shutil.copy(request.getfixturevalue("tables"), tmp_path)
    return Training(tmp_path, request.param)


def needs(kind: str) -> None:
    for package in (TRACKERS[kind].PACKAGE, *(("sqlalchemy",) if kind == "mlflow" else ())):
        if find_spec(package) is None:
            missing("trackers", f"{package} is not installed")


def holds_all(training: Training) -> None:
    curves = training.curves()
    assert [s for s, _ in curves["loss"]] == list(range(1, 9))
    assert [v for _, v in curves["loss"]] == pytest.approx([p["loss"] for p in CURVE])
    assert curves["valid_loss"] == [(0, 5.0), (4, 4.0), (8, 3.0)]
    for name in set(CURVE[0]) - {"step"}:
        told = [(p["step"], pytest.approx(p[name])) for p in CURVE]
        assert [point for point in curves[name] if point in told], name
        if training.kind != "wandb":
            assert curves[name] == told, name


def test_a_training_is_told_while_it_goes_on(training: Training) -> None:
    with training.follow() as services:
        training.write(3)
        services.begin()
        training.wait_for(3)
        with (training.root / "work" / metrics.NAME).open("a") as file:
            file.write("".join(LINES[3:]))
    assert services.facts()[training.kind] == {
        "where": training.notes[0].partition(": ")[2],
        "told": len(LINES),
        "problem": "",
    }
    assert len(training.notes) == 1
    holds_all(training)


@pytest.mark.parametrize("how", ["the build is stopped", "the tracker is killed"])
def test_a_training_that_goes_on_has_each_step_once(training: Training, how: str) -> None:
    with pytest.raises(KeyboardInterrupt), training.follow() as services:
        training.write(7)
        services.begin()
        training.wait_for(7)
        if how == "the tracker is killed":
            os.killpg(child_of(services), signal.SIGKILL)
        raise KeyboardInterrupt
    # Its checkpoint is older than what was told already.
    with training.follow() as services:
        training.write(4)
        services.begin()
        with (training.root / "work" / metrics.NAME).open("a") as file:
            file.write("".join(LINES[4:]))
    assert services.facts()[training.kind]["told"] == len(LINES), log(training)
    holds_all(training)


def test_mlflow_knows_what_was_trained_and_how_it_ended(tmp_path: Path, tables: Path) -> None:
    shutil.copy(tables, tmp_path)
    training = Training(tmp_path, "mlflow")
    with pytest.raises(ValueError), training.follow() as services:
        training.write(4)
        services.begin()
        raise ValueError
    _, run = read.mlflow(tmp_path / "m.db", "jessy")
    assert run.info.status == "FAILED" and run.info.run_name == "jessy v1"
    assert run.data.params == {"train.lora.rank": "8"}


def test_wandb_is_told_of_the_training_and_of_nothing_else(tmp_path: Path) -> None:
    needs("wandb")
    training = Training(tmp_path, "wandb", title="jessy v7")
    with training.follow(WANDB_API_KEY=KEY, OTHER_TOKEN="other-secret-0000") as services:
        training.write(len(LINES))
        services.begin()
    _, (run,) = read.wandb(tmp_path / "builds")
    assert (run["runId"], run["project"], run["displayName"]) == ("5" * 12, "jessy", "jessy v7")
    (config,) = [c for c in run["config"]["update"] if not c["key"].startswith("_")]
    assert (config["key"], config["valueJson"]) == ("train.lora.rank", "8")
    for file in [file for file in tmp_path.rglob("*") if file.is_file()]:
        data = file.read_bytes()
        assert socket.gethostname().encode() not in data or file.suffix == ".log", file
        assert KEY.encode() not in data and b"other-secret" not in data, file
    files = [f.name for f in tmp_path.rglob("offline-run-*/files/*") if f.is_file()]
    assert files == [], "no list of packages, no code, no word that was printed"


@pytest.mark.parametrize("harsh", [False, True])
def test_a_run_online_goes_on_with_what_the_server_has(tmp_path: Path, harsh: bool) -> None:
    needs("wandb")
    training = Training(tmp_path, "wandb")
    with WandbServer() as server:
        env = {"WANDB_MODE": "online", "WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url}
        with pytest.raises(KeyboardInterrupt), training.follow(**env) as services:
            training.write(6)
            services.begin()
            training.wait_for(6)
            if harsh:
                os.killpg(child_of(services), signal.SIGKILL)
            raise KeyboardInterrupt
        services._children[0]._process.wait(40)
        before = len(server.rows)
        assert harsh or (before == 6 and server.exit_codes == [1])
        with training.follow(**env) as services:
            training.write(4)
            services.begin()
            with (training.root / "work" / metrics.NAME).open("a") as file:
                file.write("".join(LINES[4:]))
        assert services.facts()["wandb"]["problem"] == "", (training.notes, log(training))
        assert services.facts()["wandb"]["where"] == f"{server.url}/us/jessy/runs/{'5' * 12}"
        told = [(row["step"], row.get("loss"), row.get("valid_loss")) for row in server.told]
        lines = map(json.loads, LINES)
        assert told == [(ln["step"], ln.get("loss"), ln.get("valid_loss")) for ln in lines]
        assert server.exit_codes[-1] == 0
        for seen in server.seen:
            assert KEY not in json.dumps(seen.body)


# Services that cannot be told


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def refused(training: Training, **env: str) -> str:
    """The one thing that is said, and how long a training of a moment waits for it."""
    began = time.monotonic()
    with training.follow(**env) as services:
        training.write(len(LINES))
        services.begin()
        assert time.monotonic() - began < 2, "nobody waits for a service to be reached"
    (note,) = training.notes
    assert services.facts()[training.kind]["problem"] in note
    assert note.startswith(f"{training.kind} does not follow the training: ")
    return note


def test_a_server_that_is_not_there_is_said_once(tmp_path: Path) -> None:
    needs("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
    config = {"uri": uri, "experiment": "jessy"}
    note = refused(Training(tmp_path, "mlflow", config=config), MLFLOW_TRACKING_TOKEN=KEY)
    assert "Connection" in note and "train.track.mlflow.uri" in note and KEY not in note


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, silent: str) -> None:
    needs("mlflow")
    config = {"uri": silent, "experiment": "jessy"}
    training = Training(tmp_path, "mlflow", config=config, patience=3)
    began = time.monotonic()
    note = refused(training, MLFLOW_HTTP_REQUEST_TIMEOUT="60")
    assert "3 s after the training it had not taken all of it" in note
    assert time.monotonic() - began < 10


def test_wandb_without_a_key_asks_for_none(tmp_path: Path) -> None:
    needs("wandb")
    note = refused(Training(tmp_path, "wandb"), WANDB_MODE="online", HOME=str(tmp_path))
    assert "No API key" in note and "WANDB_API_KEY" in note


def test_a_key_that_a_server_refuses_is_in_no_word(tmp_path: Path) -> None:
    shown = follow._shown(f"bad key {KEY}, sk-ant-abcdefgh\nmore", {"WANDB_API_KEY": KEY})
    assert KEY not in shown and "abcdefgh" not in shown and shown.startswith("bad key ****")


def test_a_package_that_is_missing_is_named_with_the_line_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "tensorboardX.py").write_text("raise ModuleNotFoundError(name='tensorboardX')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    note = refused(Training(tmp_path, "tensorboard"), PYTHONPATH=path)
    assert "'tensorboardX' is not installed" in note
    assert "uv pip install 'jessy-build[track]'" in note


def test_offline_only_a_server_of_this_machine_is_asked(tmp_path: Path) -> None:
    config = {"uri": "https://mlflow.example", "experiment": "jessy"}
    note = refused(Training(tmp_path, "mlflow", config=config, offline=True))
    assert "JESSY_OFFLINE" in note


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    training = Training(tmp_path, "tensorboard")
    (tmp_path / "builds").write_text("a file")
    with training.follow() as services:
        services.begin()
    (note,) = training.notes
    assert "File exists" in note and services.facts() == {}


def test_a_service_that_is_away_for_a_while_is_told_all(tmp_path: Path, tables: Path) -> None:
    """MLflow's own client, which gives up on a file that another program keeps locked."""
    shutil.copy(tables, tmp_path)
    training = Training(tmp_path, "mlflow")
    with training.follow() as services:
        training.write(3)
        services.begin()
        training.wait_for(3)
        with closing(sqlite3.connect(tmp_path / "m.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with (training.root / "work" / metrics.NAME).open("a") as file:
                file.write("".join(LINES[3:]))
            time.sleep(MLFLOW_SECONDS + 4)
            assert Memory.of(training.order.memory).told == 3
            other.execute("COMMIT")
    assert services.facts()["mlflow"]["problem"] == "", (training.notes, log(training))
    holds_all(training)


@pytest.mark.parametrize("known", [2, 6])
def test_the_file_of_a_second_attempt_is_read_on_where_the_first_one_ended(
    tmp_path: Path, known: int
) -> None:
    """Out of memory, a training goes on within its build, from an older step or the same."""
    training, over = Training(tmp_path, "tensorboard"), threading.Event()
    training.write(6)
    read = _child._batches(tmp_path / "work" / metrics.NAME, 0, over)
    told = next(read)
    assert len(told) == 6
    training.write(2 * known)
    over.set()
    told += [line for lines in read for line in lines]
    assert [line["step"] for line in told] == [
        _child._figures(line)["step"] for line in LINES[: max(6, 2 * known)]
    ]


def test_a_file_that_is_replaced_is_followed(tmp_path: Path) -> None:
    """As by a training whose memory ran out: it goes on in a child of its own."""
    over = threading.Event()
    file = metrics.begin(tmp_path, "".join(LINES[:3]))
    batches = _child._batches(tmp_path / metrics.NAME, 1, over)
    assert [line["step"] for line in next(batches)] == [1, 2]
    file.write(LINES[3][:9])
    with metrics.begin(tmp_path, "".join(LINES[:2])) as other:
        other.write("".join(LINES[2:5]) + LINES[5][:9])
        assert [(ln["step"], "loss" in ln) for ln in next(batches)] == [(3, True), (4, True)]
        other.write(LINES[5][9:])
        over.set()
        assert [(ln["step"], "loss" in ln) for ln in next(batches)] == [(4, False)]
    assert list(batches) == []
    file.close()


def test_no_package_of_a_service_is_loaded_to_know_its_words() -> None:
    code = "import sys, jessy_build.trackers; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert not {"wandb", "mlflow", "tensorboardX", "subprocess"} & set(loaded.split())
