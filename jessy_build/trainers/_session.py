"""One training from its rows to its adapter. mlx-lm's own loop trains; the rest is decided here."""

import json
import math
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jessy_build import digest
from jessy_build.chat import Chat
from jessy_build.diagnostics import StepError
from jessy_build.trainers import _activations, _batches, _checkpoint, _loss, _model, _optimizer, _rows
from jessy_build.trainers._checkpoint import Checkpoint
from jessy_build.trainers.lora import Best, Point, TrainingRun, TrainJob, Validation

SAVE_SECONDS = 20.0
SHAPE = 32
"""Where MLX compiles a graph for every shape, sizes are multiples of this."""


@dataclass(slots=True)
class History:
    """What a training has to remember besides its arrays."""

    curve: list[Point] = field(default_factory=list)
    validation: list[Validation] = field(default_factory=list)
    batches: int = 0
    tokens: int = 0
    supervised: int = 0
    computed: int = 0
    """Tokens and padding."""
    busy: float = 0.0
    """Seconds in training steps."""
    seconds: float = 0.0
    """Seconds of training and validation."""

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "History":
        curve = [Point(**point) for point in state["curve"]]
        validation = [Validation(**point) for point in state["validation"]]
        return cls(**{**state, "curve": curve, "validation": validation})

    @property
    def lowest(self) -> Validation | None:
        return min(self.validation, key=lambda seen: seen.loss, default=None)


