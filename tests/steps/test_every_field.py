"""Whatever one field is edited, the plan says what will run, and names that field and its line.

One recipe that uses every field is built once; then each field is edited by itself, in the text as
a user would. The table is held against the model: a new field without a row fails.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from jessy_build import cli, digest
from jessy_build.recipe import later
from jessy_build.recipe.load import load
from jessy_build.recipe.model import Recipe
from tests.bases import hub_server
from tests.loopback import messages_api, ollama_api
from tests.loopback.ollama_api import OllamaServer
from tests.loopback.openai_api import OpenAIServer
from tests.loopback.server import Seen, Step
from tests.steps import asked
from tests.steps.project import Project

RECIPE = """\
recipe: 1
name: every
version: v1
description: One of each.
extends: below.yaml
allow_outside: false
base:
  model: path:base
  chat_template: turns.jinja
persona:
  name: Ada
  system: system.j2
  vars: {mood: calm}
teachers:
  claude:
    kind: anthropic
    model: claude-haiku-5-5
    max_tokens: 200
    concurrency: 4
    batch: false
    timeout: 60
    prices: {input: 1.0, output: 5.0, cached_input: 0.1, cache_write: 1.25, as_of: 2026-11-01}
  local:
    kind: ollama
    model: gemma3:4b
    host: HOST
    temperature: 0.5
    max_tokens: 100
    concurrency: 2
    timeout: 90
  far:
    kind: openai
    model: smollm2
    base_url: FAR/v1
    temperature: 0.5
    max_tokens: 100
    concurrency: 2
    timeout: 90
    prices: {input: 0.5, output: 1.0, cached_input: 0.1, as_of: 2026-11-01}
  curated:
    kind: curated
    files: [rows.jsonl]
complexity:
  low:
    iterations: [1, 2]
    words: [1, 60]
    seconds: 5
  high:
    iterations: [3, 9]
    words: [2, 600]
    seconds: 60
    max_tokens: 250
    timeout: 50
categories:
  talk:
    teacher: claude
    count: 6
    prompt: ask.j2
    languages: {en: 1}
    complexity: {low: 1}
    topics: {greetings: 3, thanks: 3}
  deep:
    teacher: claude
    count: 4
    prompt: deep.j2
    languages: {en: 1}
    complexity: {low: 1}
    topics:
      - name: rust
        count: 2
        style: short
        turns: 1
      - git
    turns:
      min: 1
      max: 2
  afar:
    teacher: far
    count: 2
    prompt: small.j2
    languages: {en: 1}
    complexity: {low: 1}
  small:
    teacher: local
    count: 2
    prompt: small.j2
    languages: {en: 1}
    complexity: {low: 1}
  smalltalk:
    teacher: curated
    count: 12
    languages: {en: 1}
    complexity: {low: 1}
dataset:
  seed: 7
  split:
    train: 0.8
    valid: 0.2
  validate:
    words: true
    duplicates: false
    roles: true
    complexity: true
    min_chars: 1
    near_duplicate: 0.9
    language: false
    give_aways: true
    balance: true
    forbid: [language model]
    judge:
      teacher: local
      rubric:
        naturalness: Reads as a friend writes.
      at_least: 1
      categories: [small]
      prompt: judge.j2
    persona:
      calm:
        categories: [small]
        languages: [en]
        complexity: [low]
        forbid: [dear sir]
        require: [cevap, answer]
    on_reject: drop
  marker: "[{{ iterations }}] "
  enhance:
    - {kind: phrase, phrases: ["Well!"], where: start, category: talk, chance: 0.5}
    - {kind: emoji, emoji: ["🎯"], where: end, language: en, complexity: low}
    - {kind: metaphor, metaphors: ["Code is a river."], where: end, topic: greetings}
train:
  method: lora
  lora:
    rank: 2
    alpha: 4
    dropout: 0.0
    targets: [q_proj, v_proj]
    layers: all
  steps: 3
  batch_size: 4
  batch_tokens: 400
  grad_accumulation: 1
  optimizer:
    learning_rate: 0.001
    schedule: cosine
    warmup_steps: 1
    max_grad_norm: 1.0
    weight_decay: 0.0
    bias_correction: true
  loss:
    average: token
  repeat: {low: 2}
  every_batch: {small: 1}
  early_stop: {patience: 9}
  divergence: {threshold: 2.0, patience: 10}
  grad_checkpoint: false
  max_seq_length: 512
  eval_every: 2
  keep: {suite: manner, among: 2}
export:
  kind: fused
  gguf: f16
modelfile:
  template: turns.tmpl
  license: Apache-2.0
  license_file: terms.txt
  requires: 0.14.0
  parameters:
    temperature: 0.3
    top_p: 0.9
    top_k: 40
    min_p: 0.05
    typical_p: 1.0
    repeat_penalty: 1.1
    repeat_last_n: 64
    presence_penalty: 0.0
    frequency_penalty: 0.0
    num_ctx: 512
    num_predict: 50
    num_keep: 4
    stop: ["<end>"]
  messages:
    - role: user
      content: naber
    - role: assistant
      content: iyiyim
deploy:
  ollama:
    model: every
    quantize: q8_0
    keep: 3
  env_file:
    path: .env
    key: MODEL
evaluate:
  prompts: evaluate.jsonl
  max_tokens: 2
  suites:
    - name: manner
      description: Short ones.
      max_tokens: 2
      expect:
        words:
          min: 1
          max: 9
        language: same
        contains: [a]
        any_of: [a, b]
        lacks: [c]
        equals: [d]
        ends: false
      prompts:
        - prompt: naber
          language: tr
          complexity: low
          expect:
            words: level
        - prompt: hey
          language: en
          expect:
            ends: true
    - name: other
      prompts: [{prompt: hi, expect: {ends: true}}]
