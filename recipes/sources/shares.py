from collections.abc import Callable, Mapping
from fractions import Fraction
from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Whether the server is on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def share_of(text: str) -> Fraction:
    """`0.25`, `1/4` or `25%`. ValueError for what is no part of the whole."""
    number = Fraction(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < number <= 1:
        raise ValueError(text)
    return number


def apportion(total: int, weights: Mapping[str, Fraction]) -> dict[str, int]:
    """Whole numbers that sum to `total`: the largest remainders are rounded up."""
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    counts = {name: int(rows) for name, rows in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def first_true(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first number in a range from which on `holds` is true; `high` where it never is."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
