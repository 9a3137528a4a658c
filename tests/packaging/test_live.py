"""What is live and what is removed, on loopback with faults."""

from collections.abc import Iterator

import pytest

from jessy_build.packaging import live
from jessy_build.packaging.ollama_server import Server
from tests.loopback.ollama_models import ModelServer

OURS = [(f"jessy:v{n}", str(n) * 64) for n in (4, 3, 2, 1)]


@pytest.fixture
def models() -> Iterator[ModelServer]:
    with ModelServer() as running:
        running.models = {**dict(OURS), "jessy:latest": "4" * 64}
        yield running


def server(models: ModelServer) -> Server:
    return Server(models.url, allow_remote=False)


def test_of_our_versions_the_last_ones_stay(models: ModelServer) -> None:
    pruned = live.prune(server(models), "jessy", OURS, 2)
    assert pruned == live.Pruned(("jessy:v2", "jessy:v1"), ())
    assert set(models.models) == {"jessy:v4", "jessy:v3", "jessy:latest"}


def test_what_is_live_stays_however_old_it_is(models: ModelServer) -> None:
    models.models["jessy:latest"] = "1" * 64
    assert live.prune(server(models), "jessy", OURS, 1).removed == ("jessy:v3", "jessy:v2")
    assert set(models.models) == {"jessy:v4", "jessy:v1", "jessy:latest"}


def test_what_others_made_or_put_under_our_tag_stays_and_does_not_count(
    models: ModelServer,
) -> None:
    foreign = {"jessy:mine": "a" * 64, "other:v1": "1" * 64, "jessy:v3": "b" * 64}
    models.models.update(foreign)
    ours = [*OURS, ("other:v1", "1" * 64), ("jessy:latest", "4" * 64)]
    assert live.prune(server(models), "jessy", ours, 2).removed == ("jessy:v1",)
    assert foreign.items() <= models.models.items()


def test_a_tag_that_was_deployed_twice_counts_once(models: ModelServer) -> None:
    ours = [OURS[0], ("jessy:v4", "0" * 64), *OURS]
    assert live.prune(server(models), "jessy", ours, 3).removed == ("jessy:v1",)


def test_a_removal_that_is_refused_is_told_and_the_others_go(models: ModelServer) -> None:
    models.fault = lambda method, path, asked: method == "DELETE" and asked["model"] == "jessy:v3"
    pruned = live.prune(server(models), "jessy", OURS, 1)
    assert pruned.removed == ("jessy:v2", "jessy:v1")
    assert pruned.problems == ("Ollama refused to delete jessy:v3: disk trouble",)
    assert set(models.models) == {"jessy:v4", "jessy:v3", "jessy:latest"}


def test_a_server_that_is_gone_is_told(models: ModelServer) -> None:
    gone = live.prune(Server("http://127.0.0.1:9", allow_remote=False), "jessy", OURS, 1)
    assert gone.removed == () and "broke off when asked to list its models" in gone.problems[0]
    models.fault = lambda method, path, asked: path == "/api/tags"
    refused = live.prune(server(models), "jessy", OURS, 1)
    assert refused.problems == ("Ollama refused to list its models: disk trouble",)
    assert len(models.models) == 5
