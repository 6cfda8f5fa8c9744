"""Dockerfile, compose.yaml and systemd units: read, and what they name is run.

No container engine is needed: commands, health checks and environment are taken from the files, and
only the addresses of the servers beside us are put in their place.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import yaml
from django.conf import settings

from synthreview.lib.servers import free_port
from tests.migrated import copy_sqlite
from tests.servers_fake.images_client import ImagesServer
from tests.servers_fake.s3_server import S3Server

ROOT = Path(settings.BASE_DIR)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"] == "synthreview"}
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
UNITS = ROOT / "deploy" / "systemd"
PYTHON = "/opt/synthreview/.venv/bin/"


def lines_of(instruction: str) -> list[str]:
    return re.findall(rf"^\s*{instruction} +(.*)$", DOCKERFILE, re.MULTILINE)


def unit(name: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return parser["Service"]


# --- What the files say ---------------------------------------------------------------


def test_every_kind_of_work_has_its_service_and_its_unit() -> None:
    commands = [one["command"] for one in OURS.values()]
    for queue in settings.QUEUE_NAMES:
        assert ["python", "manage.py", "work", queue] in commands
    assert ["python", "manage.py", "sweep"] in commands
    wanted = set(re.findall(r"worker@(\w+)", (UNITS / "synthreview.target").read_text()))
    assert wanted == set(settings.QUEUE_NAMES) - {"prompting"}, "word lists need no worker"


def test_what_services_name_is_there() -> None:
    for name, one in SERVICES.items():
        assert set(one.get("depends_on", {})) <= set(SERVICES), name
        assert set(one.get("secrets", ())) <= set(COMPOSE["secrets"]), name
        for volume in one.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists(), source
        awaited = {
            other for other, how in one.get("depends_on", {}).items()
            if how["condition"] == "service_healthy"
        }  # fmt: skip
        assert all("healthcheck" in SERVICES[other] for other in awaited), name


def test_every_variable_of_the_services_is_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    for one in OURS.values():
        for name, value in one["environment"].items():
            assert f"`{name}`" in page, name
            if name.endswith("_FILE"):
                assert Path(value).name in one["secrets"]
    example = (UNITS / "environment.example").read_text()
    for name in re.findall(r"^(\w+)=", example, re.MULTILINE):
        assert f"`{name}`" in page, name


def test_the_image_is_small_and_runs_as_nobody_special() -> None:
    assert "USER synthreview" in DOCKERFILE.split("FROM")[-1]
    (index,) = [line for line in lines_of("ARG") if line.startswith("TORCH_INDEX=")]
    assert index.endswith("/whl/cpu")
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    kept = [line[1:] for line in ignored if line.startswith("!")]
    for line in lines_of("COPY"):
        if line.startswith("--from"):
            continue
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, pattern) for pattern in kept), source


def test_image_compose_and_units_serve_alike() -> None:
    (command,) = [json.loads(line) for line in lines_of("CMD") if line.startswith('["gunicorn')]
    assert command == SERVICES["web"]["command"]
    start = shlex.split(unit("synthreview-web.service")["ExecStart"])
    assert start[0] == f"{PYTHON}gunicorn"
    assert [*start[1:3], *start[4:]] == [
        part for part in command[1:] if part not in ("0.0.0.0:8000", "--worker-tmp-dir", "/dev/shm")
    ]
    start = shlex.split(unit("synthreview-worker@.service")["ExecStart"])
    assert start == [f"{PYTHON}python", "manage.py", "work", "%i"]
    assert int(unit("synthreview-worker@.service")["TimeoutStopSec"]) > 300, "a call's lease"


@pytest.mark.parametrize("path", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_units_give_up_rights_and_come_back(path: Path) -> None:
    service = unit(path.name)
    assert service["User"] == "synthreview"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["Restart"] == "always"
    assert service["StateDirectory"] == "synthreview"


# --- What they name is run ------------------------------------------------------------


def made_secrets(folder: Path) -> dict[str, str]:
    """Run deploy/make-secrets in a copy; return each secret by its name."""
    script = folder / "deploy" / "make-secrets"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "make-secrets", script)
    subprocess.run([script], check=True, capture_output=True)
    found = {path.name: path.read_text() for path in (script.parent / "secrets").iterdir()}
    subprocess.run([script], check=True, capture_output=True)
    again = {path.name: path.read_text() for path in (script.parent / "secrets").iterdir()}
    assert again == found, "existing secrets are kept"
    return found


def test_secrets_are_made_for_all_that_compose_names(tmp_path: Path) -> None:
    secrets = made_secrets(tmp_path)
    assert set(secrets) == set(COMPOSE["secrets"])
    database = SERVICES["database"]["environment"]
    assert secrets["database_url"] == (
        f"postgres://{database['POSTGRES_USER']}:{secrets['database_password']}"
        f"@database:5432/{database['POSTGRES_DB']}"
    )
    assert min(len(secret) for secret in secrets.values()) >= 20


class Host:
    """This machine, taken for a container of one of the services."""

    def __init__(self, folder: Path, redis_url: str, store: S3Server, paid_service: str) -> None:
        self.folder = folder
        self.port = free_port()
        copy_sqlite(folder / "db.sqlite3")  # so that the migration has nothing to do
        secrets = made_secrets(folder)
        secrets["database_url"] = f"sqlite:///{folder / 'db.sqlite3'}"
        secrets["openai_api_key"] = "sk-canary-do-not-tell-7731"
        run = folder / "run" / "secrets"
        run.mkdir(parents=True)
        for name, secret in secrets.items():
            (run / name).write_text(secret)
        self.secrets = secrets
        self.redis_url = redis_url
        self.store = store
        places = {
            "/run/secrets": str(run),
            "redis://redis:6379/0": redis_url,
            "http://store:9000": store.url,
        }
        image = dict(re.findall(r"(\w+)=(\S+)", " ".join(lines_of("ENV")[1:])))
        wanted = {**image, **SERVICES["web"]["environment"]}
        for name, value in wanted.items():
            value = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value))
            for there, here in places.items():
                value = value.replace(there, here)
            wanted[name] = value
        wanted["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        wanted["SYNTHREVIEW_DATA"] = str(folder / "data")
        # A paid service that repeats the key in its complaint, as OpenAI's does.
        paid = {
            "SYNTHREVIEW_IMAGES_MODEL": "some-model",
            "SYNTHREVIEW_IMAGES_PRICES": '{"some-model": {"image": 0.04}}',
            "SYNTHREVIEW_IMAGES_BASE_URL": paid_service,
            "OPENAI_API_KEY_FILE": str(run / "openai_api_key"),
        }
        self.environment = wanted | paid | {"HOME": str(folder), "PYTHONPATH": str(ROOT)}

    def start(self, *command: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(
            [part.replace("0.0.0.0:8000", f"127.0.0.1:{self.port}") for part in command],
            cwd=ROOT, env=self.environment, text=True, start_new_session=True, **pipes,  # type: ignore[call-overload]
        )  # fmt: skip

    def run(self, *command: str) -> str:
        child = self.start(*command)
        output, _ = child.communicate(timeout=240)
        assert child.returncode == 0, f"{command}: {output}"
        assert self.told_in(output) == []
        return str(output)

    def told_in(self, text: str) -> list[str]:
        """Return the names of the secrets that stand in a text."""
        password = urlsplit(self.redis_url).password
        secrets = self.secrets | {"redis": password or "none"}
        del secrets["database_url"]  # SQLite's holds none
        return [name for name, secret in secrets.items() if secret in text]

    def everything_kept(self) -> str:
        """Return every row of every table, and everything in Redis, as text."""
        with contextlib.closing(sqlite3.connect(self.folder / "db.sqlite3")) as database:
            rows = "\n".join(database.iterdump())
        with redis.Redis.from_url(self.redis_url) as client:
            entries = [(key, contents(client, key)) for key in client.keys("*")]
        return rows + repr(entries)

    def probe(self, service: dict[str, Any]) -> bool:
        """Run the service's own health check; say whether it is content."""
        _, *command = service["healthcheck"]["test"]
        command = [part.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}") for part in command]
        done = subprocess.run(command, env=self.environment, check=False, capture_output=True)
        return done.returncode == 0


