"""Any server that speaks OpenAI's chat API. The SDK does not retry: `retry` says when we do.

The key in the environment belongs to the server that the environment names: a recipe may name
another one, and is then asked without it. Nobody's key goes where only a recipe says.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

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
    import openai as sdk

KEY = "OPENAI_API_KEY"
HOST = "OPENAI_BASE_URL"
MORE_HEADERS = "OPENAI_CUSTOM_HEADERS"
"""Lines of `name: value` that the SDK adds to each request by itself."""
OF_THE_ACCOUNT = ("Authorization", "OpenAI-Organization", "OpenAI-Project")
DEFAULT_HOST = "https://api.openai.com/v1"
LONGEST_CONNECT = 10.0

STOPS: Mapping[str | None, Stop] = {
    "stop": "end",
    "length": "length",
    "content_filter": "refusal",
    # No reason at all comes with unfinished answers.
    None: "length",
}


class Config(BaseConfig):
    """A model on any server that speaks OpenAI's API: LM Studio, llama.cpp, vLLM, OpenAI itself.
    The key comes from OPENAI_API_KEY, and goes to the server in OPENAI_BASE_URL alone, or to
    OpenAI where that is not set."""

    kind: Literal["openai"]
    model: str = Field(min_length=1)
    """The model's name on that server."""
    base_url: str | None = Field(default=None, min_length=1)
    """Like http://127.0.0.1:1234/v1; wins over OPENAI_BASE_URL. Default: OpenAI's own address."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """0 gives the likeliest answer, more gives more variety. Default: the server's own; models
    that think before they answer often take no other."""
    max_tokens: int = Field(default=1024, ge=1, le=64_000)
    """Tokens of an answer at most, thinking included; one that is cut off never becomes an
    example."""
    concurrency: int = Field(default=4, ge=1, le=256)
    """Requests in flight at once."""
    timeout: float = Field(default=300, gt=0, le=3600)
    """Seconds to wait for one answer."""
    prices: Prices | None = None
    """What the account pays; look it up there. Without it, plans cannot say dollars, unless
    `base_url` is on this machine: that costs nothing."""


def request(
    config: Config,
    *,
    prompt: str,
    system: str | None = None,
    schema: Mapping[str, Any] | None = None,
    sample: int = 0,
) -> Request:
    return Request(
        provider="openai",
        model=config.model,
        messages=asking.messages(prompt, system),
        max_tokens=config.max_tokens,
        params={} if config.temperature is None else {"temperature": config.temperature},
        schema=schema,
        sample=sample,
    )


class Account(NamedTuple):
    """The server, and what of the environment's secrets may go there."""

    url: str
    host: str
    """The address as it may be told."""
    named_by: str
    key: str
    headers: Mapping[str, Any]
    secrets: tuple[str, ...]
    """What must be in no text."""


def open(config: Config, settings: Settings) -> "OpenAI":
    try:
        import openai as sdk
    except ImportError:
        raise MissingPackage(
            "openai", needed_for="a teacher of kind openai", install="uv pip install openai"
        ) from None
    with suppress(ImportError):
        # The SDK takes it out of sys.modules, where another thread's import may be half done.
        import httpx  # noqa: F401
    account = _account(config, settings, omitted=sdk.Omit())
    loopback = hosts.is_loopback(account.url)
    if settings.offline and not loopback:
        raise StepError(
            f"the teacher '{config.model}' answers at {account.host}, and this build is offline",
            hint="unset JESSY_OFFLINE, or give the category a local teacher",
        )
    client = sdk.AsyncOpenAI(
        # What is really sent stands in the headers of each request: the SDK takes more than this
        # one key out of the environment by itself.
        api_key=account.key or "none",
        base_url=account.url,
        timeout=sdk.Timeout(config.timeout, connect=min(config.timeout, LONGEST_CONNECT)),
        max_retries=0,
        http_client=sdk.DefaultAsyncHttpxClient(
            # A redirect would carry the prompts to a host that nobody named.
            follow_redirects=False,
            # This machine is asked directly, whatever proxy the environment names.
            mounts={account.host: None} if loopback else {},
        ),
    )
    return OpenAI(client, config, account)