class Session:
    """Holds the arrays while mlx-lm's loop runs, and hears from it after every update."""

    def __init__(self, job: TrainJob, say: Callable[..., None]) -> None:
        self.job = job
        self.config = job.config
        self.say = say
        self.saving = threading.Lock()
        self.latest: Checkpoint | None = None
        """The last finished update. Replaced as a whole, so another thread may save it."""
        self.saved = time.monotonic()

    def run(self) -> None:
        self._read()
        self._prepare()
        begun = self._resume()
        self.say(
            "started",
            done=begun,
            total=self.updates,
            text=f"{len(self.rows)} rows, {self.machine.blas}, {self.machine.dtype}",
        )
        if begun < self.updates:
            self._train(begun)
        self._finish(begun or None)

    def save_now(self) -> None:
        """May be called from another thread, and is then the last thing this process does."""
        self.saving.acquire()
        if self.latest is not None:
            _checkpoint.save(self.job.work, self.name, self.latest)

    # ── before

    def _read(self) -> None:
        from tokenizers import Tokenizer

        chat = Chat.load(self.job.base)
        tokenizer = Tokenizer.from_file(str(self.job.base / "tokenizer.json"))
        encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids  # noqa: E731
        read = partial(_rows.read, chat=chat, encode=encode, max_length=self.config.max_seq_length)
        self.rows = read(self.job.dataset / "train.jsonl")
        self.valid = read(self.job.dataset / "valid.jsonl")
        if not self.rows:
            raise StepError("the data set has no rows to train on", hint="see the assemble step")
        self.sizes = _batches.Sizes(self.config.batch_size, self.config.batch_tokens)
        self.schedule = _batches.schedule(
            self.rows,
            self.sizes,
            average=self.config.loss.average,
            accumulation=self.config.grad_accumulation,
            seed=self.config.seed,
            epochs=self.config.epochs,
            updates=self.config.steps,
        )
        self.updates = len(self.schedule) // self.config.grad_accumulation

    def _prepare(self) -> None:
        self.model, self.machine = _model.load(self.job.base)
        if self.machine.cpu:
            _activations.quicken(self.model)
        self.adapter_config = _model.adapt(self.model, self.config.lora, self.config.seed)
        self.optimizer = _optimizer.make(self.config.optimizer, self.updates)
        self.optimizer.init(self.model.trainable_parameters())
        head = _loss.cut(self.model)
        self.loss = _loss.choose(head, self.machine.cpu)
        self.history = History()
        self.best: dict[str, Any] = {}
        self.name = self._job_name()

    def _job_name(self) -> str:
        """A checkpoint of other rows, settings or another base must never go on as this job."""
        files = [self.job.dataset / "train.jsonl", self.job.dataset / "valid.jsonl"]
        files += [self.job.base / "config.json", self.job.base / "tokenizer.json"]
        weights = sorted(self.job.base.glob("*.safetensors"))
        return digest.of_value(
            {
                "config": self.config.model_dump(mode="json"),
                "files": [digest.of_file(file) if file.is_file() else "" for file in files],
                "weights": [[file.name, file.stat().st_size] for file in weights],
            }
        )

    def _resume(self) -> int:
        import mlx.core as mx
        from mlx.utils import tree_unflatten

        found = _checkpoint.load(self.job.work, self.name)
        if found is None:
            return 0
        self.model.update(tree_unflatten(list(found.adapter.items())))
        self.optimizer.state = tree_unflatten(list(found.optimizer.items()))
        high, low = found.state["random"]
        mx.random.seed((high << 32) | low)
        self.best = dict(found.best)
        self.history = History.restored(found.state["history"])
        self.latest = found
        return found.step

    # ── while mlx-lm trains

    def _train(self, begun: int) -> None:
        from mlx_lm.tuner.trainer import TrainingArgs, train

        accumulation = self.config.grad_accumulation
        if begun == 0:
            self._validate(0)
        self.begun = begun
        self.clock = time.perf_counter()
        train(
            model=self.model,
            optimizer=self.optimizer,
            train_dataset=self.rows,
            args=TrainingArgs(
                iters=(self.updates - begun) * accumulation,
                steps_per_report=accumulation,
                steps_per_save=sys.maxsize,
                max_seq_length=self.config.max_seq_length,
                grad_accumulation_steps=accumulation,
                adapter_file=str(self.job.work / "last.safetensors"),
            ),
            loss=self.loss.training,
            iterate_batches=self._arrays,
            training_callback=self,
        )

    def _arrays(self, **_: Any) -> Iterator[tuple[Any, ...]]:
        """Stands in for mlx-lm's batches, and begins where an earlier attempt ended."""
        for batch in self.schedule[self.begun * self.config.grad_accumulation :]:
            rows = [self.rows[i] for i in batch.rows]
            packed = self._pack(rows, batch.share)
            self.history.batches += 1
            self.history.tokens += packed.tokens
            self.history.supervised += packed.supervised
            self.history.computed += packed.inputs.size if rows else 0
            yield _loss.arrays(packed)

    def _pack(self, rows: list[_rows.Row], share: float) -> _batches.Packed:
        multiple = 1 if self.machine.cpu else SHAPE
        return _batches.pack(rows, self.config.loss.average, share, multiple)

    def on_train_loss_report(self, told: dict[str, Any]) -> None:
        """Called by mlx-lm after each update."""
        step = self.begun + told["iteration"] // self.config.grad_accumulation
        took = time.perf_counter() - self.clock
        self.history.busy += took
        self.history.seconds += took
        loss = float(told["train_loss"])
        if not math.isfinite(loss):
            raise self._diverged(step, loss)
        point = Point(step, self._epoch(step), loss, float(told["learning_rate"]))
        self.history.curve.append(point)
        self.say("step", done=step, total=self.updates, loss=loss, tokens_per_second=self._speed())
        if self._looks_at(step):
            self._validate(step)
        self._remember(step)
        self.clock = time.perf_counter()

    def on_val_loss_report(self, told: dict[str, Any]) -> None:
        """mlx-lm is given no validation rows: its own look at them skips the final weights."""

    def _epoch(self, step: int) -> float:
        if not step:
            return 0.0
        seen = self.schedule[: step * self.config.grad_accumulation]
        return sum(len(batch.rows) for batch in seen) / len(self.rows)

    def _speed(self) -> float:
        return self.history.tokens / max(self.history.busy, 1e-9)

    def _looks_at(self, step: int) -> bool:
        if step == self.updates:
            return True
        if self.config.eval_every:
            return step % self.config.eval_every == 0
        next_batch = step * self.config.grad_accumulation
        return self.schedule[next_batch].epoch != self.schedule[next_batch - 1].epoch

    def _validate(self, step: int) -> None:
        if not self.valid:
            return
        begin = time.perf_counter()
        loss = self._validation_loss()
        self.history.seconds += time.perf_counter() - begin
        if not math.isfinite(loss):
            raise self._diverged(step, loss)
        lowest = min((seen.loss for seen in self.history.validation if seen.step), default=math.inf)
        self.history.validation.append(Validation(step, self._epoch(step), loss))
        if step and loss < lowest:
            self.best = self._adapter()
        self.say("validated", done=step, total=self.updates, loss=loss)

    def _validation_loss(self) -> float:
        average = self.config.loss.average
        total = sum(_batches.weight(row, average) for row in self.valid)
        lengths = [len(row) for row in self.valid]
        self.model.eval()
        loss = 0.0
        for members in _batches.group(lengths, self.sizes, self.config.seed, 0):
            packed = self._pack([self.valid[i] for i in members], 1.0)
            loss += self.loss.asking(self.model, *_loss.arrays(packed))[0].item()
        self.model.train()
        return loss / total

    def _adapter(self) -> dict[str, Any]:
        from mlx.utils import tree_flatten

        return dict(tree_flatten(self.model.trainable_parameters()))

    def _remember(self, step: int) -> None:
        import mlx.core as mx
        from mlx.utils import tree_flatten

        self.latest = Checkpoint(
            step=step,
            adapter=self._adapter(),
            optimizer=dict(tree_flatten(self.optimizer.state)),
            best=self.best,
            state={"random": mx.random.state[0].tolist(), "history": asdict(self.history)},
        )
        if time.monotonic() - self.saved > SAVE_SECONDS or step == self.updates:
            self._save()

    def _save(self) -> None:
        assert self.latest is not None
        if not _finite(self.latest.adapter):
            raise self._diverged(self.latest.step, math.nan)
        with self.saving:
            _checkpoint.save(self.job.work, self.name, self.latest)
        self.saved = time.monotonic()

    def _diverged(self, step: int, loss: float) -> StepError:
        rate = self.config.optimizer.learning_rate
        return StepError(
            f"training diverged: after {step} of {self.updates} steps the loss is {loss}",
            hint=f"lower train.optimizer.learning_rate (now {rate:g}), "
            "add warmup_steps, or set max_grad_norm: 1.0",
        )

    # ── after

    def _finish(self, resumed: int | None) -> None:
        result = self._adapter()
        best = self._chosen()
        if best.step != self.updates:
            result = self.best
        _write(self.job.out, result, self.adapter_config)
        history = self.history
        run = TrainingRun(
            steps=self.updates,
            epochs=self._epoch(self.updates),
            rows=len(self.rows),
            valid_rows=len(self.valid),
            curve=tuple(history.curve),
            validation=tuple(history.validation),
            best=best,
            tokens=history.tokens,
            supervised_tokens=history.supervised,
            padding=1 - history.tokens / max(history.computed, 1),
            tokens_per_second=self._speed(),
            seconds=history.seconds,
            peak_memory=_peak_memory(),
            trainable=sum(array.size for array in result.values()),
            scale=self.config.lora.scale,
            device=self.machine.device,
            dtype=self.machine.dtype,
            blas=self.machine.blas,
            resumed=resumed,
        )
        self.say("finished", **asdict(run))

    def _chosen(self) -> Best:
        final = self.history.validation[-1].loss if self.history.validation else None
        if final is None:
            return Best(self.updates, None, "the last step; there are no validation rows")
        if self.config.keep == "last":
            return Best(self.updates, final, "the last step")
        lowest = min((v for v in self.history.validation if v.step), key=lambda seen: seen.loss)
        return Best(lowest.step, lowest.loss, "the lowest loss on the validation rows")


def _finite(arrays: dict[str, Any]) -> bool:
    import mlx.core as mx

    return bool(mx.all(mx.stack([mx.isfinite(array).all() for array in arrays.values()])).item())


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _write(out: Path, adapter: dict[str, Any], config: dict[str, Any]) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    out.mkdir(parents=True, exist_ok=True)
    half_made = out / "adapters.safetensors.new"
    plain = {name: np.array(adapter[name]) for name in sorted(adapter)}
    save_file(plain, str(half_made), metadata={"format": "mlx"})
    half_made.replace(out / "adapters.safetensors")
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (out / "adapter_config.json").write_text(text, encoding="utf-8")
