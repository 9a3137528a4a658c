"""The step that holds the served file against the trained model: real models, broken on purpose."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.engine.answers import Answer, Answers
from jessy_build.engine.ledger import Artifact, Ledger
from jessy_build.packaging import architectures, gguf_lora, gguf_write
from jessy_build.plan.step import Step
from jessy_build.runtimes import mlx
from jessy_build.steps import parity, probes
from tests.packaging import adapters
from tests.tiny import make_tiny_model

WORDS = ["hello there", "selam, nasılsın?", "sana bisi sorucam", "tamam mı? 🦉", "def f(x):"]


@dataclass
class Here:
    """As much of a job as the step uses."""

    root: Path
    kind: str = "f16"
    trained: str = "model"
    notes: list[str] = field(default_factory=list)

    @property
    def step(self) -> Step:
        return Step("parity", "parity", 1, {"kind": self.kind}, {})

    @property
    def inputs(self) -> dict[str, Path]:
        return {name: self.root / name for name in ("base", self.trained, "gguf", "dataset")}

    @property
    def made(self) -> dict[str, Artifact]:
        tree = {
            path.name: (digest.of_file(path), path.stat().st_size)
            for path in (self.root / "base").iterdir()
        }
        return {"base": Artifact("", "convert", "convert", tree, {}, 0.0, 0.0, {})}

    @cached_property
    def answers(self) -> Answers:
        return Ledger(self.root / "answers.sqlite").answers

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def progress(self, *_: Any) -> None: ...

    def cancelled(self) -> bool:
        return False

    def note(self, text: str) -> None:
        self.notes.append(text)


def all_of(job: Here) -> Iterator[Answer]:
    with sqlite3.connect(job.root / "answers.sqlite") as db:
        stems = [stem for (stem,) in db.execute("select stem from questions")]
    yield from job.answers.of(stems)


@pytest.fixture
def job(tmp_path: Path) -> Here:
    """A base, and a model that learned something: its weights are a little off the base's."""
    import mlx.core as mx

    make_tiny_model(tmp_path / "base")
    shutil.copytree(tmp_path / "base", tmp_path / "model")
    file = str(tmp_path / "model/model.safetensors")
    weights: Any = mx.load(file)
    mx.random.seed(1)
    # Stored as F16, as the step before leaves it.
    moved = {
        name: (w + 0.02 * mx.random.normal(w.shape)).astype(mx.float16) if w.ndim > 1 else w
        for name, w in weights.items()
    }
    mx.save_safetensors(file, moved, {"format": "mlx"})
    for folder in ("gguf", "dataset", "out", "work"):
        (tmp_path / folder).mkdir()
    rows = [
        {
            "id": f"row{number}",
            "category": "talk",
            "complexity": "low",
            "messages": [
                {"role": "user", "content": f"{WORDS[number % 5]} {number}"},
                {"role": "assistant", "content": "fine, thanks a lot!"},
            ],
        }
        for number in range(30)
    ]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (tmp_path / "dataset/train.jsonl").write_text("".join(lines), encoding="utf-8")
    return Here(tmp_path)


