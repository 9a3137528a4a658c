"""Small data sets for the tiny model."""

import json
import random
from pathlib import Path
from typing import Any

WORDS = [
    "selam",
    "kanka",
    "iyiyim",
    "tamam",
    "sor",
    "dinliyorum",
    "hello",
    "thanks",
    "fine",
    "explain",
    "please",
    "times",
]


def talk(chance: random.Random, number: int) -> dict[str, Any]:
    messages = []
    for _ in range(chance.randint(1, 2)):
        asked = " ".join(chance.choices(WORDS, k=chance.randint(1, 6)))
        answer = " ".join(chance.choices(WORDS, k=chance.randint(1, 8)))
        messages += [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answer},
        ]
    return {
        "id": f"r{number}",
        "category": "talk",
        "language": "tr",
        "complexity": "low",
        "messages": messages,
    }


def write_dataset(folder: Path, train: int = 24, valid: int = 4, seed: int = 1) -> Path:
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", train), ("valid", valid)):
        lines = [json.dumps(talk(chance, number)) + "\n" for number in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder
