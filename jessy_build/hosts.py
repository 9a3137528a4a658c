"""Whether a server is on this machine: what may be asked, and given keys or models, depends on it.

A name that only resolves to this machine is none: what it resolves to may change.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

HERE = "127.0.0.1"
"""This machine."""


def is_loopback(host: str) -> bool:
    """`host` is an address with or without its scheme: `http://localhost:8080`, `127.0.0.1`."""
    name = urlsplit(host if "://" in host else f"http://{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