pools: {anthropic: 8}
budget: {max_usd: 20}
"""
EVALUATE = RECIPE[RECIPE.index("evaluate:\n") : RECIPE.index("pools:")]
DEPLOY = RECIPE[RECIPE.index("deploy:\n") : RECIPE.index("evaluate:\n")]
BELOW = """\
# What all our recipes say.
train:
  seed: 3
modelfile:
  parameters:
    seed: 1
"""
ROWS = [f'{{"user": "hello number {n}", "assistant": "fine"}}\n' for n in range(12)]
LAST_LINE = "in {{ iterations.max }} steps, {{ words.max }} words, {{ seconds }} seconds.\n"
FILES = {
    "below.yaml": BELOW,
    "above.yaml": BELOW.replace("seed: 3", "seed: 4"),
    "system.j2": "You are {{ persona.name }}.\nBe brief.\n",
    "other.j2": "You are {{ persona.name }}.\nBe kind.\n",
    "ask.j2": "A {{ persona.vars.mood }} line\nabout {{ topic.name }}, number {{ ordinal }},\n"
    + LAST_LINE,
    "deep.j2": "Something deep on {{ topic.name }},\n"
    "{{ topic.style | default('long') }}, number {{ ordinal }}.\n",
    "judge.j2": "Score it: {{ rubric.naturalness }}\n"
    "{% for message in messages %}{{ message.content }}{% endfor %}\n",
    "judge2.j2": "Score: {{ rubric.naturalness }}\n{{ messages[0].content }}\n",
    "small.j2": "Something small, number {{ ordinal }}.\n",
    "turns.jinja": "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "terms.txt": "Use it\nfreely.\n",
    "more.txt": "Use it\nfor good.\n",
    "turns.tmpl": "{{ range .Messages }}<|im_start|>{{ .Role }}\n"
    "{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n",
    "rows.jsonl": "".join(ROWS),
    "more.jsonl": "".join(ROWS[:-1]).replace("fine", "good") + ROWS[-1],
    "evaluate.jsonl": '{"prompt": "hello"}\n\n{"prompt": "selam"}\n',
    "questions.jsonl": '{"prompt": "naber"}\n',
}

ASKED = "generate:talk generate:deep generate:afar generate:small"
CLAUDE = "generate:talk generate:deep"
PERSONA = f"{ASKED} assemble select evaluate deploy"
LEVEL = f"{ASKED} validate"

FIELDS: Mapping[str, tuple[str, str]] = {
    # Field → another value as one would write it, and the steps that then surely run. The report
    # shows the recipe, so it runs along with any of them.
    "name": ("other", "gguf"),
    "version": ("v2", "deploy"),
    "description": ("Another line.", ""),
    "base.model": ("path:copy", ""),
    "base.chat_template": ("chatml", "convert"),
    "persona.name": ("Grace", PERSONA),
    "persona.system": ("other.j2", PERSONA),
    "persona.vars.mood": ("wild", "generate:talk"),
    "teachers.claude.model": ("claude-sonnet-5-5", CLAUDE),
    "teachers.local.model": ("gemma3:1b", "generate:small validate"),
    "teachers.local.temperature": ("0.6", "generate:small validate"),
    "teachers.far.model": ("qwen3", "generate:afar"),
    "teachers.far.temperature": ("0.6", "generate:afar"),
    "teachers.curated.files": ("[more.jsonl]", "generate:smalltalk"),
    "complexity.low.iterations": ("[1, 3]", "generate:talk validate assemble"),
    "complexity.low.words": ("[1, 50]", "generate:talk validate assemble select score"),
    "complexity.low.seconds": ("6", "generate:talk"),
    "complexity.high.iterations": ("[4, 9]", "validate assemble"),
    "complexity.high.words": ("[3, 600]", "validate"),
    "complexity.high.seconds": ("70", ""),
    "categories.talk.teacher": ("local", "generate:talk"),
    "categories.deep.count": ("5", "generate:deep"),
    "categories.small.prompt": ("other.j2", "generate:small"),
    "categories.talk.languages": ("{tr: 1}", "generate:talk"),
    "categories.talk.complexity": ("{high: 1}", "generate:talk"),
    "categories.talk.topics": ("{greetings: 2, thanks: 4}", "generate:talk"),
    "categories.deep.topics.rust.count": ("1", "generate:deep"),
    "categories.deep.topics.rust.style": ("long-winded", "generate:deep"),
    "categories.deep.topics.rust.turns": ("3", "generate:deep"),
    "categories.deep.turns.min": ("2", "generate:deep"),
    "categories.deep.turns.max": ("1", "generate:deep"),
    "categories.smalltalk.count": ("11", "generate:smalltalk"),
    "categories.smalltalk.languages": ("{tr: 1}", "generate:smalltalk"),
    "categories.smalltalk.complexity": ("{high: 1}", "generate:smalltalk"),
    "dataset.seed": ("8", "assemble"),
    "dataset.validate.words": ("false", "validate assemble"),
    "dataset.validate.duplicates": ("true", "validate"),
    "dataset.validate.roles": ("false", "validate"),
    "dataset.validate.complexity": ("false", "validate"),
    "dataset.validate.min_chars": ("2", "validate"),
    "dataset.validate.near_duplicate": ("0.8", "validate"),
    "dataset.validate.language": ("true", "validate"),
    "dataset.validate.give_aways": ("false", "validate"),
    "dataset.validate.balance": ("false", "validate"),
    "dataset.validate.forbid": ("[robot]", "validate"),
    "dataset.validate.persona.calm.categories": ("[small, talk]", "validate"),
    "dataset.validate.persona.calm.languages": ("[en, mixed]", "validate"),
    "dataset.validate.persona.calm.complexity": ("[low, high]", "validate"),
    "dataset.validate.persona.calm.forbid": ("[sir]", "validate"),
    "dataset.validate.persona.calm.require": ("[cevap]", "validate"),
    "dataset.validate.judge.teacher": ("far", "validate"),
    "dataset.validate.judge.rubric.naturalness": ("Is brief.", "validate"),
    "dataset.validate.judge.at_least": ("2", "validate"),
    "dataset.validate.judge.categories": ("[small, talk]", "validate"),
    "dataset.validate.judge.prompt": ("judge2.j2", "validate"),
    "dataset.validate.on_reject": ("fail", "validate"),
    "dataset.marker": ('"({{ iterations }}) "', "assemble"),
    "train.method": ("dora", "train"),
    "train.lora.rank": ("4", "train"),
    "train.lora.alpha": ("8", "train"),
    "train.lora.dropout": ("0.1", "train"),
    "train.lora.targets": ("[q_proj]", "train"),
    "train.lora.layers": ("1", "train"),
    "train.steps": ("4", "train"),
    "train.batch_size": ("2", "train"),
    "train.batch_tokens": ("200", "train"),
    "train.grad_accumulation": ("2", "train"),
    "train.optimizer.learning_rate": ("0.002", "train"),
    "train.optimizer.schedule": ("linear", "train"),
    "train.optimizer.warmup_steps": ("0", "train"),
    "train.optimizer.max_grad_norm": ("0.5", "train"),
    "train.optimizer.weight_decay": ("0.1", "train"),
    "train.optimizer.bias_correction": ("false", "train"),
    "train.loss.average": ("row", "train"),
    "train.repeat.low": ("3", "train"),
    "train.every_batch.small": ("2", "train"),
    "train.early_stop.patience": ("8", "train"),
    "train.grad_checkpoint": ("true", "train"),
    "train.max_seq_length": ("256", "tokens train"),
    "train.eval_every": ("3", "train"),
    "train.keep": ("last", "train"),
    "train.keep.suite": ("other", "select"),
    "train.keep.among": ("3", "train"),
    "train.seed": ("5", "train"),
    "export.kind": ("adapter", "gguf"),
    "export.gguf": ("f32", "gguf parity evaluate"),
    "modelfile.parameters.temperature": ("0.4", "deploy"),
    "modelfile.parameters.top_p": ("0.8", "deploy"),
    "modelfile.parameters.top_k": ("30", "deploy"),
    "modelfile.parameters.min_p": ("0.1", "deploy"),
    "modelfile.parameters.typical_p": ("0.9", "deploy"),
    "modelfile.parameters.repeat_penalty": ("1.0", "deploy"),
    "modelfile.parameters.repeat_last_n": ("32", "deploy"),
    "modelfile.parameters.presence_penalty": ("0.1", "deploy"),
    "modelfile.parameters.frequency_penalty": ("0.1", "deploy"),
    "modelfile.parameters.num_ctx": ("256", "deploy"),
    "modelfile.parameters.num_predict": ("40", "deploy"),
    "modelfile.parameters.num_keep": ("5", "deploy"),
    "modelfile.parameters.seed": ("2", "deploy"),
    "modelfile.parameters.stop": ('["<stop>"]', "deploy"),
    "modelfile.template": ("auto", "deploy"),
    "modelfile.license": ("[Apache-2.0, MIT]", "deploy"),
    "modelfile.license_file": ("more.txt", "deploy"),
    "modelfile.requires": ("0.15.0", "deploy"),
    "deploy.ollama.model": ("renamed", "deploy"),
    "deploy.ollama.quantize": ("q4_K_M", "deploy"),
    "deploy.ollama.keep": ("2", "deploy"),
    "deploy.env_file.path": ("app.env", "deploy"),
    "deploy.env_file.key": ("LIVE", "deploy"),
    "evaluate.prompts": ("questions.jsonl", "validate evaluate"),
    "evaluate.max_tokens": ("3", "evaluate"),
    "evaluate.suites.manner.description": ("Brief ones.", ""),
    "evaluate.suites.manner.max_tokens": ("3", "select evaluate score"),
    "evaluate.suites.manner.expect.words.min": ("2", "select score"),
    "evaluate.suites.manner.expect.words.max": ("8", "select score"),
    "evaluate.suites.manner.expect.language": ("tr", "select score"),
    "evaluate.suites.manner.expect.contains": ("[b]", "select score"),
    "evaluate.suites.manner.expect.any_of": ("[a]", "select score"),
    "evaluate.suites.manner.expect.lacks": ("[e]", "select score"),
    "evaluate.suites.manner.expect.equals": ("[f]", "select score"),
    "evaluate.suites.manner.expect.ends": ("true", "select score"),
    "evaluate.suites.manner.prompts.hey.expect.ends": ("false", "select score"),
    "evaluate.suites.manner.prompts.naber.language": ("en", "select score"),
    "evaluate.suites.manner.prompts.naber.complexity": ("high", "select score"),
    "evaluate.suites.manner.prompts.naber.expect.words": ("{max: 7}", "select score"),
}

NOTHING: Mapping[str, str] = {
    "train.divergence.threshold": "3.0",
    "train.divergence.patience": "5",
    "allow_outside": "true",
    "teachers.claude.concurrency": "2",
    "teachers.claude.batch": "true",
    "teachers.claude.timeout": "30",
    "teachers.claude.max_tokens": "300",
    "teachers.local.max_tokens": "300",
    "teachers.far.max_tokens": "300",
    "complexity.high.max_tokens": "260",
    "complexity.high.timeout": "40",
    "teachers.claude.prices.input": "2.0",
    "teachers.claude.prices.output": "6.0",
    "teachers.claude.prices.cached_input": "0.2",
    "teachers.claude.prices.cache_write": "2.0",
    "teachers.claude.prices.as_of": "2026-11-02",
    "teachers.local.host": "http://127.0.0.1:9",
    "teachers.local.concurrency": "1",
    "teachers.local.timeout": "30",
    "teachers.far.base_url": "http://127.0.0.1:9/v1",
    "teachers.far.concurrency": "1",
    "teachers.far.timeout": "30",
    "teachers.far.prices.output": "6.0",
    "pools": "{anthropic: 2}",
    "budget.max_usd": "30",
}
"""Fields that change no result, and another value: nothing runs."""

ELSEWHERE = frozenset(
    (
        *("model.Recipe.extends", "model.Recipe.store", "model.Train.epochs", "model.Topic.name"),
        # No adapter of its own fits a packed base: in `EDITS`.
        "model.Train.base_bits",
        *("model.Split.train", "model.Split.valid", "config.Turn.role", "config.Turn.content"),
        *("model.Recipe.matrix", "model.Base.revision", "model.Base.sha256"),
        *("config.Suite.name", "config.Prompt.prompt"),
        # A phase: in `EDITS`, and in `trainers/test_course` and `test_lora`.
        *("config.Phase.name", "config.Phase.categories", "config.Phase.epochs"),
        *("config.Phase.learning_rate", "config.Limit.max"),
        # In `test_export`.
        *("model.Include.files", "model.Include.format", "model.Include.category"),
        *("model.Include.topic", "model.Include.language", "model.Include.complexity"),
        *("model.Include.own_labels", "model.Include.system"),
        # Fields of a list's items: in `EDITS`, and in `test_enhance`.
        *("phrase.Config.phrases", "phrase.Config.where", "emoji.Config.emoji"),
        *("emoji.Config.where", "metaphor.Config.metaphors", "metaphor.Config.where"),
        *(
            f"{kind}.Config.{limit}"
            for kind in ("phrase", "emoji", "metaphor")
            for limit in ("language", "category", "complexity", "topic", "chance")
        ),
        # In `test_parts` and `test_asked_before`.
        *("model.Category.answer", "model.Category.round"),
        # In `test_tracked`.
        *("wandb.Config.project", "wandb.Config.entity", "tensorboard.Config.folder"),
        *("mlflow.Config.uri", "mlflow.Config.experiment"),
        # In `test_mlx_teacher`.
        *("mlx.Config.model", "mlx.Config.revision", "mlx.Config.chat_template"),
        *("mlx.Config.temperature", "mlx.Config.max_tokens"),
        *("mlx.Config.concurrency", "mlx.Config.timeout"),
        # In `test_sources`.
        *("config.Sources.files", "config.Sources.unit", "config.Sources.max_tokens"),
        "config.Sources.languages",
    )
)
"""Fields that need more than another value in their line: in `EDITS`, or in a test of their own."""


@dataclass(frozen=True)
class Edit:
    """One edit of the project's files, the steps it surely runs, and what the plan names."""

    do: Callable[["Every"], None]
    runs: str
    named: frozenset[tuple[str, str]]
    """Field and `file:line`."""


