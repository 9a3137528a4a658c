"""Amazon's S3 as moto has it, on loopback: for code that speaks to it through the real client."""

import logging
import urllib.request
from types import TracebackType
from typing import Any, Self

BUCKET = "team"
ACCOUNT = "123456789012"
SECRET = "s3-secret-0123456789-never-written-down"


class S3Server:
    """To be used in a `with`. Holds one empty bucket."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)

    @property
    def url(self) -> str:
        host, port = self._server.get_host_and_port()
        return f"http://{host}:{port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find it, and nothing of the user's."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIALOOPBACKLOOPBACK",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def names(self) -> list[str]:
        return sorted(self._keys())

    def read(self, name: str) -> bytes:
        return bytes(self._keys()[name].value)

    def write(self, name: str, content: bytes) -> None:
        _send(f"{self.url}/{BUCKET}/{name}", content)

    def remove(self, name: str) -> None:
        _send(f"{self.url}/{BUCKET}/{name}", None, "DELETE")

    def _keys(self) -> dict[str, Any]:
        from moto.s3.models import s3_backends

        return {key.name: key for key in s3_backends[ACCOUNT]["aws"].buckets[BUCKET].keys.values()}

    def __enter__(self) -> Self:
        self._server.start()
        _send(f"{self.url}/moto-api/reset", b"", "POST")
        _send(f"{self.url}/{BUCKET}", b"")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()


def _send(url: str, content: bytes | None, method: str = "PUT") -> None:
    request = urllib.request.Request(url, data=content, method=method)
    # As a client would sign it: moto reads the account from the key alone.
    request.add_header("Content-Type", "application/octet-stream")
    request.add_header(
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=AKIALOOPBACKLOOPBACK/20260101/us-east-1/s3/aws4_request,"
        " SignedHeaders=host, Signature=0",
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status in (200, 204), response.status
