"""The review's page, for this machine and for whoever has the address with its token alone.

It listens on loopback. Other pages in the same browser can send requests there too: so the token
stands in the path, the Host must be our own (a name that somebody points at 127.0.0.1 is not), and
what changes something must come from the page itself.
"""

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jessy_build.steps.review import Desk, Filter, Refused

ADDRESS = "127.0.0.1"
MOST_BYTES = 4 << 20
"""Of one request."""
MOST_ROWS = 200
POLL = 0.2
"""Seconds until Ctrl-C is heard at the latest."""
PAGES = {
    "": ("review.html", "text/html; charset=utf-8"),
    "review.css": ("review.css", "text/css; charset=utf-8"),
    "review.js": ("review.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server:
    """Serves one review until `run` is interrupted."""

    def __init__(self, desk: Desk, about: Mapping[str, Any]) -> None:
        self.desk = desk
        self.about = about
        """Of the recipe: what the page calls it."""
        self.token = secrets.token_urlsafe(24)
        self._once = secrets.token_urlsafe(24)
        self._http = _http(self)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}/{self.token}/"

    @property
    def url_once(self) -> str:
        """For a browser's command line, which others at this machine can read: it leads to the page
        a single time."""
        return f"http://{ADDRESS}:{self.port}/{self._once}/"

    def opens(self, token: str) -> bool:
        if not self._once or not hmac.compare_digest(token.encode(), self._once.encode()):
            return False
        self._once = ""
        return True

    @cached_property
    def hosts(self) -> frozenset[str]:
        return frozenset(f"{name}:{self.port}" for name in (ADDRESS, "localhost"))

    @cached_property
    def origins(self) -> frozenset[str]:
        return frozenset(f"http://{host}" for host in self.hosts)

    def run(self) -> None:
        """Until Ctrl-C. What was decided is in the file already."""
        try:
            self._http.serve_forever(POLL)
        except KeyboardInterrupt:
            pass
        finally:
            self._http.server_close()

    def stop(self) -> None:
        self._http.shutdown()


class _Wrong(Exception):
    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "jessy", ""
    timeout = 60
    served: Server

    def do_GET(self) -> None:
        self._answer(self._got)

    def do_POST(self) -> None:
        self._answer(self._posted)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, work: Callable[[str], tuple[bytes, str]]) -> None:
        try:
            body, kind = work(self._place())
            status = 200
        except _Wrong as wrong:
            status, body, kind = wrong.status, f"{wrong}\n".encode(), "text/plain; charset=utf-8"
            # What it still wants to send is not read.
            self.close_connection = True
        except Refused as refused:
            status, (body, kind) = 409, _json({"problem": str(refused)})
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status == 303:
            self.send_header("Location", f"/{self.served.token}/")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _place(self) -> str:
        """The path behind the token; whoever does not know it learns nothing."""
        if self.headers.get("Host", "") not in self.served.hosts:
            raise _Wrong(403, "this is the review of somebody at this machine")
        token, _, place = urlsplit(self.path).path.removeprefix("/").partition("/")
        if self.command == "GET" and self.served.opens(token):
            raise _Wrong(303, "the review is here")
        if not hmac.compare_digest(token.encode(), self.served.token.encode()):
            raise _Wrong(404, "nothing is here")
        return place

    def _got(self, place: str) -> tuple[bytes, str]:
        if place in PAGES:
            name, kind = PAGES[place]
            return (files("jessy_build") / "reports" / name).read_bytes(), kind
        said = dict(parse_qsl(urlsplit(self.path).query))
        if place == "about":
            return _json({**self.served.about, "choices": self.served.desk.choices()})
        if place == "rows":
            after, count = _number(said.get("after", "-1")), _number(said.get("count", "50"))
            count = min(max(count, 1), MOST_ROWS)
            return _json(self.served.desk.page(Filter.of(said), after, count))
        raise _Wrong(404, "nothing is here")

    def _posted(self, place: str) -> tuple[bytes, str]:
        if self.headers.get("Origin", "") not in self.served.origins:
            raise _Wrong(403, "only the review's own page decides")
        if self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise _Wrong(403, "only the review's own page decides")
        if self.headers.get_content_type() != "application/json":
            raise _Wrong(415, "a decision comes as JSON")
        if place != "decide":
            raise _Wrong(404, "nothing is here")
        said = self._body()
        id, text, word = (said.get(name) for name in ("id", "text", "decision"))
        if not (isinstance(id, str) and isinstance(text, str) and isinstance(word, str)):
            raise _Wrong(400, "a decision names id, text and decision")
        return _json(self.served.desk.decide(id, text, word, said.get("messages")))

    def _body(self) -> dict[str, Any]:
        length = _number(self.headers.get("Content-Length", ""))
        if not 0 < length <= MOST_BYTES:
            raise _Wrong(413, "too much, or nothing")
        try:
            said = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            raise _Wrong(400, "that is no JSON") from None
        if not isinstance(said, dict):
            raise _Wrong(400, "that is no JSON object")
        return said


def _http(served: Server) -> ThreadingHTTPServer:
    handler = type("Request", (_Request,), {"served": served})

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            # A browser that goes away in the middle is none of ours.
            pass

    return Quiet((ADDRESS, 0), handler)


def _json(value: Any) -> tuple[bytes, str]:
    # As escapes: half a character that a model once gave is no UTF-8.
    return json.dumps(value).encode(), "application/json"


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _Wrong(400, f"{text[:20]!r} is no number") from None
