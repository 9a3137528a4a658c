"""A teacher on loopback, for every test that asks one."""

from collections.abc import Iterator

import pytest

from tests.loopback import messages_api


@pytest.fixture
def server() -> Iterator[messages_api.MessagesServer]:
    with messages_api.MessagesServer() as running:
        yield running
