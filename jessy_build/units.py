"""Say numbers as people read them: 1m52s, 271 MB, 135 M. For reading, never for keys."""


def duration(seconds: float) -> str:
    """Two figures at most, since a build's times are noisy beyond them."""
    if seconds < 0.995:
        return f"{max(seconds, 0.0):.2f}s"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def size(count: int) -> str:
    """Decimal units, as disks and file managers have them."""
    return f"{count} B" if count < 1000 else f"{_scaled(count, ('kB', 'MB', 'GB', 'TB'))}"


def parameters(count: int) -> str:
    return str(count) if count < 1000 else _scaled(count, ("k", "M", "B", "T"))


def _scaled(count: int, names: tuple[str, ...]) -> str:
    """Three figures and the unit: 4.2 kB, 271 MB, 1.08 GB."""
    value = count / 1000
    step = 0
    while value >= 999.5 and step < len(names) - 1:
        value /= 1000
        step += 1
    text = f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"
    return f"{text} {names[step]}"