def edit(do: Callable[["Every"], None], runs: str, *named: tuple[str, str]) -> Edit:
    return Edit(do, runs, frozenset(named))


def replace(file: str, *pairs: tuple[str, str]) -> Callable[["Every"], None]:
    def do(project: "Every") -> None:
        for old, new in pairs:
            project.replace(file, old, new)

    return do


def append(file: str, text: str) -> Callable[["Every"], None]:
    return lambda project: project.put(file, project.texts[file] + text)


def recipe_line(start: str) -> str:
    """Where the recipe says it."""
    lines = RECIPE.splitlines()
    found = [n for n, line in enumerate(lines, 1) if f"{line}\n".startswith(start)]
    assert len(found) == 1, (start, found)
    return f"recipe.yaml:{found[0]}"


TOPICS = "categories.deep.topics"
EDITS: Mapping[str, Edit] = {
    "the recipe that is extended": edit(
        replace("recipe.yaml", ("below.yaml", "above.yaml")),
        "train report",
        ("train.seed", "above.yaml:3"),
    ),
    "a field of the recipe that is extended": edit(
        replace("below.yaml", ("seed: 3", "seed: 4")),
        "train report",
        ("train.seed", "below.yaml:3"),
    ),
    "a store that is shared": edit(append("recipe.yaml", "store: common\n"), ""),
    "epochs instead of steps": edit(
        replace("recipe.yaml", ("  steps: 3", "  epochs: 1")),
        "train report",
        ("train.epochs", recipe_line("  steps: 3")),
        ("train.steps", recipe_line("train:")),
    ),
    "a base of fewer bits": edit(
        replace("recipe.yaml", ("  method: lora\n", "  method: lora\n  base_bits: 4\n")),
        "train report",
        ("train.base_bits", f"recipe.yaml:{RECIPE.splitlines().index('  method: lora') + 2}"),
    ),
    "phases instead of steps": edit(
        replace("recipe.yaml", ("  steps: 3", "  phases: [{name: one, categories: [small]}]")),
        "train report",
        ("train.phases", recipe_line("  steps: 3")),
        ("train.steps", recipe_line("train:")),
    ),
    "another split": edit(
        replace("recipe.yaml", ("train: 0.8", "train: 0.9"), ("valid: 0.2", "valid: 0.1")),
        "assemble report",
        ("dataset.split.train", recipe_line("    train: 0.8")),
        ("dataset.split.valid", recipe_line("    valid: 0.2")),
    ),
    "a topic renamed": edit(
        replace("recipe.yaml", ("name: rust", "name: go")),
        "generate:deep report",
        (f"{TOPICS}.rust", recipe_line("    topics:\n")),
        (f"{TOPICS}.go", recipe_line("      - name: rust")),
    ),
    "a topic more": edit(
        replace("recipe.yaml", ("      - git\n", "      - git\n      - sql\n")),
        "generate:deep report",
        (f"{TOPICS}.sql", recipe_line("    turns:")),
    ),
    **{
        f"an enhancer's {old.partition(':')[0]}": edit(
            replace("recipe.yaml", (old, new)),
            "assemble report",
            ("dataset.enhance", recipe_line(f"    - {{kind: {kind}")),
        )
        for kind, old, new in (
            ("phrase", "chance: 0.5", "chance: 0.6"),
            ("phrase", 'phrases: ["Well!"]', 'phrases: ["Well!", "So!"]'),
            ("emoji", "language: en, complexity: low", "complexity: low"),
            ("metaphor", "topic: greetings", "topic: thanks"),
        )
    },
    "a turn of the example conversation": edit(
        replace("recipe.yaml", ("content: iyiyim", "content: selam")),
        "deploy report",
        ("modelfile.messages", recipe_line("      content: iyiyim")),
    ),
    "a comment": edit(append("recipe.yaml", "# a remark\n"), ""),
    "another order of the fields": edit(
        replace("recipe.yaml", ("name: every\nversion: v1\n", "version: v1\nname: every\n")), ""
    ),
    "another order of the topics": edit(
        replace("recipe.yaml", ("{greetings: 3, thanks: 3}", "{thanks: 3, greetings: 3}")), ""
    ),
    "another order of the categories": edit(
        lambda project: project.put("recipe.yaml", with_small_first(project.texts["recipe.yaml"])),
        "validate",
        ("categories", recipe_line("categories:")),
    ),
    "a category renamed": edit(
        replace("recipe.yaml", ("  smalltalk:\n", "  aside:\n")),
        "generate:aside validate report",
        ("categories", recipe_line("categories:")),
        ("categories.aside", recipe_line("  smalltalk:")),
        ("categories.smalltalk", recipe_line("categories:")),
    ),
    "a prompt's text": edit(
        replace("deep.j2", ("number", "No.")),
        "generate:deep",
        ("categories.deep.prompt", "deep.j2:2"),
    ),
    "what the judge is asked": edit(
        replace("judge.j2", ("Score it", "Please score it")),
        "validate",
        ("dataset.validate.judge.prompt", "judge.j2:1"),
    ),
    "a line less in a prompt": edit(
        replace("ask.j2", (LAST_LINE, "")),
        "generate:talk",
        ("categories.talk.prompt", "ask.j2:2"),
    ),
    "a remark in a prompt": edit(append("deep.j2", "{# a remark #}\n"), ""),
    "the system text": edit(
        replace("system.j2", ("Be brief", "Be very brief")),
        PERSONA,
        ("persona.system", "system.j2:2"),
    ),
    "no persona's system text": edit(
        replace("recipe.yaml", ("  system: system.j2\n", "")),
        f"{PERSONA} report",
        ("persona.system", recipe_line("persona:")),
    ),
    "the chat template's text": edit(
        replace("turns.jinja", ("{% for", "{{ '' }}{% for")),
        "convert",
        ("base.chat_template", "turns.jinja:1"),
    ),
    "the text of Ollama's template": edit(
        replace("turns.tmpl", ("<|im_end|>", "<|end|>")),
        "deploy",
        ("modelfile.template", "turns.tmpl:2"),
    ),
    "the text of the licence": edit(
        replace("terms.txt", ("freely", "with care")),
        "deploy",
        ("modelfile.license_file", "terms.txt:2"),
    ),
    "a curated row changed": edit(
        replace("rows.jsonl", (ROWS[6], ROWS[6].replace("fine", "so so"))),
        "generate:smalltalk",
        ("teachers.curated.files", "rows.jsonl:7"),
    ),
    "a curated row replaced by another": edit(
        replace("rows.jsonl", (ROWS[11], ROWS[11].replace("11", "99"))),
        "generate:smalltalk",
        ("teachers.curated.files", "rows.jsonl:12"),
    ),
    "a curated row added, and taken": edit(
        replace("rows.jsonl", (ROWS[3], ROWS[3] + ROWS[3].replace("3", "33")), (ROWS[4], "")),
        "generate:smalltalk",
        ("teachers.curated.files", "rows.jsonl:5"),
    ),
    "a blank line between curated rows": edit(
        replace("rows.jsonl", (ROWS[6], "\n" + ROWS[6])),
        "generate:smalltalk",
        ("teachers.curated.files", "rows.jsonl:8"),
    ),
    "a prompt of the evaluation changed": edit(
        replace("evaluate.jsonl", ("selam", "merhaba")),
        "validate evaluate",
        ("evaluate.prompts", "evaluate.jsonl:3"),
    ),
    "a prompt of the evaluation added": edit(
        append("evaluate.jsonl", '{"prompt": "naber", "language": "tr"}\n'),
        "validate evaluate",
        ("evaluate.prompts", "evaluate.jsonl:4"),
    ),
    "a prompt of the evaluation removed": edit(
        replace("evaluate.jsonl", ('{"prompt": "hello"}\n', "")),
        "validate evaluate",
        ("evaluate.prompts", "evaluate.jsonl:2"),
    ),
    "what a prompt of the evaluation is": edit(
        replace("evaluate.jsonl", ('"selam"', '"selam", "seen": true')),
        "validate evaluate",
        ("evaluate.prompts", "evaluate.jsonl:3"),
    ),
    "prompts of the evaluation written in the recipe": edit(
        replace("recipe.yaml", ("prompts: evaluate.jsonl", "prompts: [selam]")),
        "validate evaluate report",
        ("evaluate.prompts", recipe_line("  prompts: evaluate.jsonl")),
    ),
    "a prompt of a suite": edit(
        replace("recipe.yaml", ("prompt: naber", "prompt: ne haber")),
        "select evaluate score report",
        ("evaluate.suites.manner.prompts.naber", recipe_line("      prompts:\n")),
        ("evaluate.suites.manner.prompts.ne haber", recipe_line("        - prompt: naber")),
    ),
    "a suite renamed": edit(
        replace("recipe.yaml", ("name: other", "name: another")),
        "score report",
        ("evaluate.suites.other", recipe_line("  suites:")),
        ("evaluate.suites.another", recipe_line("    - name: other")),
    ),
    "a file of the base": edit(
        append("base/generation_config.json", "\n"),
        "fetch",
        ("base.model", "base/generation_config.json"),
    ),
    # Of what is written no more there is no line.
    "no deploy": edit(
        replace("recipe.yaml", (DEPLOY, "")),
        "deploy report",
        ("deploy", "recipe.yaml"),
    ),
    "no evaluation": edit(
        replace(
            "recipe.yaml",
            (EVALUATE, ""),
            ("keep: {suite: manner, among: 2}", "keep: best"),
        ),
        "validate train report",
        ("evaluate", "recipe.yaml"),
        ("train.keep", recipe_line("  keep: {suite: manner, among: 2}\n")),
    ),
}