class Dialect(NamedTuple):
    """Two fields that not every server takes; none of them is part of the question."""

    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """OpenAI has renamed it, and refuses the old name for newer models. Most other servers know
    the old one alone, and some of them would answer without any limit where they are given the
    new one."""
    seed: bool = True

    def after(self, refusal: str) -> "Dialect":
        """As this server wants it, going by the words of its refusal."""
        if self.limit in refusal and "max_completion_tokens" in refusal:
            return self._replace(limit="max_completion_tokens")
        return self._replace(seed=False) if "seed" in refusal else self


class OpenAI:
    def __init__(self, client: "sdk.AsyncOpenAI", config: Config, account: Account) -> None:
        self.concurrency = config.concurrency
        self._client = client
        self._config = config
        self._account = account
        of_openai = account.host == asking.host_of(DEFAULT_HOST, named_by=HOST)
        self._dialect = Dialect("max_completion_tokens") if of_openai else Dialect()

    async def ask(self, request: Request) -> Reply:
        began = time.perf_counter()
        completion = await self._create(request)
        try:
            return self._reply(completion, request, time.perf_counter() - began)
        except (AttributeError, TypeError, IndexError):
            # The SDK builds a completion out of any JSON, whatever is missing from it.
            failed = self._no_completion()
        raise failed

    async def close(self) -> None:
        await self._client.close()

    async def _create(self, request: Request) -> "sdk.types.chat.ChatCompletion":
        import asyncio

        import openai as sdk

        failed: StepError
        seconds = asking.seconds(request, self._config.timeout)
        while True:
            dialect = self._dialect
            try:
                # The SDK's own limit counts from byte to byte; this one counts the whole answer.
                async with asyncio.timeout(seconds):
                    completion: sdk.types.chat.ChatCompletion
                    completion = await self._client.chat.completions.create(
                        **_body(request, dialect), extra_headers=self._account.headers
                    )
            except sdk.APIStatusError as error:
                if error.status_code in (400, 422):
                    # Others may have learnt it in the meantime.
                    self._dialect = self._dialect.after(_said(error))
                    if self._dialect != dialect:
                        continue
                failed = self._refused(error)
            except (sdk.APITimeoutError, TimeoutError):
                failed = retry.late(self._account.host, seconds)
            except sdk.APIConnectionError as error:
                failed = self._unreachable(error)
            except (sdk.OpenAIError, ValueError):
                failed = self._no_completion()
            else:
                return completion
            break
        # Raised out here, so that no SDK error hangs on it: that holds the request and its key.
        raise failed

    def _reply(
        self, completion: "sdk.types.chat.ChatCompletion", request: Request, seconds: float
    ) -> Reply:
        choice = completion.choices[0]
        reason: str | None = choice.finish_reason
        if reason not in STOPS:
            raise StepError(
                f"{self._account.host} ended an answer with '{reason}', which nobody asked for",
                hint=f"name another model; {asking.KEPT}",
            )
        if completion.usage is None and self._config.prices is not None:
            raise StepError(
                f"{self._account.host} does not say how many tokens an answer has, so nobody "
                "can say what it costs",
                hint="leave out `prices` of the teacher if nothing is paid there",
            )
        return Reply(
            text=choice.message.content or "",
            stop="refusal" if choice.message.refusal else STOPS[reason],
            usage=_usage(completion.usage),
            seconds=seconds,
            model=completion.model or request.model,
            request=request.digest,
        )

    def _refused(self, error: "sdk.APIStatusError") -> StepError:
        host, status = self._account.host, error.status_code
        if status in (402, 429) and _spent(error.response):
            return StepError(
                f"the money of the account at {host} is used up ({status})",
                hint=f"add some or raise its limit, or wait until it starts afresh; {asking.KEPT}",
            )
        return retry.refusal(host, status, error.response.headers, self._told(error))

    def _told(self, error: "sdk.APIStatusError") -> tuple[str, str]:
        said = asking.scrub(_said(error), self._account.secrets)
        status, host, model = error.status_code, self._account.host, self._config.model
        match status:
            case 401 | 403 if not self._account.key:
                problem = f"{host} wants a key ({status}): {said}"
                hint = f"set {KEY}, and {HOST} to that address: the key goes nowhere else"
            case 401:
                problem = f"{host} does not accept the key in {KEY} (401)"
                hint = f"set {KEY} to a key that is valid there; {asking.KEPT}"
            case 402:
                problem = f"{host} wants a payment first (402): {said}"
                hint = f"see the billing page of your account; {asking.KEPT}"
            case 403:
                problem = f"the key in {KEY} may not use '{model}' (403): {said}"
                hint = "use a key that may, or name another model"
            case 404:
                problem = f"{host} knows no model '{model}', or not this address (404): {said}"
                hint = f"most addresses in {self._account.named_by} end in /v1"
            case 429:
                problem = f"{host} still limits the rate after all tries (429): {said}"
                hint = (
                    f"lower `concurrency` of the teacher (it is {self.concurrency}), "
                    f"or build again later; {asking.KEPT}"
                )
            case _ if status >= 500 or status in retry.PASSING:
                problem = f"{host} failed after all tries ({status}): {said}"
                hint = f"build again later; {asking.KEPT}"
            case _:
                problem = f"{host} does not take the request ({status}): {said}"
                hint = "does this model offer what the recipe asks of it?"
        return problem, hint

    def _unreachable(self, error: "sdk.APIConnectionError") -> StepError:
        cause = asking.scrub(str(error.__cause__ or error), self._account.secrets)
        # Where no connection came about, nothing was sent.
        never_sent = type(error.__cause__).__name__ == "ConnectError"
        return Passing(
            "failed" if never_sent else "lost",
            f"no answer from {self._account.host}: {cause}",
            hint=f"does the server run, and is {self._account.named_by} right? {asking.KEPT}",
        )

    def _no_completion(self) -> StepError:
        return StepError(
            f"{self._account.host} answered with something that is no chat completion",
            hint=f"{self._account.named_by} must name a server that speaks OpenAI's API, "
            "mostly with /v1 at its end",
        )


