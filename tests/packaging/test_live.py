"""What is live and what is removed, on loopback with faults."""

from collections.abc import Iterator
from typing import Any

import pytest

from jessy_build.diagnostics import StepError
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


# Going back

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64
NOW = {"jessy:v1": ONE, "jessy:v2": TWO, "jessy:latest": TWO, "jessy:previous": ONE}
KNOWN = {ONE: "jessy:v1", TWO: "jessy:v2"}


def test_what_was_live_before_is_live_again_and_the_other_way_round(models: ModelServer) -> None:
    models.models = dict(NOW)
    back = live.back(server(models), "jessy", None, KNOWN)
    assert back == live.Back(live.Live("jessy:v1", ONE), live.Live("jessy:v2", TWO), "")
    assert back.changed
    assert models.models == {**NOW, "jessy:latest": ONE, "jessy:previous": TWO}
    assert live.back(server(models), "jessy", None, KNOWN).live.tag == "jessy:v2"
    assert models.models == NOW


def test_a_certain_version(models: ModelServer) -> None:
    models.models = {**NOW, "jessy:v0": THREE}
    back = live.back(server(models), "jessy", "v0", {})
    assert (back.live.tag, back.before) == ("jessy:v0", live.Live("jessy:v2", TWO))
    assert models.models == {**NOW, "jessy:v0": THREE, "jessy:latest": THREE, "jessy:previous": TWO}
    again = live.back(server(models), "jessy", "v0", {})
    assert not again.changed and models.models["jessy:previous"] == TWO


def test_a_version_that_was_deployed_anew_gets_its_tag_back(models: ModelServer) -> None:
    models.models = {"jessy:v1": TWO, "jessy:latest": TWO, "jessy:previous": ONE}
    back = live.back(server(models), "jessy", None, {ONE: "jessy:v1", TWO: "jessy:v1"})
    assert back.live == live.Live("jessy:v1", ONE)
    assert models.models == {"jessy:v1": ONE, "jessy:latest": ONE, "jessy:previous": TWO}


def test_what_nobody_knows_goes_back_without_a_version(models: ModelServer) -> None:
    models.models = {"jessy:v2": TWO, "jessy:latest": TWO, "jessy:previous": ONE}
    assert live.back(server(models), "jessy", None, {}).live == live.Live(None, ONE)
    assert models.models == {"jessy:v2": TWO, "jessy:latest": ONE, "jessy:previous": TWO}


@pytest.mark.parametrize(
    ("served", "version", "said", "hint"),
    [
        ({}, None, "has no jessy, so nothing is live", "build a recipe"),
        ({"jessy:v1": ONE}, None, "has no jessy, so nothing is live", "it has jessy:v1"),
        ({"jessy:v1": ONE, "jessy:latest": ONE}, None, "live before jessy:v1", "no other version"),
        (
            {"jessy:v1": ONE, "jessy:v2": TWO, "jessy:latest": TWO, "jessy:v3-candidate": THREE},
            None,
            "live before jessy:v2",
            "--to v1",
        ),
        ({**NOW, "jessy:previous": TWO}, None, "live before jessy:v2", "--to v1"),
        (NOW, "v3", "has no version jessy:v3", "it has jessy:v1, jessy:v2"),
        (NOW, "latest", "has no version jessy:latest", "it has jessy:v1, jessy:v2"),
        ({**NOW, "other:v3": THREE}, "v3", "has no version jessy:v3", "it has jessy:v1, jessy:v2"),
    ],
)
def test_what_is_not_there_is_refused_in_words(
    models: ModelServer, served: dict[str, str], version: str | None, said: str, hint: str
) -> None:
    models.models = dict(served)
    with pytest.raises(StepError, match=said) as caught:
        live.back(server(models), "jessy", version, {})
    assert hint in caught.value.hint
    assert models.models == served


@pytest.mark.parametrize("broken", range(7))
def test_a_fault_anywhere_leaves_what_was_live(models: ModelServer, broken: int) -> None:
    """Each copy and each look at the tags is refused in its turn."""
    models.models = {"jessy:v1": TWO, "jessy:latest": TWO, "jessy:previous": ONE}
    before, asked = dict(models.models), 0

    def fault(method: str, path: str, body: Any) -> bool:
        nonlocal asked
        asked += path in ("/api/copy", "/api/tags")
        return path in ("/api/copy", "/api/tags") and asked == broken + 1

    models.fault = fault
    with pytest.raises(StepError, match="disk trouble"):
        live.back(server(models), "jessy", None, {ONE: "jessy:v1"})
    assert models.models == before


def test_a_server_that_goes_away_keeps_what_was_live(models: ModelServer) -> None:
    models.models = dict(NOW)
    gone = False

    def fault(method: str, path: str, body: Any) -> bool:
        nonlocal gone
        gone = gone or (path == "/api/copy" and body["destination"] == "jessy:latest")
        return gone

    models.fault = fault
    with pytest.raises(StepError, match="copy to jessy:latest"):
        live.back(server(models), "jessy", None, KNOWN)
    assert NOW.items() <= models.models.items()
    models.fault = lambda method, path, body: False
    assert live.back(server(models), "jessy", None, KNOWN).live.tag == "jessy:v1"
    assert models.models == {**NOW, "jessy:latest": ONE, "jessy:previous": TWO}
