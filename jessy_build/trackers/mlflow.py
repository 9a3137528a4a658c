"""MLflow: a server, or an SQLite file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, field_validator

from jessy_build import config, hosts
from jessy_build.trackers.order import Line, Memory, Order, State, curves

PACKAGE = "mlflow"
HINT = "look whether the server at train.track.mlflow.uri runs, and knows you"
LOCAL = "sqlite:///"
URI = re.compile(r"https?://[^@\s]+|databricks(://[^@\s]+)?|sqlite:///.+")
STATES: Mapping[State, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class Config(config.Config):
    """Where the run is listed."""

    uri: str = Field(min_length=1, max_length=1000)
    """The server, as `http://127.0.0.1:5000`; or a file, as `sqlite:///mlflow.db`, relative to the
    recipe, which takes the whole package `mlflow`. Who you are stands in no address."""
    experiment: str = Field(min_length=1, max_length=200)
    """The experiment that runs are listed under. It is made where it is missing."""

    @field_validator("uri")
    @classmethod
    def _is_one(cls, uri: str) -> str:
        if not URI.fullmatch(uri):
            raise ValueError(
                "a server is http://HOST:PORT, https://HOST or databricks, with no name or password"
                " in it; a file is sqlite:///PATH"
            )
        return uri

    @property
    def file(self) -> str | None:
        return self.uri.removeprefix(LOCAL) if self.uri.startswith(LOCAL) else None


@dataclass(frozen=True, slots=True)
class Server:
    where: str
    client: Any
    run: str
    began: int
    """In milliseconds since the epoch."""

    def tell(self, lines: Sequence[Line]) -> None:
        from mlflow.entities import Metric

        # Timed by what the line says: one that is told twice, as after an answer that was lost on
        # its way, is the same to the server.
        told = [
            Metric(name, float(value), self.began + int(line["seconds"] * 1000), int(line["step"]))
            for line in lines
            for name, value in curves(line).items()
        ]
        self.client.log_batch(self.run, metrics=told)

    def end(self, state: State) -> None:
        self.client.set_terminated(self.run, STATES[state])


def open(order: Order, memory: Memory) -> Server:
    uri = order.config["uri"]
    if order.offline and not uri.startswith(LOCAL) and not hosts.is_loopback(uri):
        raise ConnectionError("JESSY_OFFLINE forbids to ask a server")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    run = _again(client, memory) or _begin(client, order)
    memory.run = run.info.run_id
    memory.save()
    where = f"{uri}/#/experiments/{run.info.experiment_id}/runs/{memory.run}"
    if uri.startswith(LOCAL):
        where = f"mlflow ui --backend-store-uri {uri}"
    return Server(where, client, memory.run, run.info.start_time)


def _again(client: Any, memory: Memory) -> Any:
    if not memory.run:
        return None
    client.update_run(memory.run, status="RUNNING")
    return client.get_run(memory.run)


def _begin(client: Any, order: Order) -> Any:
    from mlflow.entities import Param

    name = order.config["experiment"]
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found else client.create_experiment(name)
    run = client.create_run(experiment, run_name=order.title, tags={"jessy.key": order.key})
    params = [Param(field, str(value)[:6000]) for field, value in order.params.items()]
    client.log_batch(run.info.run_id, params=params[:100])
    return run