def contents(client: redis.Redis, key: bytes) -> list[bytes]:
    """Return what lies under a key of Redis, unpacked where RQ packs it."""
    readers: dict[bytes, Callable[[], Any]] = {
        b"string": lambda: [client.get(key)],
        b"hash": lambda: [part for pair in client.hgetall(key).items() for part in pair],
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"stream": lambda: [repr(client.xrange(key)).encode()],
        b"none": list,  # it has just expired
    }
    return [unpacked(part) for part in readers[bytes(client.type(key))]()]


def unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


@pytest.fixture
def host(tmp_path: Path, redis_url: str) -> Iterator[Host]:
    with S3Server("synthreview") as store, ImagesServer("openai", needs_key="another") as service:
        store.has_bucket = False
        yield Host(tmp_path, redis_url, store, service.base_url)


FILL = """
import django; django.setup()
from django.conf import settings
from django.test import Client
from synthreview.generation.services import orders_of, start_run
from synthreview.spending.services import set_budget
from tests.factories import make_dataset, make_image, make_user
user = make_user("cora", is_superuser=True)
image = make_image(make_dataset("Deployed", curator=user))
set_budget(image.dataset, limit_micro_usd=1_000_000)
run = start_run(
    dataset=image.dataset, orders=orders_of([image.prompt]), count=1, generator_alias="openai",
    size_px=1024,
)
client = Client(); client.force_login(user)
print("MADE", image.pk, client.cookies[settings.SESSION_COOKIE_NAME].value)
"""


