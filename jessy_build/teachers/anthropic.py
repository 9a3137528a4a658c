"""Claude through the Messages API. The SDK does not retry: `retry` says when we do."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pydantic import Field

from jessy_build import hosts
from jessy_build.config import Config as BaseConfig
from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.example import Reply, Request, Stop, Usage
from jessy_build.settings import Settings
from jessy_build.teachers import asking, retry
from jessy_build.teachers.prices import Prices
from jessy_build.teachers.retry import Passing

if TYPE_CHECKING:
    import asyncio

    import anthropic as sdk

Answered = TypeVar("Answered")

KEY = "ANTHROPIC_API_KEY"
HOST = "ANTHROPIC_BASE_URL"
DEFAULT_HOST = "https://api.anthropic.com"
LONGEST_CONNECT = 10.0
SHORTEST_KEPT = 1024
"""Bytes. No model caches fewer tokens, and no text has more tokens than bytes. What is longer and
still too short for its model, the server leaves uncached at no cost."""

STOPS: Mapping[str | None, Stop] = {
    "end_turn": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}

NO_MESSAGE = (AttributeError, IndexError, KeyError, TypeError)
"""What reading a message raises where something is missing from it, or is of another type."""


class Config(BaseConfig):
    """Claude through Anthropic's Messages API. The key comes from ANTHROPIC_API_KEY."""

    kind: Literal["anthropic"]
    model: str = Field(min_length=1)
    """A model id of Anthropic's, as claude-haiku-5-5."""
    max_tokens: int = Field(default=1024, ge=1, le=16_000)
    """Tokens of an answer at most; one that is cut off never becomes an example."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests in flight at once."""
    timeout: float = Field(default=120, gt=0, le=3600)
    """Seconds to wait for one answer."""
    prices: Prices | None = None
    """What the account pays; look it up there. Without it, plans cannot say dollars."""
    batch: bool = False
    """Send the questions together, as Message Batches: half the price, answered within a day. A
    build waits for them, and one that was stopped is found again by the next. What comes back
    without a usable answer is asked by itself."""


def request(
    config: Config,
    *,
    prompt: str,
    system: str | None = None,
    schema: Mapping[str, Any] | None = None,
    sample: int = 0,
) -> Request:
    return Request(
        provider="anthropic",
        model=config.model,
        messages=asking.messages(prompt, system),
        max_tokens=config.max_tokens,
        # Said outright, since the default differs from model to model and its tokens are paid.
        params={"thinking": {"type": "disabled"}},
        schema=schema,
        sample=sample,
    )


def open(config: Config, settings: Settings) -> "Claude":
    key = _key(settings)
    url = settings.env.get(HOST) or DEFAULT_HOST
    host = asking.host_of(url, named_by=HOST)
    loopback = hosts.is_loopback(url)
    if settings.offline and not loopback:
        raise StepError(
            f"the teacher '{config.model}' answers at {host}, and this build is offline",
            hint="unset JESSY_OFFLINE, or give the category a local teacher",
        )
    try:
        import anthropic as sdk
    except ImportError:
        raise MissingPackage(
            "anthropic",
            needed_for="a teacher of kind anthropic",
            install="uv pip install anthropic",
        ) from None

    client = sdk.AsyncAnthropic(
        api_key=key,
        base_url=url,
        timeout=sdk.Timeout(config.timeout, connect=min(config.timeout, LONGEST_CONNECT)),
        max_retries=0,
        # On aiohttp a request takes half the CPU time that it takes on httpcore.
        http_client=sdk.DefaultAioHttpClient(
            # A redirect would carry the prompts to a host that nobody named.
            follow_redirects=False,
            # This machine is asked directly, whatever proxy the environment names.
            mounts={host: None} if loopback else {},
        ),
        open_telemetry=False,
    )
    return Claude(client, config, host, key)


