"""What the tests of generators share: fake images servers, started once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.servers_fake.images_client import ImagesServer


@pytest.fixture(scope="session")
def _images_servers() -> Iterator[Callable[[str, str], ImagesServer]]:
    with ExitStack() as stack:
        running: dict[tuple[str, str], ImagesServer] = {}

        def get(kind: str, idempotency_header: str) -> ImagesServer:
            known = (kind, idempotency_header)
            if known not in running:
                server = ImagesServer(kind, idempotency_header=idempotency_header)
                running[known] = stack.enter_context(server)
            return running[known]

        yield get


@pytest.fixture
def images_server(
    _images_servers: Callable[[str, str], ImagesServer],
) -> Callable[..., ImagesServer]:
    """Give the fake server of a kind, with an empty ledger and no script."""

    def get(kind: str, *, idempotency_header: str = "") -> ImagesServer:
        server = _images_servers(kind, idempotency_header)
        server.reset()
        return server

    return get
