"""One site for the tests of a file, emptied between them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from synthreview.lib.processes import Family
from tests.servers_fake.images_client import ImagesServer

if TYPE_CHECKING:  # pytest reads this file before the settings are there
    from tests.faults.figures import Figures
    from tests.faults.site import Site


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long form where nobody asked for it."""
    if config.getoption("long_faults"):
        return
    long = [item for item in items if item.path.name == "test_long.py"]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="module")
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Collect what the report says; written when the file's tests have ended."""
    from tests.faults.figures import Figures

    collected = Figures(database=request.config.getoption("database"))
    yield collected
    collected.write(request.config.getoption("long_faults"))


@pytest.fixture(scope="module")
def _site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from tests.faults.site import KEYED, PLAIN, Site

    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        servers = {
            PLAIN: stack.enter_context(ImagesServer("http")),
            KEYED: stack.enter_context(ImagesServer("http", idempotency_header="idempotency-key")),
        }
        family = stack.enter_context(Family(folder / "logs"))
        yield Site(family, folder, servers, lease_s=4)


@pytest.fixture
def site(_site: Site, transactional_db: None, settings: Any, redis_url: str) -> Iterator[Site]:
    """Give the site at rest, empty: two workers on this test's database, no calls, no files."""
    from synthreview.generation.services import generator
    from tests.faults.site import adapters, flush_redis

    data = _site.folder
    for name in ("blobs", "spool", "plans"):
        shutil.rmtree(data / name, ignore_errors=True)
    settings.DATA_DIR, settings.BLOBS_DIR, settings.SPOOL_DIR = data, data / "blobs", data / "spool"
    settings.GENERATORS = settings.GENERATORS | adapters(_site.servers)
    generator.cache_clear()
    _site.forget()
    _site.keep_up()
    yield _site
    flush_redis()
    _site.stop_sweeper()
    _site.fall_silent()
    generator.cache_clear()
