"""Anthropic's Message Batches: many questions sent at once, at half the price, within a day.

https://docs.anthropic.com/en/api/creating-message-batches
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from jessy_build.diagnostics import StepError
from jessy_build.example import Reply, Request
from jessy_build.teachers import anthropic

if TYPE_CHECKING:
    from anthropic.types.messages import MessageBatch

MOST_REQUESTS = 100_000
MOST_BYTES = 200_000_000
"""Of one batch; the server takes 256 MB, with all that stands around the questions."""
CLOCKS_APART = 3600.0
"""Seconds between two clocks at most, when a batch is looked for by the time it was made."""


class State(NamedTuple):
    id: str
    made_at: float
    size: int
    done: int
    """Servers count most of them only at the end."""
    is_over: bool


class Result(NamedTuple):
    request: str
    """The digest of the question."""
    reply: Reply | None
    problem: str = ""
    """Why there is no reply; such a question costs nothing."""


class Unknown(StepError):
    """The server has no batch of that name, or no longer."""


class MessageBatches:
    """Every call is tried once, and raises retry.Passing where another try may help."""

    def __init__(self, claude: anthropic.Claude) -> None:
        self._claude = claude
        self._batches = claude.client.messages.batches

    async def send(self, requests: Sequence[Request]) -> str:
        """Returns the server's name for the batch. After a fault nobody knows whether it was made:
        look for it with `since` before it is sent again."""
        entries: Any = [{"custom_id": r.digest, "params": anthropic.body(r)} for r in requests]
        made = await self._claude.called(
            lambda: self._batches.create(requests=entries),
            StepError(
                f"{self._claude.host} takes no batches",
                hint="leave out `batch` of the teacher: each answer is then asked by itself",
            ),
        )
        return self._state(made).id

    async def since(self, moment: float) -> AsyncIterator[State]:
        """The batches that were made at this moment or later, by whomever; the newest first."""
        after: dict[str, Any] = {}
        while True:
            page = await self._claude.called(partial(self._page, after))
            for batch in page.data:
                state = self._state(batch)
                if state.made_at < moment - CLOCKS_APART:
                    return
                yield state
            if not page.has_more or not page.data:
                return
            after = {"after_id": page.data[-1].id}

    async def state(self, id: str) -> State:
        return self._state(
            await self._claude.called(lambda: self._batches.retrieve(id), self._unknown(id))
        )

    async def results(self, id: str) -> AsyncGenerator[Result, None]:
        """Of a batch that is over, in any order. Streamed: it may be very long."""
        lines = await self._claude.called(lambda: self._batches.results(id), self._unknown(id))
        rows = aiter(lines)
        try:
            while (row := await self._claude.called(lambda: _next(rows))) is not None:
                yield self._result(row)
        finally:
            await lines.close()

    async def _page(self, after: dict[str, Any]) -> Any:
        return await self._batches.list(limit=100, **after)

    def _state(self, batch: "MessageBatch") -> State:
        try:
            counts = batch.request_counts
            done = counts.succeeded + counts.errored + counts.canceled + counts.expired
            return State(
                batch.id,
                batch.created_at.timestamp(),
                done + counts.processing,
                done,
                batch.processing_status == "ended",
            )
        except (AttributeError, TypeError):
            failed = self._claude.no_message()
        # Out here, so that what the SDK made of the answer does not hang on it.
        raise failed

    def _result(self, row: Any) -> Result:
        try:
            result, request = row.result, str(row.custom_id)
            if result.type != "succeeded":
                said = result.error.error.message if result.type == "errored" else result.type
                return Result(request, None, str(said))
            message = result.message.to_dict(warnings=False)
            reply = self._claude.reply(message, request, 0.0)
            return Result(request, reply._replace(usage=reply.usage._replace(batched=True)))
        except StepError as odd:
            return Result(request, None, odd.problem)
        except (*anthropic.NO_MESSAGE, ValueError):
            failed = self._claude.no_message()
        raise failed

    def _unknown(self, id: str) -> Unknown:
        return Unknown(
            f"{self._claude.host} knows no batch '{id}'",
            hint=f"is {anthropic.KEY} of the account that sent it? With `batch: false` its "
            "questions are asked, and paid, once more",
        )


async def _next(rows: AsyncIterator[Any]) -> Any:
    """None at the end."""
    return await anext(rows, None)
