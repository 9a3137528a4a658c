from pathlib import Path

import pytest

from jessy_build.chat import Chat
from tests.taught import ASKED, teach


@pytest.fixture(scope="session")
def taught(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with which the tiny model knows one answer by heart."""
    pytest.importorskip("mlx_lm")
    return teach(tiny_model, tmp_path_factory.mktemp("taught"))


@pytest.fixture(scope="session")
def asked(tiny_model: Path) -> str:
    return Chat.load(tiny_model).render([{"role": "user", "content": ASKED}], generate=True)
