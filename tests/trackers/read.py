"""What a service holds of a training, read back: curve → its points, in the order they came."""

import json
import shutil
import struct
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.required import missing

Curves = dict[str, list[tuple[int, float]]]

TENSORBOARD = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
read = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}, purge_orphaned_data=False)
read.Reload()
curves = {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
print(json.dumps(curves))
"""
"""In an environment of its own: TensorBoard brings 60 MB along that nothing else needs here."""


def tensorboard(folder: Path) -> Curves:
    """By TensorBoard's own reader, which here takes nothing back that a second file says again."""
    (run,) = folder.iterdir()
    if shutil.which("uv") is None:
        missing("uv", "TensorBoard's reader is run with uv")
    words = ["uv", "run", "-q", "--no-project", "--with", "tensorboard>=2.20,<3", "python", "-c"]
    done = subprocess.run([*words, TENSORBOARD, str(run)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {tag: [(s, v) for s, v in points] for tag, points in json.loads(done.stdout).items()}


def mlflow(file: Path, experiment: str) -> tuple[Curves, Any]:
    from mlflow import MlflowClient

    uri = f"sqlite:///{file}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    curves = {
        name: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
    }
    return curves, run


def wandb(folder: Path) -> tuple[Curves, list[Any]]:
    """Of all files of runs, the oldest first: an offline run that goes on has one more."""
    from google.protobuf.json_format import MessageToDict

    curves: Curves = defaultdict(list)
    runs = []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for record in _records(file):
            if record.WhichOneof("record_type") == "run":
                runs.append(MessageToDict(record.run))
            if record.WhichOneof("record_type") != "history":
                continue
            items = record.history.item
            said = {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
            for name, value in said.items():
                if name != "step" and not name.startswith("_"):
                    curves[name].append((said["step"], value))
    return dict(curves), runs


def _records(file: Path) -> Iterator[Any]:
    """A log as LevelDB writes one, behind seven bytes that say whose it is."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = file.read_bytes()
    assert data[:4] == b":W&B"
    at, held = 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        held += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record, held = Record.FromString(held), b""
            yield record
