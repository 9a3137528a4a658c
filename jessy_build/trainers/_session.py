"""One training from its rows to its adapter. mlx-lm's own loop trains; the rest is decided here."""

import gc
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import Any

from jessy_build import digest
from jessy_build.chat import Chat
from jessy_build.diagnostics import StepError
from jessy_build.trainers import (
    _batches,
    _checkpoint,
    _course,
    _kept,
    _model,
    _optimizer,
    _result,
    _rows,
    _utilization,
    metrics,
)
from jessy_build.trainers._checkpoint import Checkpoint
from jessy_build.trainers._course import Stretch
from jessy_build.trainers._history import History
from jessy_build.trainers._ranks import ALONE, Ranks
from jessy_build.trainers._saving import Saving
from jessy_build.trainers.config import BySuite, Phase
from jessy_build.trainers.lora import PhaseEnd, Point, TrainJob, Validation


class _Enough(Exception):
    """Training has nothing more to win."""


class Session:
    """Holds the arrays while mlx-lm's loop runs, and hears from it after every update."""

    def __init__(
        self, job: TrainJob, say: Callable[..., None], pieces: int, ranks: Ranks = ALONE
    ) -> None:
        self.job = job
        self.pieces = pieces
        """Into so many each batch is cut, one going through the model after the other."""
        self.ranks = ranks
        self.config = job.config
        self.say = say
        self.saving: Saving | None = None
        """Of the rank that leads."""
        self.standing: set[int] = set()
        """The adapters set aside that the last checkpoint knows of, by their steps."""
        self.latest: Checkpoint | None = None
        """The last finished update. Replaced as a whole, so another thread may save it."""
        self.best: dict[str, Any] = {}
        """The adapter with the lowest validation loss; empty before the first look."""
        self.history = History()

    def run(self) -> None:
        self.name = self._job_name()
        self.ranks.agree("base, data set or recipe", self.name)
        self._read()
        self.learner = _model.learner(self.job.base, self.config, self.ranks.beside)
        if self.config.grad_checkpoint and self.learner.device != "cpu":
            _model.compute_twice(self.learner.model)
        self.optimizer = _optimizer.make(self.config.optimizer, self.course.stretches)
        self.optimizer.init(self.learner.model.trainable_parameters())
        self.begun = self._resume()
        if self.ranks.leads:
            self.saving = Saving(self.job.work, self.name, self.job.save_seconds)
        self.ranks.agree("checkpoint", str(self.begun))
        self.metrics = metrics.begin(
            self.job.work if self.ranks.leads else None, self.history.lines()
        )
        self.say(
            "started",
            done=self.begun,
            total=self.updates,
            text=f"{len(self.rows)} rows, {self.learner.dtype}, {self.learner.blas}",
            fullest=asdict(_course.fullest(self.course, self.rows)),
            device=self.learner.device,
        )
        if self.begun < self.updates and not self._is_over(self.begun):
            try:
                self._train()
            finally:
                if self.saving:
                    self.saving.wait()
                    _kept.sweep(self.job.work, self.standing)
        self._finish()

    def save_now(self) -> None:
        """May be called from another thread, and is then the last thing this process does."""
        if self.saving is None:
            return
        self.saving.save_at_last()
        if self.latest is not None:
            _checkpoint.save(self.job.work, self.name, self.latest)

    # ── before

    def _read(self) -> None:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.job.base / "tokenizer.json"))
        read = partial(
            _rows.read,
            chat=Chat.load(self.job.base),
            encode=lambda text: _rows.encoding(tokenizer, text).ids,
            max_length=self.config.max_seq_length,
        )
        self.rows = read(self.job.dataset / "train.jsonl")
        self.valid = read(self.job.dataset / "valid.jsonl")
        if not self.rows:
            raise StepError("the data set has no rows to train on", hint="see the assemble step")
        self.sizes = _batches.Sizes(self.config.batch_size, self.config.batch_tokens)
        self.course = _course.cut(_course.course(self.rows, self.config), self.pieces)
        self.updates = self.course.updates

    def _job_name(self) -> str:
        """A checkpoint of other rows, settings or another base must never go on as this job."""
        files = [self.job.dataset / "train.jsonl", self.job.dataset / "valid.jsonl"]
        files += [self.job.base / "config.json", self.job.base / "tokenizer.json"]
        weights = sorted(self.job.base.glob("*.safetensors"))
        return digest.of_value(
            {
                "config": self.config.decisive(),
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
        self.learner.model.update(tree_unflatten(list(found.adapter.items())))
        self.optimizer.state = tree_unflatten(list(found.optimizer.items()))
        high, low = found.state["random"]
        mx.random.seed((high << 32) | low)
        self.best = dict(found.best)
        self.history = History.restored(found.state["history"])
        self.standing = {one.step for one in self.history.kept}
        self.standing = {one.step for one in self.history.kept}
        self.latest = found
        return found.step

    # ── while mlx-lm trains

    def _train(self) -> None:
        from mlx_lm.tuner.trainer import TrainingArgs, train

        accumulation = self.course.accumulation
        if self.begun == 0:
            self._validate(0)
        # What was loaded stays; the collector need not look at it again in every step.
        gc.freeze()
        self.clock = time.perf_counter()
        # mlx-lm's loop knows no other way to end before its last step.
        with suppress(_Enough):
            train(
                model=self.learner.model,
                optimizer=self.optimizer,
                train_dataset=self.rows,
                args=TrainingArgs(
                    iters=(self.updates - self.begun) * accumulation,
                    steps_per_report=accumulation,
                    steps_per_save=sys.maxsize,
                    max_seq_length=self.config.max_seq_length,
                    grad_accumulation_steps=accumulation,
                    adapter_file=str(self.job.work / "last.safetensors"),
                ),
                loss=self.learner.training,
                iterate_batches=self._arrays,
                training_callback=self,
            )

    def _arrays(self, **_: Any) -> Iterator[tuple[Any, Any]]:
        """Stands in for mlx-lm's batches, and begins where an earlier attempt ended."""
        begun = self.begun * self.course.accumulation
        for place, batch in enumerate(self.course.batches[begun:], begun):
            self.ranks.stir(self.config.seed, place)
            # mlx-lm averages over the ranks what shall be a sum over all rows.
            share = batch.share * self.ranks.size
            rows = [self.rows[i] for i in batch.rows]
            parts = [self._pack(some, share) for some in self.ranks.cut(rows)]
            self.history.count([part for some in parts for part in some])
            yield _batches.as_arrays(parts[self.ranks.rank])

    def _pack(self, rows: list[_rows.Row], share: float) -> list[_batches.Packed]:
        count = min(self.learner.parts, len(rows))
        parts = [rows[i::count] for i in range(count)] or [[]]
        average = self.config.loss.average
        return [_batches.pack(part, average, share, self.learner.multiple) for part in parts]

    def on_train_loss_report(self, told: dict[str, Any]) -> None:
        """Called by mlx-lm after each update."""
        step = self.begun + told["iteration"] // self.course.accumulation
        took = time.perf_counter() - self.clock
        self.history.busy += took
        self.history.seconds += took
        loss = self.ranks.first(float(told["train_loss"]))
        point = Point(
            step,
            self.course.passed(step),
            loss,
            float(told["learning_rate"]),
            tokens_per_second=self.history.speed,
            memory=_result.memory(),
            gpu_utilization=None if self.learner.device == "cpu" else _utilization.percent(),
            seconds=self.history.seconds,
        )
        self.history.curve.append(point)
        self.metrics.write(metrics.report(asdict(point)))
        if not math.isfinite(loss) or self.history.is_lost(self.config.divergence):
            raise self._diverged(step, loss)
        speed = self.history.speed
        self.say("step", done=step, total=self.updates, loss=loss, tokens_per_second=speed)
        if self._looks_at(step):
            self._validate(step)
        over = self._is_over(step)
        self._remember(step, over)
        if over:
            raise _Enough
        self.clock = time.perf_counter()

    def on_val_loss_report(self, told: dict[str, Any]) -> None:
        """mlx-lm is given no validation rows: its own look at them skips the final weights."""

    def _is_over(self, step: int) -> bool:
        """Whether training ends here by `early_stop`."""
        stop = self.config.early_stop
        if stop is None or step >= self.updates:
            return False
        return self.history.in_vain(self.course.stretches[-1].begin) >= stop.patience

    def _looks_at(self, step: int) -> bool:
        if step == self.updates or self.course.ended(step):
            return True
        if self.config.eval_every:
            return step % self.config.eval_every == 0
        return self.course.ends_a_pass(step)

    def _validate(self, step: int) -> None:
        ended = self.course.ended(step)
        if not self.valid:
            self._keep(step, None)
            self._end_phase(ended, step, None)
            return
        begin = time.perf_counter()
        loss = self._validation_loss(self.valid)
        reached = self._reached(ended) if ended else None
        self.history.seconds += time.perf_counter() - begin
        if not math.isfinite(loss):
            raise self._diverged(step, loss)
        seen = Validation(step, self.course.passed(step), loss, self.history.seconds)
        self.history.validation.append(seen)
        self.metrics.write(metrics.look(asdict(seen)))
        if self.history.lowest(self.course.stretches[-1].begin) is seen:
            self.best = self._adapter()
        self._keep(step, loss)
        self.say("validated", done=step, total=self.updates, loss=loss)
        self._end_phase(ended, step, reached)

    def _keep(self, step: int, loss: float | None) -> None:
        """As the best one, of the last phase alone."""
        keep = self.config.keep
        learning = step > self.course.stretches[-1].begin
        if not isinstance(keep, BySuite) or not learning or not self.ranks.leads:
            return
        made = _kept.put(self.job.work, step, loss, self._adapter(), self.learner.adapter_config)
        self.history.kept = _kept.thinned([*self.history.kept, made], keep.among)

    def _end_phase(self, ended: Stretch | None, step: int, reached: float | None) -> None:
        if ended and ended.phase:
            self.history.phases.append(PhaseEnd(ended.phase.name, step, reached))
            self._pass_the_gate(ended.phase, reached)

    def _reached(self, ended: Stretch) -> float | None:
        """The loss on the validation rows of the phase; None where there are none."""
        assert ended.phase
        rows = [row for row in self.valid if row.category in ended.phase.categories]
        return self._validation_loss(rows) if rows else None

    def _pass_the_gate(self, phase: Phase, reached: float | None) -> None:
        if phase.gate is None or phase.passes(reached):
            return
        found = "has no validation rows"
        if reached is not None:
            found = f"ended with a loss of {reached:.3f}"
        raise StepError(
            f"the phase '{phase.name}' {found}; its gate wants {phase.gate.valid_loss.max:g} at"
            " most, on the validation rows of its categories",
            hint="give the phase more epochs or another learning_rate, or set a gate that it can"
            " reach",
        )

    def _validation_loss(self, rows: Sequence[_rows.Row]) -> float:
        average = self.config.loss.average
        lengths = [len(row) for row in rows]
        self.learner.model.eval()
        loss = 0.0
        groups = _batches.group(lengths, self.sizes, self.config.seed, 0)
        for members in filter(None, chain(*(_batches.divide(g, self.pieces) for g in groups))):
            mine = self.ranks.cut(members)[self.ranks.rank]
            parts = self._pack([rows[i] for i in mine], 1.0)
            summed, _ = self.learner.asking(self.learner.model, *_batches.as_arrays(parts))
            loss += float(summed)
        self.learner.model.train()
        return self.ranks.total(loss) / sum(_batches.weight(row, average) for row in rows)

    def _adapter(self) -> dict[str, Any]:
        from mlx.utils import tree_flatten

        named: Any = tree_flatten(self.learner.model.trainable_parameters())
        return dict(named)

    def _remember(self, step: int, over: bool) -> None:
        import mlx.core as mx
        from mlx.utils import tree_flatten

        random: Any = mx.random.state
        state: Any = tree_flatten(self.optimizer.state)
        self.latest = Checkpoint(
            step=step,
            adapter=self._adapter(),
            optimizer=dict(state),
            best=self.best,
            state={"random": random[0].tolist(), "history": self.history.now()},
        )
        if self.saving and (self.saving.due or step == self.updates or over):
            if not _checkpoint.finite(self.latest):
                raise self._diverged(step, math.nan)
            self.saving.save(self.latest)
            # The one before stands by now, and this one may not yet: what either knows of stays.
            known = {one.step for one in self.history.kept}
            _kept.sweep(self.job.work, known | self.standing)
            self.standing = known

    def _diverged(self, step: int, loss: float) -> StepError:
        rate = self.config.optimizer.learning_rate
        began = self.history.before
        than = f", and was {began:.2f} before training" if math.isfinite(loss) and began else ""
        return StepError(
            f"training diverged: after {step} of {self.updates} steps the loss is {loss:.4g}{than}",
            hint=f"lower train.optimizer.learning_rate (now {rate:g}), add warmup_steps, or set"
            f" max_grad_norm: 1.0{self._best_so_far()}",
        )

    def _best_so_far(self) -> str:
        """Puts the best adapter so far where its user can have it."""
        lowest = self.history.lowest(self.course.stretches[-1].begin)
        if lowest is None or not self.best or not self.ranks.leads:
            return ""
        folder = self.job.work / "best"
        _result.write(folder, self.best, self.learner.adapter_config)
        return f"; the adapter of step {lowest.step}, loss {lowest.loss:.2f}, is kept in {folder}"

    # ── after

    def _finish(self) -> None:
        if not self.ranks.leads:
            return
        ended = self.latest.step if self.latest else self.updates
        best = self.history.chosen(self.config, ended, self.course.stretches[-1].begin)
        adapter = self._adapter() if best.step == ended else self.best
        _result.write(self.job.out, adapter, self.learner.adapter_config)
        history = self.history
        _kept.hand_over(self.job.work, self.job.out, history.kept)
        self.say(
            "finished",
            steps=ended,
            planned=self.updates,
            epochs=self.course.passed(ended),
            rows=len(self.rows),
            valid_rows=len(self.valid),
            curve=[asdict(point) for point in history.curve],
            validation=[asdict(point) for point in history.validation],
            phases=[asdict(phase) for phase in history.phases],
            best=asdict(best),
            kept=[asdict(one) for one in history.kept],
            tokens=history.tokens,
            supervised_tokens=history.supervised,
            padding=history.padding,
            tokens_per_second=history.speed,
            seconds=history.seconds,
            peak_memory=_result.peak_memory(),
            trainable=sum(array.size for array in adapter.values()),
            scale=None if self.config.method == "full" else self.config.lora.scale,
            device=self.learner.device,
            dtype=self.learner.dtype,
            blas=self.learner.blas,
            resumed=self.begun or None,
            processes=self.ranks.size,
        )
