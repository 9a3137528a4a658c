"""What was said of a training before, beside what a real one then took, on the real bases."""

import json
from pathlib import Path
from typing import Any

import pytest

from jessy_build.chat import BUILTIN
from jessy_build.packaging import gguf_read
from jessy_build.steps import training
from jessy_build.trainers import lora
from jessy_build.trainers.config import Config
from jessy_build.trainers.lora import TrainJob
from tests.conftest import RealBases

pytestmark = pytest.mark.real

CURATED = Path(__file__).parent.parent.parent / "recipes" / "curated"
TEMPLATES = {"smollm2": "chatml", "gemma": "gemma"}
CASES = [
    # Words of a row, and fields of train.
    (40, {}),
    (300, {"batch_size": 1}),
    (40, {"lora": {"rank": 64}, "batch_size": 4}),
    (40, {"method": "dora", "batch_size": 4}),
    (40, {"base_bits": 4, "batch_size": 4}),
    (40, {"method": "full", "lora": {"layers": 4}, "batch_size": 4}),
]


@pytest.fixture(scope="module", params=TEMPLATES)
def base(
    request: pytest.FixtureRequest,
    real_bases: RealBases,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    pytest.importorskip("mlx_lm")
    folder = tmp_path_factory.mktemp(request.param)
    template = BUILTIN[TEMPLATES[request.param]]
    gguf_read.convert(getattr(real_bases, request.param), folder, chat_template=template)
    return folder


def english() -> list[str]:
    """Words of our own answers: how many tokens a word has is a part of what was said."""
    rows = [json.loads(line) for line in (CURATED / "depth.jsonl").open(encoding="utf-8")]
    answers = [row["messages"][-1]["content"] for row in rows if row["language"] == "en"]
    return " ".join(answers).split()


def write_rows(folder: Path, words: int) -> Path:
    folder.mkdir()
    said = " ".join(english()[:words])
    messages = [
        {"role": "user", "content": said[: len(said) // 3]},
        {"role": "assistant", "content": said},
    ]
    row = json.dumps({"id": "r", "language": "en", "messages": messages}) + "\n"
    (folder / "train.jsonl").write_text(row * 16, encoding="utf-8")
    (folder / "valid.jsonl").write_text(row, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("words", "fields"), CASES)
def test_the_memory_of_a_real_training_is_within_half_of_what_was_said(
    base: Path, tmp_path: Path, words: int, fields: dict[str, Any]
) -> None:
    config = Config.model_validate_json(json.dumps({"steps": 2, **fields}))
    data = write_rows(tmp_path / "data", words)
    said = training.before(base, data, config)["memory"]
    job = TrainJob(base, data, tmp_path / "out", tmp_path / "work", config)
    took = lora.train(job, lambda _: None, lambda: False).peak_memory
    assert said / 1.5 < took < said * 1.5, f"{said / 1e6:.0f} MB said, {took / 1e6:.0f} MB taken"
