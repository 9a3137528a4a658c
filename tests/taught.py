"""The tiny model after a lesson: it answers one prompt by heart, and ends its turn."""

import json
from pathlib import Path

from jessy_build.trainers import lora

ASKED, ANSWER = "selam, nasılsın?", "iyiyim, ğüşöç! sor kanka"
LESSON = {
    "lora": {"rank": 16, "alpha": 64},
    "epochs": 60,
    "optimizer": {"learning_rate": 1e-2, "schedule": "linear"},
}


def teach(base: Path, folder: Path) -> Path:
    """A folder with the adapter."""
    messages = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWER}]
    row = json.dumps({"id": "by-heart", "messages": messages}) + "\n"
    data = folder / "data"
    data.mkdir(parents=True)
    for name in ("train", "valid"):
        (data / f"{name}.jsonl").write_text(row, encoding="utf-8")
    config = lora.Config.model_validate_json(json.dumps(LESSON))
    job = lora.TrainJob(base, data, folder / "adapter", folder / "work", config)
    lora.train(job, lambda _: None, lambda: False)
    return job.out
