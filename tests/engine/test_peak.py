"""What a step held in memory is measured, its children included."""

import subprocess
import sys
import time

from jessy_build.engine.peak import Peak

MB = 1 << 20


BLOCK = f"""
import time
from jessy_build.engine.peak import Peak
with Peak() as small:
    time.sleep(0.15)
with Peak() as large:
    block = bytearray({200 * MB})
    time.sleep(0.25)
print(large.bytes - small.bytes)
"""


def test_a_large_block_shows_in_the_peak() -> None:
    # In a process of its own: one that has freed much would take the block out of that.
    done = subprocess.run([sys.executable, "-c", BLOCK], check=True, capture_output=True, text=True)
    assert 150 * MB < int(done.stdout) < 400 * MB


def test_a_child_is_counted_too() -> None:
    with Peak() as alone:
        time.sleep(0.15)
    code = f"import time; block = bytearray({200 * MB}); time.sleep(0.8)"
    with Peak() as peak:
        subprocess.run([sys.executable, "-c", code], check=True)
    assert peak.bytes - alone.bytes > 150 * MB
