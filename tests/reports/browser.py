"""A headless Chromium driven over its debugging pipe: no port, no driver, no package."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
PATIENCE = 60.0


def find() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), str(MAC) if MAC.exists() else None)


class Page:
    """One tab. `errors` has what the browser complains of, `asked` every address it wants."""

    def __init__(self, program: str, profile: Path) -> None:
        read_end, self._send = _pipe()
        self._receive, write_end = _pipe()

        def give_pipes() -> None:
            os.dup2(read_end, 3)
            os.dup2(write_end, 4)

        # Chromium refuses its sandbox to root, which is who runs tests in a container.
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        self._process = subprocess.Popen(
            [program, *FLAGS, *root, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=give_pipes,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_end)
        os.close(write_end)
        self._buffer = b""
        self._count = 0
        self._session = ""
        self._loaded: set[str] = set()
        self.errors: list[str] = []
        self.asked: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._send)
        self._process.kill()
        self._process.wait()
        os.close(self._receive)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer["error"]
                return answer["result"]  # type: ignore[no-any-return]

    def open(self, path: Path, fragment: str = "", width: int = 1200, dark: bool = False) -> None:
        self.visit(path.as_uri() + fragment, width, dark)

    def visit(self, page: str, width: int = 1200, dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        # From one fragment to another a browser does not load anew, so the way leads over a blank.
        for address in ("about:blank", page):
            loader = self.call("Page.navigate", url=address)["loaderId"]
            while loader not in self._loaded:
                self._next()
        self.asked = [url for url in self.asked if url != "about:blank"]

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def press(self, key: str, modifiers: int = 0) -> None:
        """A key of the keyboard, down and up; with text where it is a letter. 2 is Ctrl."""
        text = {"text": key} if len(key) == 1 and not modifiers else {}
        name = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}.get(key)
        more = {"windowsVirtualKeyCode": name} if name else {}
        for kind in ("keyDown", "keyUp"):
            said = {**text, **more} if kind == "keyDown" else more
            self.call("Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers, **said)

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of the first element that fits."""
        at = self.run(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=at[0],
                y=at[1],
                button="left",
                clickCount=1,
            )

    def picture(self, path: Path) -> None:
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._receive], [], [], max(0, until - time.monotonic()))
            data = os.read(self._receive, 1 << 16) if ready else b""
            assert data, "Chromium went away or said nothing for a minute"
            self._buffer += data
        first, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        self._notice(message.get("method", ""), message.get("params", {}))
        return message

    def _notice(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.lifecycleEvent" and params["name"] == "load":
            self._loaded.add(params["loaderId"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.errors.append(str(params["args"]))


def until(page: Page, script: str, wanted: object, seconds: float = 20) -> None:
    """Wait for what comes of a key or a request."""
    end = time.monotonic() + seconds
    while (found := page.run(script)) != wanted:
        assert time.monotonic() < end, f"{script}\n is {found!r}, not {wanted!r}"
        time.sleep(0.02)


def _pipe() -> tuple[int, int]:
    """Ends above 10, so that putting two of them at 3 and 4 overwrites neither."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]


@contextmanager
def chromium(profile: Path) -> Iterator[Page | None]:
    """None where no Chromium is installed."""
    program = find()
    if program is None:
        yield None
        return
    with Page(program, profile) as page:
        yield page
