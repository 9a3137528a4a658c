"""What a step held in memory is measured, its children included."""

import subprocess
import sys
import time

from jessy_build.engine.peak import Peak

MB = 1 << 20


def test_a_large_block_shows_in_the_peak() -> None:
    with Peak() as small:
        time.sleep(0.15)
    with Peak() as large:
        block = bytearray(200 * MB)
        time.sleep(0.25)
    assert len(block) == 200 * MB
    assert 150 * MB < large.bytes - small.bytes < 400 * MB


def test_a_child_is_counted_too() -> None:
    with Peak() as alone:
        time.sleep(0.15)
    code = f"import time; block = bytearray({200 * MB}); time.sleep(0.8)"
    with Peak() as peak:
        subprocess.run([sys.executable, "-c", code], check=True)
    assert peak.bytes - alone.bytes > 150 * MB