class Claude:
    def __init__(self, client: "sdk.AsyncAnthropic", config: Config, host: str, key: str) -> None:
        self.concurrency = config.concurrency
        self.client = client
        self._config = config
        self.host = host
        self._key = key
        self._opened: dict[str, asyncio.Event] = {}
        """Of each constant part, whether the request that was sent first has ended."""

    async def ask(self, request: Request) -> Reply:
        async with self._behind_the_first(constant_part(request)):
            return await self._ask(request)

    @asynccontextmanager
    async def _behind_the_first(self, constant: str) -> AsyncIterator[None]:
        """A cache can be read once an answer has begun: those sent along with the first would all
        write it, at a higher price than it has without any. However that one ends, all others go.
        """
        import asyncio

        if not constant:
            yield
        elif (first := self._opened.get(constant)) is not None:
            await first.wait()
            yield
        else:
            self._opened[constant] = ended = asyncio.Event()
            try:
                yield
            finally:
                ended.set()

    async def _ask(self, request: Request) -> Reply:
        began = time.perf_counter()
        message = await self._create(request)
        try:
            return self.reply(message, request.digest, time.perf_counter() - began)
        except NO_MESSAGE:
            failed = self.no_message()
        raise failed

    async def close(self) -> None:
        await self.client.close()

    async def _create(self, request: Request) -> Any:
        """The message as the server wrote it: the SDK's model of it takes time, and checks
        nothing."""
        messages = self.client.messages.with_raw_response

        async def call() -> Any:
            raw = await messages.create(**body(request))
            return json.loads(await raw.read())

        return await self.called(call, seconds=asking.seconds(request, self._config.timeout))

    async def called(
        self,
        call: Callable[[], Awaitable[Answered]],
        missing: StepError | None = None,
        seconds: float | None = None,
    ) -> Answered:
        """One call of the SDK, with its errors in our words. `missing` is raised where the server
        knows nothing of what was called for. It takes `seconds` at most, or the teacher's."""
        import asyncio

        import anthropic as sdk
        import httpx2

        failed: StepError
        seconds = seconds or self._config.timeout
        try:
            # The SDK's own limit counts from byte to byte; this one counts the whole answer.
            async with asyncio.timeout(seconds):
                return await call()
        except sdk.APIStatusError as error:
            failed = missing if missing and error.status_code == 404 else self._refused(error)
        except (sdk.APITimeoutError, TimeoutError):
            failed = retry.late(self.host, seconds)
        except sdk.APIConnectionError as error:
            failed = self._unreachable(error.__cause__ or error)
        except httpx2.TransportError as error:
            # Of an answer that is read line by line, which the SDK leaves as it is.
            failed = self._unreachable(error)
        except (sdk.AnthropicError, ValueError, RecursionError):
            failed = self.no_message()
        # Raised out here, so that no SDK error hangs on it: that holds the request and its key.
        raise failed

    def reply(self, message: Mapping[str, Any], request: str, seconds: float) -> Reply:
        """`message` is as the server wrote it, and `request` the digest of what was asked. One of
        NO_MESSAGE for a message that is none."""
        text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
        usage = _usage(message["usage"])
        reason, model = message["stop_reason"], message["model"]
        if reason not in STOPS:
            raise StepError(
                f"{self.host} ended an answer with '{reason}', which nobody asked for",
                hint=f"name another model; {asking.KEPT}",
            )
        return Reply(
            text=text,
            stop=STOPS[reason],
            usage=usage,
            seconds=seconds,
            model=model,
            request=request,
        )

    def _refused(self, error: "sdk.APIStatusError") -> StepError:
        status = error.status_code
        if status in (402, 429) and _spent(error.response):
            return StepError(
                f"the spend limit of the account at {self.host} is reached ({status})",
                hint=f"raise the limit, or wait until it starts afresh; {asking.KEPT}",
            )
        return retry.refusal(self.host, status, error.response.headers, self._told(error))

    def _told(self, error: "sdk.APIStatusError") -> tuple[str, str]:
        said = asking.scrub(error.api_message or f"HTTP {error.status_code}", [self._key])
        status = error.status_code
        model = self._config.model
        match status:
            case 401:
                problem = f"{self.host} does not accept the key in {KEY} (401)"
                hint = f"set {KEY} to a key that is valid there; {asking.KEPT}"
            case 402:
                problem = f"{self.host} wants a payment first (402): {said}"
                hint = f"see the billing page of your account; {asking.KEPT}"
            case 403:
                problem = f"the key in {KEY} may not use '{model}' (403): {said}"
                hint = "use a key that may, or name another model"
            case 404:
                problem = f"{self.host} knows no model '{model}' (404)"
                hint = _did_you_mean(model)
            case 429:
                problem = f"{self.host} still limits the rate after all tries (429): {said}"
                hint = (
                    f"lower `concurrency` of the teacher (it is {self.concurrency}), "
                    f"or build again later; {asking.KEPT}"
                )
            case _ if status >= 500 or status in retry.PASSING:
                problem = f"{self.host} failed after all tries ({status}): {said}"
                hint = f"build again later; {asking.KEPT}"
            case _:
                problem = f"{self.host} does not take the request ({status}): {said}"
                hint = "does this model offer what the recipe asks of it?"
        return problem, hint

    def _unreachable(self, error: BaseException) -> StepError:
        import aiohttp

        # Where no connection came about, nothing was sent. The SDK's transport calls a lost one by
        # the same name; aiohttp's own error, below it, does not.
        below = error.__cause__
        never_sent = isinstance(below, aiohttp.ClientConnectorError)
        cause = asking.scrub(str(getattr(below, "strerror", None) or error), [self._key])
        return Passing(
            "failed" if never_sent else "lost",
            f"no answer from {self.host}: {cause}",
            hint=f"is this machine online, and {HOST} right if it is set? {asking.KEPT}",
        )

    def no_message(self) -> StepError:
        return StepError(
            f"{self.host} answered with something that is no message",
            hint=f"if {HOST} is set, it must name a server that speaks the Messages API",
        )