PAGES = "/", "/d/deployed/", "/d/deployed/runs/", "/d/deployed/costs/", "/operations/", "/metrics"
REST = sorted(set(OURS) - {"setup", "web", "generation"})


@pytest.mark.slow
@pytest.mark.skipif(
    "TEST_DEPLOYMENT" not in os.environ, reason="starts every process: make test-deployment"
)
@pytest.mark.parametrize("names", [["generation"], REST], ids=["one-worker", "the-others"])
def test_what_compose_names_runs_as_it_is_written_and_tells_no_secret(
    host: Host, names: list[str]
) -> None:
    said = host.run(*SERVICES["setup"]["command"])
    assert "synthreview is made." in said
    made = re.search(r"MADE (\d+) (\w+)", host.run("python", "-c", FILL))
    assert made is not None
    pk, session = made.groups()
    web = host.start(*SERVICES["web"]["command"])
    workers = [
        host.start(*OURS[name]["command"], "--once" if name == "sweeper" else "--burst")
        for name in names
    ]
    try:
        deadline = time.monotonic() + 120
        while not host.probe(SERVICES["web"]):
            assert web.poll() is None, web.communicate()[0]
            assert time.monotonic() < deadline, "it does not become ready"
            time.sleep(0.2)
        address = f"http://127.0.0.1:{host.port}"
        picture = get(f"{address}/images/{pk}/thumb.jpg", session)
        assert picture.headers["X-Accel-Redirect"].startswith("/_bucket/synthreview/images/blobs/")
        token = host.secrets["metrics_token"]
        request = urllib.request.Request(f"{address}/metrics")
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request) as answer:
            assert b"synthreview_redis_up 1.0" in answer.read()
        if shutil.which("nginx"):
            through_nginx(host, f"/images/{pk}/thumb.jpg", session)
        for worker in workers:
            output, _ = worker.communicate(timeout=240)
            assert worker.returncode == 0, output
            assert host.told_in(output) == []
            assert all(json.loads(line)["level"] for line in output.splitlines())
        if "generation" in names:
            calls = re.findall('INSERT INTO "generation_call".*', host.everything_kept())
            assert "Incorrect API key: [key]" in "".join(calls), calls
        pages = "".join(get(f"{address}{path}", session).read().decode() for path in PAGES)
        host.store.is_down = True
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            get(f"{address}/images/{pk}/original", session)
        pages += refused.value.read().decode()
        os.killpg(web.pid, signal.SIGTERM)
        output, _ = web.communicate(timeout=60)
        assert "Traceback" in output
        assert host.told_in(output + pages) == []
        kept = host.everything_kept()
        assert ("generation" in names) or "synthreview.generation.jobs.draw" in kept, (
            "its message waits"
        )
        assert host.told_in(kept) == []
    finally:
        for child in (web, *workers):
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)
                child.communicate(timeout=60)


def get(address: str, session: str = "") -> Any:
    request = urllib.request.Request(address)
    request.add_header("Cookie", f"sessionid={session}")
    return urllib.request.urlopen(request, timeout=30)


def through_nginx(host: Host, path: str, session: str) -> None:
    """Have the proxy of deploy/nginx send the picture, with its own configuration."""
    port = free_port()
    store = host.environment["SYNTHREVIEW_STORAGE_ENDPOINT"].removeprefix("http://")
    text = (ROOT / "deploy" / "nginx" / "default.conf").read_text()
    for there, here in {
        "listen 8080": f"listen 127.0.0.1:{port}",
        "web:8000": f"127.0.0.1:{host.port}",
        "store:9000": store,
    }.items():
        assert there in text
        text = text.replace(there, here)
    folder = host.folder / "nginx"
    folder.mkdir()
    whole = folder / "nginx.conf"
    paths = "".join(
        f"{name}_temp_path {folder / name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole.write_text(
        f"pid {folder}/pid; error_log stderr; daemon off; "
        f"user {pwd.getpwuid(os.geteuid()).pw_name}; "
        f"events {{}} http {{ access_log off; {paths} {text} }}"
    )
    proxy = host.start("nginx", "-c", str(whole))
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(urllib.error.URLError):
                assert get(f"http://127.0.0.1:{port}/healthz").read() == b"ok\n"
                break
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with get(f"http://127.0.0.1:{port}{path}", session) as picture:
            assert picture.read()[:3] == b"\xff\xd8\xff"
            assert "X-Accel-Redirect" not in picture.headers
            assert picture.headers["Cache-Control"].startswith("private")
        for hidden in ("/metrics", "/_bucket/synthreview/images/x", "/_blobs/x"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(f"http://127.0.0.1:{port}{hidden}", session)
    finally:
        proxy.terminate()
        proxy.communicate(timeout=30)
