"""The documentation keeps step with the code."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from synthreview.lib.images import RENDITIONS_PX

ROOT = Path(settings.BASE_DIR)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_environment_variable_of_the_settings_is_documented() -> None:
    source = (ROOT / "synthreview" / "settings.py").read_text()
    names = set(re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', source))
    assert len(names) > 8
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert not {name for name in names if f"`{name}`" not in page}


def test_every_documented_variable_exists() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    code = "".join(p.read_text() for p in (ROOT / "synthreview").rglob("*.py"))
    code += (ROOT / "Makefile").read_text() + (ROOT / "tests" / "conftest.py").read_text()
    named = set(re.findall(r"^\| `([A-Z0-9_]+)`", page, re.MULTILINE))
    assert named
    assert not {name for name in named if name not in code}


def test_every_command_of_ours_is_documented() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    ours = {name for name, app in get_commands().items() if app.startswith("synthreview")}
    assert ours
    assert not {name for name in ours if f"`{name}" not in page and f"manage.py {name}" not in page}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


def test_every_page_is_reachable_from_the_readme() -> None:
    index = (ROOT / "README.md").read_text() + (ROOT / "docs" / "architecture.md").read_text()
    assert not {page.name for page in (ROOT / "docs").glob("*.md") if page.name not in index}


def test_the_tests_that_the_page_of_security_names_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"


def test_the_arithmetic_of_ten_million_images_holds() -> None:
    page = " ".join((ROOT / "docs" / "scaling.md").read_text().split())
    images, objects = 10_000_000, 1 + len(RENDITIONS_PX)
    terabytes = images * (1.5 + 0.15) / 1e6
    worker_days = images * 4 / 86_400
    review_hours = images / 5 * 1.5 / 3600
    for sentence in (
        f"{terabytes:.1f} TB in {objects * images // 1_000_000} million objects",
        f"${objects * images / 1000 * 0.005:.0f} and ${3 * images / 1000 * 0.0004:.0f}",
        f"${round(terabytes * 1000 * 0.023, -1):.0f} a month",
        (
            f"a worker draws {86_400 // 4:,} images a day: 10 million in 30 days take "
            f"{math.ceil(worker_days / 30)} workers"
        ),
        f"At $0.04 an image, the images are ${images * 0.04:,.0f}",
        (
            f"10 million take {round(images / 10 / 3600, -1):.0f} core-hours, "
            f"{math.ceil(images / 10 / 86_400)} cores for a day"
        ),
        (
            f"2 million decisions are {round(review_hours, -1):.0f} hours of people: "
            f"{math.ceil(review_hours / 40)} people for a week"
        ),
    ):
        assert sentence in page