def with_small_first(text: str) -> str:
    start, end = text.index("  small:\n"), text.index("  smalltalk:\n")
    without = text[:start] + text[end:]
    return without.replace("categories:\n", f"categories:\n{text[start:end]}")


# The project


@dataclass(frozen=True)
class Every:
    """The project, and the texts of its files as they were when it was built."""

    root: Path
    texts: Mapping[str, str]

    def put(self, file: str, text: str) -> None:
        (self.root / file).write_text(text, encoding="utf-8")

    def replace(self, file: str, old: str, new: str) -> None:
        text = (self.root / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, (file, old, text.count(old))
        self.put(file, text.replace(old, new))

    def restore(self) -> None:
        for file, text in self.texts.items():
            if (self.root / file).read_text(encoding="utf-8") != text:
                self.put(file, text)

    def set(self, field: str, value: str) -> tuple[Any, Any, str]:
        """In the text, as a user would: the old value, the new one, and the line that has it."""
        for file in ("recipe.yaml", "below.yaml"):
            text = self.texts[file]
            node = node_of(yaml.compose(text), field.split("."))
            if node is not None:
                start, end = node.start_mark, node.end_mark
                self.put(file, text[: start.index] + value + text[end.index :])
                old = yaml.safe_load(text[start.index : end.index])
                return old, yaml.safe_load(value), f"{file}:{start.line + 1}"
        raise AssertionError(f"no file says {field}")

    def command(self, word: str, *words: str) -> tuple[int, str]:
        out, err = io.StringIO(), io.StringIO()
        here = contextlib.chdir(self.root)
        with here, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.run([word, "recipe.yaml", *words])
        return code, out.getvalue() + (err.getvalue() if code else "")

    def plan(self) -> Any:
        code, out = self.command("plan", "--json")
        assert code == cli.OK, out
        return json.loads(out)


def node_of(node: Any, words: list[str]) -> Any:
    for word in words:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == word), None)
        elif isinstance(node, yaml.SequenceNode):
            node = next((item for item in node.value if named(item) == word), None)
    return node


