"""A local model through Ollama's chat API.

The SDK does not retry: `retry` says when we do.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from jessy_build import hosts
from jessy_build.config import Config as BaseConfig
from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.example import Reply, Request, Usage
from jessy_build.settings import Settings
from jessy_build.teachers import asking, retry
from jessy_build.teachers.retry import Passing

if TYPE_CHECKING:
    import ollama as sdk

KEY = "OLLAMA_API_KEY"
"""Only servers behind a gateway want one; the SDK sends it where it is set."""


class Config(BaseConfig):
    """A model on an Ollama server: this machine's, unless `host` or OLLAMA_HOST names another."""

    kind: Literal["ollama"]
    model: str = Field(min_length=1)
    """A name as `ollama list` shows it, like gemma3:4b."""
    host: str | None = Field(default=None, min_length=1)
    """Like http://127.0.0.1:11434; wins over OLLAMA_HOST."""
    temperature: float = Field(default=0.8, ge=0, le=2)
    """0 gives the likeliest answer, more gives more variety."""
    max_tokens: int = Field(default=512, ge=1, le=16_000)
    """Tokens of an answer at most; one that is cut off never becomes an example."""
    concurrency: int = Field(default=1, ge=1, le=64)
    """Requests in flight at once."""
    timeout: float = Field(default=300, gt=0, le=3600)
    """Seconds to wait for one answer, loading the model included."""


def request(
    config: Config,
    *,
    prompt: str,
    system: str | None = None,
    schema: Mapping[str, Any] | None = None,
    sample: int = 0,
) -> Request:
    return Request(
        provider="ollama",
        model=config.model,
        messages=asking.messages(prompt, system),
        max_tokens=config.max_tokens,
        params={"temperature": config.temperature, "think": False},
        schema=schema,
        sample=sample,
    )


def open(config: Config, settings: Settings) -> "Ollama":
    url = config.host or settings.ollama_host
    url = url if "://" in url else f"http://{url}"
    host = asking.host_of(url, named_by="`host`" if config.host else "OLLAMA_HOST")
    loopback = hosts.is_loopback(url)
    if settings.offline and not loopback:
        raise StepError(
            f"the teacher '{config.model}' answers at {host}, and this build is offline",
            hint="unset JESSY_OFFLINE, or use an Ollama on this machine",
        )
    try:
        import ollama as sdk
    except ImportError:
        raise MissingPackage(
            "ollama", needed_for="a teacher of kind ollama", install="uv pip install ollama"
        ) from None
    key = settings.env.get(KEY, "")
    client = sdk.AsyncClient(
        host=url,
        timeout=config.timeout,
        # A redirect would carry the prompts to a host that nobody named.
        follow_redirects=False,
        # This machine is asked directly, whatever proxy the environment names.
        trust_env=not loopback,
    )
    return Ollama(client, config, host, key)


class Ollama:
    def __init__(
        self,
        client: "sdk.AsyncClient",
        config: Config,
        host: str,
        key: str,
    ) -> None:
        self.concurrency = config.concurrency
        self._client = client
        self._config = config
        self._host = host
        self._key = key

    async def ask(self, request: Request) -> Reply:
        began = time.perf_counter()
        answer = await self._chat(request)
        return Reply(
            text=answer.message.content or "",
            # "load", "unload" and no reason at all come with unfinished answers.
            stop="end" if answer.done and answer.done_reason == "stop" else "length",
            usage=Usage(
                input_tokens=answer.prompt_eval_count or 0, output_tokens=answer.eval_count or 0
            ),
            seconds=time.perf_counter() - began,
            model=answer.model or request.model,
            request=request.digest,
        )

    async def close(self) -> None:
        # The SDK leaves this method without types.
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _chat(self, request: Request) -> "sdk.ChatResponse":
        import asyncio

        import httpx
        import ollama as sdk

        failed: StepError
        seconds = asking.seconds(request, self._config.timeout)
        try:
            # The SDK's own limit counts from byte to byte; this one counts the whole answer.
            async with asyncio.timeout(seconds):
                answer: sdk.ChatResponse = await self._client.chat(**_body(request))
                return answer
        except sdk.ResponseError as error:
            failed = self._refused(error)
        except (TimeoutError, httpx.TimeoutException):
            failed = retry.late(self._host, seconds)
        except ConnectionError:
            failed = StepError(
                f"no Ollama server answers at {self._host}",
                hint="start one with: ollama serve",
            )
        except httpx.TransportError as error:
            cause = asking.scrub(str(error), [self._key])
            failed = Passing("lost", f"no answer from {self._host}: {cause}", hint=self._look())
        except (ValueError, TypeError, AttributeError):
            # What is no JSON, no object or no chat response fails in the SDK in these ways.
            failed = self._no_answer()
        # Raised out here, so that no SDK error with headers in it hangs on it.
        raise failed

    def _look(self) -> str:
        return f"look into the log of the Ollama server; {asking.KEPT}"

    def _refused(self, error: "sdk.ResponseError") -> StepError:
        model, status = self._config.model, error.status_code
        said = asking.scrub(str(error.error), [self._key])
        # The SDK keeps no headers; the error it was made from has them.
        headers = getattr(getattr(error.__context__, "response", None), "headers", {})
        if fault := retry.fault_of(status, headers):
            problem = f"{self._host} failed after all tries ({status}): {said}"
            wait = min(retry.asked_wait(headers), retry.LONGEST_WAIT)
            return Passing(fault, problem, hint=self._look(), wait=wait)
        if status == 404 and "not found" in said and "model" in said:
            return StepError(
                f"the Ollama server at {self._host} has no model '{model}'",
                hint=f"get it with: ollama pull {model}",
            )
        if status == 404:
            return self._no_answer()
        return StepError(
            f"{self._host} does not take the request ({status}): {said}",
            hint=f"does '{model}' do what the recipe asks of it? ollama show {model}",
        )

    def _no_answer(self) -> StepError:
        return StepError(
            f"{self._host} answered with something that is no chat answer",
            hint="is that an Ollama server? See OLLAMA_HOST and the teacher's `host`",
        )


def _body(request: Request) -> dict[str, Any]:
    options = {key: value for key, value in request.params.items() if key != "think"}
    return {
        "model": request.model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "format": request.schema,
        "think": request.params.get("think"),
        "options": {**options, "num_predict": request.max_tokens, "seed": request.seed},
    }
