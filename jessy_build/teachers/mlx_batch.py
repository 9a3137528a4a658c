"""Several answers decoded as one batch, in a thread of its own, by mlx-lm's batch generator.

The thread alone touches the model. It is spoken to through a queue: put this question in, take
that one out, end. Whoever is put in joins the batch at the next token, whoever is done leaves it.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jessy_build import mlx_model
from jessy_build.chat import Chat
from jessy_build.diagnostics import StepError
from jessy_build.example import Request
from jessy_build.teachers.mlx_shape import Shapes


class Answer(NamedTuple):
    text: str
    ended: bool
    """Whether the model ended it, and not its number of tokens."""
    read: int
    """Tokens of what was asked."""
    written: int


@dataclass(eq=False)
class _Asked:
    """One question, from the loop of whoever waits for its answer."""

    request: Request
    waits: "asyncio.Future[Answer]"
    loop: asyncio.AbstractEventLoop
    read: int = 0
    tokens: list[int] = field(default_factory=list)

    def tell(self, answer: Answer | StepError) -> None:
        self.loop.call_soon_threadsafe(_settle, self.waits, answer)


def _settle(waits: "asyncio.Future[Any]", answer: Any) -> None:
    if waits.done():
        return
    if isinstance(answer, Exception):
        waits.set_exception(answer)
    else:
        waits.set_result(answer)


_Order = tuple[str, _Asked | None]


class Batch:
    """Opened without loading anything; `close` gives the memory back."""

    def __init__(self, folder: Path, template: str | None, places: int) -> None:
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._worker = _Worker(folder, template, places, self._orders)
        self._thread: threading.Thread | None = None
        self._ready: asyncio.Future[None] | None = None

    async def loaded(self) -> None:
        """All who ask at first wait for the same loading; StepError where it fails."""
        if self._thread is None:
            loop = asyncio.get_running_loop()
            ready: asyncio.Future[None] = loop.create_future()

            def told(problem: StepError | None) -> None:
                loop.call_soon_threadsafe(_settle, ready, problem)

            self._ready = ready
            # A daemon: a process that ends in any other way shall not wait for an answer.
            self._thread = threading.Thread(
                target=self._worker.run, args=(told,), name="mlx", daemon=True
            )
            self._thread.start()
        assert self._ready is not None
        await asyncio.shield(self._ready)

    async def answer(self, request: Request) -> Answer:
        loop = asyncio.get_running_loop()
        asked = _Asked(request, loop.create_future(), loop)
        self._orders.put(("in", asked))
        try:
            return await asked.waits
        except asyncio.CancelledError:
            self._orders.put(("out", asked))
            raise

    def close(self) -> None:
        if self._thread is not None:
            self._orders.put(("end", None))
            self._thread.join()


class _Worker:
    """What the thread does."""

    def __init__(
        self,
        folder: Path,
        template: str | None,
        places: int,
        orders: "queue.SimpleQueue[_Order]",
    ) -> None:
        self._folder = folder
        self._template = template
        self._places = places
        self._orders = orders
        self._inside: dict[int, _Asked] = {}
        """By the generator's number of it."""

    def run(self, told: Callable[[StepError | None], None]) -> None:
        try:
            self._load()
        except Exception as problem:
            told(_explained(problem))
            return
        told(None)
        try:
            while self._heed():
                self._step()
        except Exception as problem:
            self._fail(_explained(problem))
        finally:
            self._generator.close()
            del self._generator, self._shapes
            mlx_model.give_back()

    def _load(self) -> None:
        from mlx_lm.generate import BatchGenerator

        self._chat = Chat.load(self._folder, self._template)
        self._tokenizer = mlx_model.tokenizer(self._folder)
        ids = map(self._tokenizer.token_to_id, self._chat.stops)
        self._ends = mlx_model.ends(self._folder) | {i for i in ids if i is not None}
        self._shapes = Shapes(self._folder, self._ends)
        self._generator = BatchGenerator(
            mlx_model.load(self._folder),
            stop_tokens=[[token] for token in sorted(self._ends)],
            completion_batch_size=self._places,
            prefill_batch_size=min(self._places, 8),
        )

    def _heed(self) -> bool:
        """Takes what was ordered, and waits for an order while nothing is to be decoded."""
        while True:
            try:
                word, asked = self._orders.get(block=not self._inside)
            except queue.Empty:
                return True
            if word == "end" or asked is None:
                return False
            if word == "in":
                self._put_in(asked)
            else:
                self._take_out(asked)

    def _put_in(self, asked: _Asked) -> None:
        request = asked.request
        try:
            prompt = self._chat.render(request.messages, generate=True)
            tokens = self._tokenizer.encode(prompt, add_special_tokens=False).ids
            processors = [self._shapes.keeper(request.schema)] if request.schema else []
            (uid,) = self._generator.insert(
                [tokens],
                [request.max_tokens],
                samplers=[sampler(request)],
                logits_processors=[processors],
            )
        except Exception as problem:
            asked.tell(_explained(problem))
            return
        asked.read = len(tokens)
        self._inside[uid] = asked

    def _take_out(self, asked: _Asked) -> None:
        for uid, inside in list(self._inside.items()):
            if inside is asked:
                self._generator.remove([uid])
                del self._inside[uid]

    def _step(self) -> None:
        _, responses = self._generator.next()
        for response in responses:
            asked = self._inside[response.uid]
            if response.finish_reason != "stop":
                asked.tokens.append(response.token)
            if response.finish_reason is not None:
                del self._inside[response.uid]
                asked.tell(self._answer(asked, response.finish_reason == "stop"))

    def _answer(self, asked: _Asked, ended: bool) -> Answer:
        text = self._tokenizer.decode(asked.tokens)
        return Answer(text, ended, asked.read, len(asked.tokens) + ended)

    def _fail(self, problem: StepError) -> None:
        """Everybody is told, those too who come from now on: a batch that broke stays broken."""
        for inside in self._inside.values():
            inside.tell(problem)
        while True:
            word, asked = self._orders.get()
            if word == "end" or asked is None:
                return
            if word == "in":
                asked.tell(problem)


def sampler(request: Request) -> Callable[[Any], Any]:
    """Draws each token by the request's own dice: who else is in the batch decides nothing."""
    import mlx.core as mx

    temperature = float(request.params["temperature"])
    if temperature == 0:
        return lambda logprobs: mx.argmax(logprobs, axis=-1)
    key = mx.random.key(int(request.digest[:16], 16))

    def draw(logprobs: Any) -> Any:
        nonlocal key
        key, now = mx.random.split(key)
        return mx.random.categorical(logprobs / temperature, key=now)

    return draw


def _explained(problem: Exception) -> StepError:
    if isinstance(problem, StepError):
        return problem
    return StepError(
        f"MLX failed at an answer: {problem}",
        hint="where memory was short, lower the teacher's `concurrency`, or take a smaller model",
    )