def named(node: Any) -> str | None:
    if isinstance(node, yaml.MappingNode):
        node = node_of(node, ["name"]) or node_of(node, ["prompt"])
    return node.value if node is not None else None


class Teacher(asked.Teacher):
    """Answers with as many turns as it is asked for."""

    def usual(self, seen: Seen) -> Step:
        names = seen.body["output_config"]["format"]["schema"]["properties"]
        asked_for = seen.body["messages"][-1]["content"]
        texts = {name: f"{name}: {asked_for}" for name in names}
        return messages_api.said(json.dumps(texts), seen.body["model"])


class Local(OllamaServer):
    """Judges rows as well as it gives them."""

    def usual(self, seen: Seen) -> Step:
        if "Score" in seen.body["messages"][-1]["content"]:
            return ollama_api.said('{"reason": "Fine.", "naturalness": 4}')
        return super().usual(seen)


Servers = tuple[Teacher, OllamaServer, OpenAIServer]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Teacher() as teacher, Local() as ollama, OpenAIServer() as openai:
        yield teacher, ollama, openai


@pytest.fixture(scope="module")
def built(servers: Servers, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Every:
    """Whole, once."""
    root = tmp_path_factory.mktemp("every") / "p"
    teacher, ollama, openai = servers
    recipe = RECIPE.replace("HOST", ollama.url).replace("FAR", openai.url)
    project = asked.make(root, tiny_model, teacher, recipe)
    shutil.copytree(root / "base", root / "copy")
    for name, text in FILES.items():
        (root / name).write_text(text, encoding="utf-8")
    done = project.run("build", "recipe.yaml")
    assert done.code == 0, done.out + done.err
    names = ("recipe.yaml", *FILES, "base/generation_config.json")
    return Every(root, {name: (root / name).read_text(encoding="utf-8") for name in names})


@pytest.fixture
def every(built: Every) -> Iterator[Every]:
    yield built
    built.restore()


@pytest.fixture
def own(built: Every, tmp_path: Path) -> Every:
    """For what is built on: the project with its store, elsewhere."""
    return Every(Path(shutil.copytree(built.root, tmp_path / "p")), built.texts)


# What a plan says


def runs(plan: Any) -> set[str]:
    return {entry["step"] for entry in plan["steps"] if entry["decision"] == "run"}


def told(plan: Any) -> set[tuple[str, str]]:
    return {(c["field"], c["where"]) for entry in plan["steps"] for c in entry["changes"]}


def leaves(field: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Of a table each of its own fields that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                yield from leaves(f"{field}.{name}", old.get(name), new.get(name))
    else:
        yield field, old, new


def test_nothing_is_to_be_done_where_nothing_was_edited(every: Every) -> None:
    assert "Nothing to do" in every.command("plan")[1]


@pytest.mark.parametrize("field", FIELDS)
def test_an_edited_field_is_named_with_its_values_and_its_line(every: Every, field: str) -> None:
    value, steps = FIELDS[field]
    old, new, where = every.set(field, value)
    plan = every.plan()
    assert runs(plan) == {*steps.split(), "report"}
    wanted = [(name, was, now, where) for name, was, now in leaves(field, old, new)]
    for entry in plan["steps"]:
        found = [(c["field"], c["old"], c["new"], c["where"]) for c in entry["changes"]]
        assert found == (wanted if entry["decision"] == "run" else []), entry
        assert entry["decision"] != "run" or wanted[0][0] in entry["because"]
    code, text = every.command("plan")
    assert code == cli.OK and f"{wanted[0][0]}:" in text and where in text


@pytest.mark.parametrize("field", NOTHING)
def test_a_field_that_changes_no_result_runs_nothing(every: Every, field: str) -> None:
    every.set(field, NOTHING[field])
    assert runs(every.plan()) == set()
    assert "Nothing to do" in every.command("plan")[1]


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_more_than_a_field_names_what_was_edited(every: Every, name: str) -> None:
    EDITS[name].do(every)
    plan = every.plan()
    assert runs(plan) == set(EDITS[name].runs.split())
    assert told(plan) == EDITS[name].named
    for entry in plan["steps"]:
        assert (entry["decision"] == "run") == bool(entry["changes"]), entry
    if not EDITS[name].runs:
        assert "Nothing to do" in every.command("plan")[1]


def test_an_earlier_edit_that_did_nothing_is_not_told_again(own: Every) -> None:
    # `deep` does not read the seconds of its level, so this makes nothing of it anew.
    own.replace("recipe.yaml", "seconds: 5", "seconds: 6")
    assert own.command("build", "--until", "generate:deep")[0] == cli.OK
    own.replace("deep.j2", "number", "No.")
    changed = {e["step"]: [c["field"] for c in e["changes"]] for e in own.plan()["steps"]}
    assert changed["generate:deep"] == ["categories.deep.prompt"]
    assert changed["generate:talk"] == ["complexity.low.seconds"], "nobody has built that yet"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (ROWS[6], ROWS[6].replace("fine", "so so"), ("6 | fine", "6 | so so")),
        (ROWS[6], ROWS[6] + "\n", ("12 rows", "the same rows, at other lines")),
        (ROWS[1] + ROWS[2], ROWS[2] + ROWS[1], ("12 rows", "the same rows, at other lines")),
        (ROWS[6], ROWS[6].replace("}", ', "topic": "a"}'), ("6 | fine (en, low)", "(a, en, low)")),
        (ROWS[6], ROWS[6].replace("}", ', "iterations": 2}'), ("(en, low)", "(en, low, 2 iter")),
        (ROWS[6], ROWS[6].replace("fine", '\\"messages\\": ü'), ("fine", '"messages": ü')),
    ],
)
def test_of_a_data_file_the_rows_are_told_that_differ(
    every: Every, old: str, new: str, told: tuple[str, str]
) -> None:
    every.replace("rows.jsonl", old, new)
    (change,) = next(
        e["changes"] for e in every.plan()["steps"] if e["step"] == "generate:smalltalk"
    )
    assert told[0] in change["old"] and told[1] in change["new"], change
    others = [f"number {n} " for n in (0, 3, 11)]
    assert not any(other in change["old"] + change["new"] for other in others)