def write(job: Here, model: str = "model") -> None:
    gguf_write.write(job.root / model, job.root / "gguf/model.gguf", kind=job.kind, name="tiny")


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
def test_a_faithful_file_passes_and_leaves_its_probes(job: Here, kind: str) -> None:
    job.kind = kind
    write(job)
    facts = parity.run(job)  # type: ignore[arg-type]
    assert facts["rows"] == 30 and facts["probes"] == probes.COUNT and not facts["survival"]
    assert facts["mean"] < 0.02 and facts["places"] > probes.COUNT
    saved = probes.saved(job.out)
    assert len({probe.prompt for probe in saved}) == probes.COUNT
    assert any(abs(p.trained - p.base) > 0.01 for probe in saved for p in probe.places)
    assert not job.notes
    first = (job.out / probes.FILE).read_bytes()
    parity.run(job)  # type: ignore[arg-type]
    assert (job.out / probes.FILE).read_bytes() == first


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [({"permutes_qk": False}, "q/k order"), ({"norm_offset": 1.0}, "norm offset")],
    ids=["order", "offset"],
)
def test_a_wrong_entry_of_an_architecture_is_told_with_its_cause(
    job: Here, wrong: dict[str, Any], cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = architectures.of_config
    monkeypatch.setattr(architectures, "of_config", lambda config: replace(known(config), **wrong))
    write(job)
    with pytest.raises(StepError, match="not the model that was trained") as told:
        parity.run(job)  # type: ignore[arg-type]
    lines = str(told.value).splitlines()
    assert "nats apart" in lines[0] and lines[-2].strip() == "^"
    assert lines[-1].startswith(f"  the cause that fits: {cause}")


def test_a_fault_of_two_parts_has_no_cause_that_fits(
    job: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = architectures.of_config
    monkeypatch.setattr(
        architectures,
        "of_config",
        lambda config: replace(known(config), permutes_qk=False, norm_offset=1.0),
    )
    write(job)
    with pytest.raises(StepError, match="no cause fits"):
        parity.run(job)  # type: ignore[arg-type]


def test_a_file_of_the_base_is_not_the_trained_model(job: Here) -> None:
    write(job, "base")
    with pytest.raises(StepError, match="fits: it was written from other weights"):
        parity.run(job)  # type: ignore[arg-type]


def test_another_tokenizer_is_told_by_row_and_token(job: Here) -> None:
    shutil.copytree(job.root / "model", job.root / "cut")
    file = job.root / "cut/tokenizer.json"
    tokenizer = json.loads(file.read_text())
    # It no longer joins what "hello" begins with.
    tokenizer["model"]["merges"] = [
        merge for merge in tokenizer["model"]["merges"] if "".join(merge) not in ("he", "ell", "el")
    ]
    file.write_text(json.dumps(tokenizer))
    write(job, "cut")
    with pytest.raises(StepError, match=r"tokenizer: the GGUF cuts row row\d+ into other") as told:
        parity.run(job)  # type: ignore[arg-type]
    lines = str(told.value).splitlines()
    assert lines[1].startswith("  training") and lines[2].startswith("  GGUF")
    assert lines[3].strip() == "^"


@pytest.mark.parametrize(("factor", "cause"), [(1, ""), (1 / 4, "alpha: "), (1 / 2, "alpha: ")])
def test_an_adapter_of_another_strength_is_told(job: Here, factor: float, cause: str) -> None:
    """Of rank 4 and scale 2: alpha that was taken for the scale is 4 times too weak."""
    from gguf import GGUFReader

    job.trained = "adapter"
    trained = adapters.write_adapter(job.root / "adapter", job.root / "base", 0.05)
    write(job, "base")
    file = job.root / "gguf/adapter.gguf"
    gguf_lora.write(job.root / "base", trained, file, name="tiny")
    alpha = GGUFReader(file, "r+").fields["adapter.lora.alpha"]
    alpha.parts[alpha.data[0]][0] *= factor
    if not cause:
        assert parity.run(job)["mean"] < 0.02  # type: ignore[arg-type]
        return
    with pytest.raises(StepError, match=f"fits: {cause}"):
        parity.run(job)  # type: ignore[arg-type]


def test_a_smaller_file_is_asked_what_it_has_kept(job: Here) -> None:
    job.kind = "q8_0"
    write(job)
    (line,) = parity.run(job)["survival"]  # type: ignore[arg-type]
    assert line["model"] == "q8_0" and line["survived"] and line["kept"] > 0.9
    write(job, "base")
    with pytest.raises(StepError, match="q8_0 erases what was trained"):
        parity.run(job)  # type: ignore[arg-type]


def test_base_and_trained_model_are_measured_as_smaller_kinds_are(job: Here) -> None:
    write(job)
    base, trained = parity.run(job)["measures"]  # type: ignore[arg-type]
    assert (trained["model"], trained["kept"]) == ("f16", 1)
    assert trained["equal"] == trained["alike"] == trained["answers"] == probes.COUNT
    saved = probes.saved(job.out)
    with mlx.open(job.root / "base") as model:
        said = [model.ask(probe.prompt, probes.ANSWER_TOKENS) for probe in saved]
    assert (base["model"], base["kept"], base["survived"]) == ("base", 0, False)
    assert base["median_tokens"] == median(answer.tokens for answer in said)
    equal = [
        one.text.strip() == probe.answer.text.strip()
        for one, probe in zip(said, saved, strict=True)
    ]
    assert base["equal"] == sum(equal) < probes.COUNT
    # The same base is asked no more, whatever is trained on it next.
    asked = {answer.stem: answer.made_at for answer in all_of(job)}
    assert len(asked) == probes.COUNT
    parity.run(job)  # type: ignore[arg-type]
    assert {answer.stem: answer.made_at for answer in all_of(job)} == asked


def test_probes_are_drawn_from_all_categories_and_levels_and_few_move() -> None:
    rows = [
        {"id": f"{category}{level}{n}", "category": category, "complexity": level}
        for category, count in (("large", 200), ("small", 2))
        for level in ("low", "high")
        for n in range(count)
    ]
    drawn = probes.drawn(rows)
    assert len(drawn) == probes.COUNT
    assert {(row["category"], row["complexity"]) for row in drawn} == {
        (category, level) for category in ("large", "small") for level in ("low", "high")
    }
    assert sum(row["category"] == "small" for row in drawn) == 4, "all there are"
    more = probes.drawn([*rows, {"id": "new", "category": "large", "complexity": "low"}])
    assert sum(row in drawn for row in more) >= probes.COUNT - 1
    assert probes.drawn(rows[::-1]) == drawn, "the order of rows says nothing"