def _account(config: Config, settings: Settings, *, omitted: Any) -> Account:
    env = settings.env
    own = env.get(HOST) or DEFAULT_HOST
    url, named_by = (config.base_url, "`base_url`") if config.base_url else (own, HOST)
    host = asking.host_of(url, named_by=named_by)
    more = _more_headers(env.get(MORE_HEADERS, ""))
    if named_by != HOST and host != _told(own):
        names = (*OF_THE_ACCOUNT, *more)
        return Account(url, host, named_by, "", dict.fromkeys(names, omitted), ())
    key = _key(env.get(KEY, "").strip(), needed=host == _told(DEFAULT_HOST))
    sent = f"Bearer {key}" if key else more.get("authorization", omitted)
    secrets = (key, *more.values())
    return Account(url, host, named_by, key, {"Authorization": sent}, secrets)


def _told(url: str) -> str:
    """As `host_of`, of an address that is not the one to be asked, and may be none."""
    try:
        return asking.host_of(url, named_by=HOST)
    except StepError:
        return ""


def _more_headers(lines: str) -> Mapping[str, str]:
    parted = (line.partition(":") for line in lines.split("\n"))
    return {name.strip().lower(): value.strip() for name, colon, value in parted if colon}


def _key(key: str, *, needed: bool) -> str:
    if not key and needed:
        raise StepError(
            f"the teacher is asked with a key, and {KEY} is not set",
            hint=f"export {KEY}=..., or name a server of your own with `base_url`",
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise StepError(f"{KEY} holds characters that no key has", hint=f"set {KEY} afresh")
    return key


def _spent(response: Any) -> bool:
    """Whether the account's money is used up, which a 429 can mean as well as haste."""
    try:
        error = response.json()["error"]
        return "insufficient_quota" in (error.get("code"), error.get("type"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _said(error: "sdk.APIStatusError") -> str:
    """The server's own words. Some send a bare text, some an `error` that is one."""
    body = error.body
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body.get("error")
    return str(body or f"HTTP {error.status_code}")


def _body(request: Request, dialect: Dialect) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        dialect.limit: request.max_tokens,
        **request.params,
    }
    if dialect.seed:
        body["seed"] = request.seed
    if request.schema is not None:
        format = {"name": "example", "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": format}
    return body


def _usage(usage: "sdk.types.CompletionUsage | None") -> Usage:
    if usage is None:
        return Usage()
    asked, answered = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = (asked.cached_tokens if asked else 0) or 0
    return Usage(
        input_tokens=usage.prompt_tokens - cached,
        output_tokens=usage.completion_tokens,
        cached_input_tokens=cached,
        thinking_tokens=(answered.reasoning_tokens if answered else 0) or 0,
    )