def test_a_row_moved_to_another_file_is_told_of_both(tmp_path: Path) -> None:
    every = only_base(tmp_path, "  model: path:base\n", until="generate:small")
    every.replace("recipe.yaml", "[rows.jsonl]", '["*.jsonl"]')
    assert every.command("build", "--until", "generate:small")[0] == cli.OK
    every.replace("rows.jsonl", ROWS[11], "")
    every.put("second.jsonl", ROWS[11])
    out = every.command("plan", "--until", "generate:small")[1]
    assert "12 rows → 11 rows   rows.jsonl" in out and "second.jsonl" in out, out


def test_of_very_many_rows_their_number_is_told(tmp_path: Path) -> None:
    rows = "".join(ROWS[n % 12].replace("hello", f"hello {n}") for n in range(1200))
    every = only_base(tmp_path, "  model: path:base\n", rows, "generate:small")
    every.put("rows.jsonl", rows.replace("fine", "good"))
    out = every.command("plan", "--until", "generate:small")[1]
    assert "teachers.curated.files: 1,200 rows → 1,200 other rows   rows.jsonl:1" in out


# Every field of the language has a row


def test_every_field_that_can_say_something_else_is_edited(every: Every) -> None:
    recipe = load(every.root / "recipe.yaml").recipe
    edited = {owner(recipe, field.split(".")) for field in (*FIELDS, *NOTHING)}
    blocks, single = set[str](), set[str]()
    for name, is_block in fields_below(Recipe):
        (blocks if is_block else single).add(name)
    assert single - edited == ELSEWHERE, "fields of the model without a row"
    assert edited <= single | blocks


