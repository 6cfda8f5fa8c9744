"""The servers that we start ourselves are real, private, and gone afterwards."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from synthreview.lib import servers
from synthreview.lib.processes import Family
from synthreview.lib.servers import (
    ServerError,
    is_port_free,
    new_postgres_url,
    new_redis_url,
    postgres_bin,
    start_postgres,
    start_valkey,
)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port


def test_valkey_answers_whoever_knows_the_password(tmp_path: Path) -> None:
    url = new_redis_url()
    with Family(tmp_path / "logs") as family:
        start_valkey(family, url=url, folder=tmp_path / "redis")
        with redis.Redis.from_url(url) as client:
            assert client.ping()
        with (
            redis.Redis(port=port_of(url), retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
    assert is_port_free(port_of(url))


def test_valkey_keeps_what_was_queued_through_a_kill(tmp_path: Path) -> None:
    for stop in ("kill", None):
        url = new_redis_url()
        with Family(tmp_path / "logs") as family, redis.Redis.from_url(url) as client:
            child = start_valkey(family, url=url, folder=tmp_path / "redis")
            if stop:
                client.rpush("queue", "job")
                client.waitaof(1, 0, 2000)
                child.process.kill()
            else:
                assert client.lrange("queue", 0, -1) == [b"job"]


def test_a_server_that_cannot_start_says_where_its_log_is(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, Family(tmp_path / "logs") as family:
        url = f"redis://:x@127.0.0.1:{taken.getsockname()[1]}/0"
        with pytest.raises(ServerError, match=r"redis ended with code 1: see .*redis\.log"):
            start_valkey(family, url=url, folder=tmp_path / "redis")


@pytest.mark.slow
def test_postgres_starts_as_whoever_we_are_and_asks_for_the_password(tmp_path: Path) -> None:
    try:
        postgres_bin()
    except ServerError:
        pytest.skip("no PostgreSQL on this machine; TEST_DATABASE_URL names the one to use")
    # PostgreSQL runs as another user where we are root, and must reach its folder.
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | stat.S_IXGRP | stat.S_IXOTH)
    url = new_postgres_url()
    with Family(tmp_path / "logs") as family:
        start_postgres(family, url=url, folder=tmp_path / "postgresql")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT lower('ÉTÉ')").fetchone() == ("été",)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url.replace("synthreview:", "synthreview:not-"))
    assert is_port_free(port_of(url))


def test_no_binaries_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_postgres_candidates", lambda: iter([Path("/nowhere")]))
    with pytest.raises(ServerError, match="apt-get install postgresql"):
        postgres_bin()


def test_a_port_is_taken_on_all_addresses_or_one() -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        with socket.create_server((host, 0)) as taken:
            port = taken.getsockname()[1]
            assert not is_port_free(port)
        assert is_port_free(port)
