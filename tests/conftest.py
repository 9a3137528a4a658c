"""What many tests share: real base models, a tiny one, and a machine with nothing of the user's."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.real_models import GEMMA, GEMMA_SHA256, SMOLLM2, SMOLLM2_SHA256, fetched

# Hundreds of processes are started here: each would compile all that it imports.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Threads of llama.cpp that wait for each other sleep: while they spin, other tests stand still.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# A busy machine is no reason to fail.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


TESTS = Path(__file__).parent
LONGEST = (
    # Of two workers one has a core's work for minutes, which leaves an Ollama to the other: two at
    # once, whose threads spin while they wait, take four times as long each.
    *("recipe/test_fuzz.py", "steps/test_smaller_real.py", "steps/test_deploy.py"),
    *("steps/test_adapter.py", "trainers/test_estimate_real.py", "steps/test_edits.py"),
    *("steps/test_every_field.py", "steps/test_kill.py", "trainers/test_distributed.py"),
    "test_commands.py",
)
"""Files that take minutes."""


@dataclass(frozen=True)
class RealBases:
    smollm2: Path
    gemma: Path


def pytest_configure() -> None:
    """What a shell starts in the background ignores Ctrl-C, and hands that on to all it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no worker goes on alone with it at the end. After
    those that are known, the files with the fewest tests: these take the longest each."""
    place = {TESTS / name: number for number, name in enumerate(LONGEST)}
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (place.get(item.path, len(place)), tests[item.path], item.path))


@pytest.fixture(autouse=True)
def nothing_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test reads or writes the user's store, keys or Ollama."""
    theirs = ("JESSY_S", "JESSY_TRAIN_", "ANTHROPIC_", "OPENAI_", "WANDB_", "MLFLOW_")
    for name in [name for name in os.environ if name.startswith(theirs)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    # A port that nothing listens on: tests that want an Ollama name their own.
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    yield


@pytest.fixture(scope="session")
def real_bases() -> RealBases:
    return RealBases(
        smollm2=fetched("smollm2", SMOLLM2, SMOLLM2_SHA256),
        gemma=fetched("gemma", GEMMA, GEMMA_SHA256),
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny"))