def owner(here: Any, words: Sequence[str]) -> str:
    """The last field of the model on the way to a place of the recipe."""
    last = ""
    for word in words:
        if isinstance(here, BaseModel):
            names = {info.alias or name: name for name, info in type(here).model_fields.items()}
            if word not in names:
                return last
            last = name_of(type(here), names[word])
            here = getattr(here, names[word])
        elif isinstance(here, Mapping):
            here = here.get(word)
        else:
            here = next(item for item in here if word == called(item))
    return last


def called(item: Any) -> str:
    if isinstance(item, str):
        return item
    name: str = item.name if hasattr(item, "name") else item.prompt
    return name


def name_of(cls: type[BaseModel], field: str) -> str:
    return f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}.{field}"


def fields_below(cls: type[BaseModel]) -> Iterator[tuple[str, bool]]:
    """All that can say more than one thing, and whether there are fields below it."""
    for name, info in cls.model_fields.items():
        if "" in (refused := later.values_of(cls, name)):
            continue
        inner = later.classes_in(info.annotation)
        if inner or (len(choices(info.annotation) - set(refused)) != 1 and "*" not in refused):
            yield name_of(cls, name), bool(inner)
        for below in inner:
            kind = below.model_fields.get("kind")
            if kind is None or choices(kind.annotation) - set(later.values_of(below, "kind")):
                yield from fields_below(below)