def _spent(response: Any) -> bool:
    """Whether the account's money is used up, which a 429 can mean as well as haste."""
    try:
        error = response.json()["error"]
        return "spend_limit" in error["details"]["error_code"]
    except (ValueError, KeyError, TypeError):
        return False


def constant_part(request: Request) -> str:
    """What many requests have in common and a server may keep: a system text that is long enough.
    Empty where there is none."""
    system = _system(request)
    return system if len(system.encode(errors="surrogatepass")) >= SHORTEST_KEPT else ""


def _system(request: Request) -> str:
    return "\n\n".join(m.content for m in request.messages if m.role == "system")


def body(request: Request) -> dict[str, Any]:
    """The request as the SDK takes it: the system text apart, the schema as output format.

    The mark for the cache stands here and not in the request: it changes no answer.
    """
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": [
            {"role": message.role, "content": message.content}
            for message in request.messages
            if message.role != "system"
        ],
        **request.params,
    }
    if constant := constant_part(request):
        mark = {"cache_control": {"type": "ephemeral"}}
        body["system"] = [{"type": "text", "text": constant, **mark}]
    elif system := _system(request):
        body["system"] = system
    if request.schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": request.schema}}
    return body


def _usage(usage: Mapping[str, Any]) -> Usage:
    details = usage.get("output_tokens_details")
    return Usage(
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cached_input_tokens=usage.get("cache_read_input_tokens") or 0,
        thinking_tokens=details["thinking_tokens"] if details else 0,
        cache_write_tokens=usage.get("cache_creation_input_tokens") or 0,
    )


def _did_you_mean(model: str) -> str:
    """The SDK lists the ids that it was made with; newer ones are valid too."""
    from anthropic.types import model_param

    known = [name for part in get_args(model_param.ModelParam) for name in get_args(part)]
    from difflib import get_close_matches

    close = get_close_matches(model, known, n=1)
    return f"did you mean '{close[0]}'?" if close else "look up the model's id in your account"


def _key(settings: Settings) -> str:
    key = settings.env.get(KEY, "").strip()
    if not key:
        raise StepError(
            f"the teacher is asked with a key, and {KEY} is not set",
            hint=f"export {KEY}=..., or give the category another teacher",
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise StepError(f"{KEY} holds characters that no key has", hint=f"set {KEY} afresh")
    return key
