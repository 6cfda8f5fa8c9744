"""The house rules that import-linter cannot see: string foreign keys, dotted paths, torch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string

from synthreview.work.models import DurableWork
from synthreview.work.services import work_models

ROOT = Path(settings.BASE_DIR)
ORDER = [
    "trail",
    "work",
    "accounts",
    "catalog",
    "spending",
    "prompting",
    "generation",
    "scoring",
    "review",
    "export",
    "evaluation",
    "overview",
]


def own_models() -> list[type[models.Model]]:
    return [m for m in apps.get_models() if m.__module__.startswith("synthreview.")]


@pytest.mark.parametrize("model", own_models(), ids=lambda model: model._meta.label)
def test_foreign_keys_point_to_the_own_or_an_earlier_stage(model: type[models.Model]) -> None:
    own = ORDER.index(model._meta.app_label)
    for field in model._meta.get_fields():
        target = getattr(field, "related_model", None)
        if field.auto_created or target is None or target._meta.app_label not in ORDER:
            continue
        assert ORDER.index(target._meta.app_label) <= own, f"{model.__name__}.{field.name}"


def test_every_stage_is_an_installed_app_in_order() -> None:
    stages = [a.removeprefix("synthreview.") for a in settings.INSTALLED_APPS if "synthr" in a]
    assert stages == ORDER


@pytest.mark.parametrize("setting", ["GENERATORS", "AUTHORS", "SCORERS", "LEARNERS"])
def test_adapter_settings_name_something_that_exists(setting: str) -> None:
    for entry in getattr(settings, setting).values():
        assert callable(import_string(entry["BACKEND"]))


def test_durable_work_names_a_queue_and_a_job_that_exist() -> None:
    assert work_models()
    for model in work_models():
        assert issubclass(model, DurableWork)
        assert model.QUEUE in settings.QUEUE_NAMES
        assert callable(import_string(model.JOB))
    for path in settings.WORKER_PRELOAD.values():
        assert callable(import_string(path))


def test_the_web_process_loads_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import django; django.setup();"
        "from django.urls import get_resolver; get_resolver().url_patterns;"
        "import synthreview.wsgi, synthreview.cron, sys;"
        "heavy = {'diffusers', 'min_dalle', 'open_clip', 'rapidocr', 'sklearn', 'timm', 'torch'};"
        "print(sorted({m.split('.')[0] for m in sys.modules} & heavy))"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "synthreview.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_every_template_is_free_of_inline_script_and_style() -> None:
    inline = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>|\sstyle=|\son[a-z]+=|<style", re.IGNORECASE)
    for template in (ROOT / "templates").rglob("*.html"):
        found = inline.search(template.read_text())
        assert found is None, f"{template.name}: {found.group() if found else ''}"


def test_the_private_truth_is_read_by_nothing_that_people_or_scorers_see() -> None:
    """Only the job that stores it, its own model, and tests may name it."""
    allowed = {
        "generation/models.py",
        "generation/jobs.py",
        "generation/migrations/0001_initial.py",
        "generation/migrations/0001_squashed_0007_call_subject.py",
    }
    package = ROOT / "synthreview"
    for source in package.rglob("*.py"):
        name = source.relative_to(package).as_posix()
        if name not in allowed:
            assert "ImageTruth" not in source.read_text(), name