def choices(annotation: Any) -> set[Any]:
    """The values that are listed; empty where any other will do."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return set()


# What a plan says is what a build does

DATA = (
    *("persona.name", "persona.vars.mood", "teachers.claude.max_tokens", "complexity.low.words"),
    *("complexity.high.seconds", "categories.deep.count", "categories.talk.topics"),
    *("categories.smalltalk.count", "categories.small.prompt", "dataset.seed", "dataset.marker"),
    *("dataset.validate.min_chars", "dataset.validate.on_reject", "base.chat_template"),
    *("a prompt's text", "a remark in a prompt", "a curated row changed", "the system text"),
    *("another order of the categories", "a topic more", "a category renamed", "pools"),
)
WHOLE = (
    *("name", "version", "description", "base.model", "train.lora.rank", "train.seed"),
    *("export.gguf", "modelfile.parameters.temperature", "deploy.ollama.model"),
    *("evaluate.prompts", "evaluate.max_tokens", "a file of the base", "no evaluation"),
    *("no deploy", "teachers.claude.prices.output"),
)


def test_what_the_plan_says_is_what_the_build_does(
    own: Every,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", servers[0].url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789")
    for name in (*DATA, *WHOLE):
        until = ("--until", "assemble" if name in DATA else "report")
        if name in EDITS:
            EDITS[name].do(own)
        else:
            own.set(name, FIELDS[name][0] if name in FIELDS else NOTHING[name])
        code, out = own.command("plan", "--json", *until)
        assert code == cli.OK, (name, out)
        said = {entry["step"]: entry["decision"] for entry in json.loads(out)["steps"]}
        why = {entry["step"]: entry["because"] for entry in json.loads(out)["steps"]}
        run = {step for step, word in said.items() if word == "run"}
        may = {step for step, word in said.items() if word == "may run"}
        code, out = own.command("build", "--json", *until)
        assert code == cli.OK, (name, out)
        executed = set(asked.finished(out))
        assert run <= executed <= run | may, (name, said, executed)
        given = {e["step"]: e["reasons"] for e in asked.events(out) if e["event"] == "step_started"}
        assert {step: given[step] for step in run} == {step: [why[step]] for step in run}, name
        own.restore()
        code, out = own.command("build", "--json", *until)
        assert code == cli.OK and not asked.finished(out), (name, "all of it was made before")


# Fields that a local base does not have


def only_base(
    root: Path, base: str, data: str = "".join(ROWS), until: str = "fetch", **env: str
) -> Every:
    rows = "categories: {small: {teacher: curated, count: all}}\n"
    teachers = "teachers: {curated: {kind: curated, files: [rows.jsonl]}}\n"
    text = f"recipe: 1\nname: based\nversion: v1\nbase:\n{base}{teachers}{rows}"
    (root / "Justfile").touch()
    (root / "base").mkdir(exist_ok=True)
    (root / "base/config.json").write_text("{}", encoding="utf-8")
    (root / "rows.jsonl").write_text(data, encoding="utf-8")
    project = Project(root, env)
    project.write(text)
    done = project.run("build", "recipe.yaml", "--until", until)
    assert done.code == 0, done.out + done.err
    return Every(root, {"recipe.yaml": text, "below.yaml": ""})


def told_of_fetch(every: Every) -> list[tuple[str, Any, Any, str]]:
    code, out = every.command("plan", "--json", "--until", "fetch")
    assert code == cli.OK, out
    (entry,) = json.loads(out)["steps"]
    assert entry["decision"] == "run"
    return [(c["field"], c["old"], c["new"], c["where"]) for c in entry["changes"]]


def test_another_revision_of_the_base_is_named(tmp_path: Path, tiny_model: Path) -> None:
    with hub_server.serve(tiny_model) as hub:
        lines = f"  model: hf:{hub_server.REPO}\n  revision: {hub_server.COMMIT}\n"
        every = only_base(tmp_path, lines, HF_ENDPOINT=hub.url)
    other = "f" * 40
    every.set("base.revision", other)
    assert told_of_fetch(every) == [("base.revision", hub_server.COMMIT, other, "recipe.yaml:6")]


def test_another_digest_of_the_base_is_named(tmp_path: Path) -> None:
    (tmp_path / "base.gguf").write_bytes(b"GGUF and more")
    sha256 = digest.of_file(tmp_path / "base.gguf")
    every = only_base(tmp_path, f"  model: gguf:base.gguf\n  sha256: {sha256}\n")
    other = "f" * 64
    every.set("base.sha256", other)
    assert told_of_fetch(every) == [("base.sha256", sha256, other, "recipe.yaml:6")]


def test_a_matrix_shares_what_its_field_does_not_reach(own: Every) -> None:
    append("recipe.yaml", "matrix: {train.lora.rank: [2, 4]}\n")(own)
    assert own.command("build", "--json")[0] == cli.OK
    own.replace("recipe.yaml", "[2, 4]", "[2, 8]")
    two, eight = own.plan()["builds"].values()
    assert runs(two) == set(), "another value in the matrix is nothing to the build of this one"
    assert "train" in runs(eight) and "generate:talk" not in runs(eight)
