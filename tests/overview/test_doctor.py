"""The doctor names each fault and what to do; the checks name the setting."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from django.conf import settings as project
from django.core.management import CommandError, call_command

from synthreview.generation.generators.base import Health
from synthreview.generation.services import generator
from synthreview.overview import checks, doctor, health
from synthreview.overview.doctor import Finding, Level, examine
from synthreview.work.models import WorkState
from synthreview.work.services import note_sweeper
from tests.factories import make_call, make_dataset, make_prompt, make_run, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_adapters() -> Iterator[None]:
    generator.cache_clear()
    yield
    generator.cache_clear()


def found(area: str) -> list[Finding]:
    return [finding for finding in examine() if finding.area == area]


def say(findings: list[Finding]) -> str:
    return "\n".join(f"{f.level}: {f.text} {f.advice}" for f in findings)


def make_open_call(**fields: Any) -> None:
    dataset = make_dataset()
    prompt = make_prompt(dataset.classes.all()[0])
    make_call(make_run(dataset), prompt, **fields)


def test_a_well_installation_has_no_faults_apart_from_its_model(
    redis: redis_client.Redis, own_data_folder: Path
) -> None:
    own_data_folder.mkdir()
    faults = [f for f in examine() if f.level == Level.FAULT and f.area != "scorers"]
    assert faults == []
    assert "All migrations are applied" in say(found("database"))
    assert "keeps nothing on disk" in say(found("redis"))


def test_a_missing_worker_is_a_fault_once_work_waits(redis: redis_client.Redis) -> None:
    assert {finding.level for finding in found("workers")} == {Level.WARNING}
    make_open_call(state=WorkState.READY)
    said = say(found("workers"))
    assert "fault: generation: no worker, 1 pieces of work wait. Start `manage.py work" in said
    assert "warning: scoring: no worker" in said
    assert "prompting" not in said, "word lists need no worker"
    assert "fault: No sweeper was seen" in said
    note_sweeper()
    assert "ok: The sweeper was seen" in say(found("workers"))


def test_work_that_came_to_nothing_is_counted(redis: redis_client.Redis) -> None:
    assert "Nothing is overdue" in say(found("work"))
    make_open_call(state=WorkState.FAILED)
    make_open_call(state=WorkState.UNKNOWN)
    said = say(found("work"))
    assert "call: 1 failed" in said
    assert "call: 1 unknown. They were sent and never answered" in said


def test_redis_down_is_a_fault_and_the_rest_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    down = redis_client.Redis.from_url("redis://127.0.0.1:1/0")
    monkeypatch.setattr(doctor, "redis", lambda: down)
    assert "fault: It does not answer" in say(found("redis"))
    assert found("storage")


def test_a_key_that_others_can_read_is_a_fault(
    own_data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNTHREVIEW_SECRET_KEY", raising=False)
    own_data_folder.mkdir()
    key = own_data_folder / "secret_key"
    key.write_text("x")
    key.chmod(0o644)
    assert "fault" in say(found("secret key"))
    assert f"chmod 600 {key}" in say(found("secret key"))
    key.chmod(0o600)
    assert "ok: Only its owner" in say(found("secret key"))


def test_a_full_disk_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "disk", lambda: health.Disk(total=10**9, free=10**6))
    assert "fault" in say(found("storage"))
    assert "Make room" in say(found("storage"))


def test_an_adapter_that_is_ill_is_named(settings: Any) -> None:
    settings.GENERATORS = {"broken": {"BACKEND": "tests.overview.test_doctor.Ill"}}
    assert "fault: broken: the key is missing" in say(found("generators"))
    settings.GENERATORS = {"gone": {"BACKEND": "no.such.Thing"}}
    assert "fault: gone: it cannot be built: ModuleNotFoundError" in say(found("generators"))


class Ill:
    def health(self) -> Health:
        return Health(("the key is missing",))


def test_a_damaged_model_is_named(settings: Any, tmp_path: Path) -> None:
    settings.SCORERS = {"clip": {"BACKEND": "x", "OPTIONS": {"model_spec": str(tmp_path)}}}
    assert "is no model folder" in say(found("scorers"))
    (tmp_path / "open_clip_config.json").write_text("{}")
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"changed")
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  open_clip_model.safetensors\n")
    assert "does not have the checksum" in say(found("scorers"))
    (tmp_path / "SHA256SUMS").unlink()
    assert "have their checksums" in say(found("scorers"))


def test_the_embedded_model_says_what_it_knows() -> None:
    assert "no worker has loaded it yet" in say(found("scorers"))
    make_version(applies_to=["sketch"])
    assert "knows only the drawn demonstration world" in say(found("scorers"))
    assert "SYNTHREVIEW_CLIP" in say(found("scorers"))


def test_the_command_answers_and_ends_by_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = Finding("work", Level.WARNING, "Two failed.", "Retry them.")
    monkeypatch.setattr(doctor, "CHECKS", {"work": lambda: iter([warning])})
    call_command("doctor")
    assert "work: Two failed.\n        → Retry them." in capsys.readouterr().out
    fault = Finding("redis", Level.FAULT, "It does not answer.", "Start it.")
    monkeypatch.setattr(doctor, "CHECKS", {"redis": lambda: iter([fault])})
    with pytest.raises(CommandError, match="1 fault was found: redis: It does not answer"):
        call_command("doctor", as_json=True)
    assert json.loads(capsys.readouterr().out)["well"] is False


def test_a_check_that_breaks_off_is_a_fault_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Finding]:
        raise RuntimeError("surprise")

    monkeypatch.setattr(doctor, "CHECKS", {"work": broken})
    assert say(examine()) == "fault: RuntimeError: surprise "


@pytest.mark.slow
def test_the_doctor_loads_no_torch(own_data_folder: Path) -> None:
    code = (
        "import django, sys; django.setup()\n"
        "from synthreview.overview.doctor import examine; examine()\n"
        "assert 'torch' not in sys.modules and 'open_clip' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False, cwd=project.BASE_DIR, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# --- System checks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["redis://h:1/0", "rediss://:p@h:1", "unix:///run/redis.sock", "redis://:a@b@h/1"]
)
def test_addresses_of_redis_pass(settings: Any, url: str) -> None:
    settings.REDIS_URL = url
    assert checks.check_redis_url() == []


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://:secret@host/0"])
def test_another_address_is_named_without_its_password(settings: Any, url: str) -> None:
    settings.REDIS_URL = url
    (fault,) = checks.check_redis_url()
    assert fault.id == "synthreview.E001"
    assert "secret" not in fault.msg
    assert "redis://127.0.0.1:6379/0" in str(fault.hint)


SKETCH = "synthreview.generation.generators.sketch.SketchGenerator"


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({}, "E002"),
        ("synthreview.x.Y", "E002"),
        ({"BACKEND": "os.path.join", "OPTION": {}}, "E003"),
        ({"BACKEND": "no.such.Thing"}, "E004"),
        ({"BACKEND": "os.path.nothing"}, "E004"),
        ({"BACKEND": "nodots"}, "E004"),
        ({"BACKEND": SKETCH, "OPTIONS": {"fault_rate": 2}}, "E006"),
        ({"BACKEND": SKETCH, "OPTIONS": {"rate": 2}}, "E006"),
    ],
)
def test_a_wrong_adapter_is_named_with_an_example(settings: Any, entry: Any, code: str) -> None:
    settings.GENERATORS = {"mine": entry}
    (fault,) = checks.check_adapters()
    assert fault.id == f"synthreview.{code}"
    assert "GENERATORS['mine']" in fault.msg
    assert "SketchGenerator" in str(fault.hint) or code == "E006"


def test_our_own_settings_pass() -> None:
    assert checks.check_adapters() == []
