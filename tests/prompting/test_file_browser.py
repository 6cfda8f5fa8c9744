"""Import and export of prompts in a real browser, without a violation of the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthreview.prompting.models import Prompt
from tests.people import make_people

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("width", [360, 1280])
def test_a_file_comes_in_and_goes_out(
    page: Any, live_site: Any, tmp_path: Path, width: int
) -> None:
    people = make_people()
    live_site.sign_in(page, people.users["curator"])
    page.set_viewport_size({"width": width, "height": 900})
    rows = [f"A car number {n} in the rain,{'car' if n % 3 else 'zebra'}\n" for n in range(40)]
    file = tmp_path / "prompts.csv"
    file.write_text("Prompt,Category\n" + "".join(rows))
    page.goto("/d/traffic/prompts/import/")
    send = """() => document.querySelector("form.card").dispatchEvent(
        new Event("submit", {bubbles: true, cancelable: true}))"""
    assert page.evaluate(send)
    assert page.get_by_text("Reading every line").is_visible()
    assert not page.evaluate(send), "what takes long is not sent twice"
    page.reload()
    assert page.get_by_text("Reading every line").is_hidden()
    page.set_input_files("input[type=file]", str(file))
    page.get_by_role("button", name="Upload and check").click()
    page.wait_for_url("**/import/*/")
    assert page.get_by_text("14 lines are bad").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_label("Make the classes").check()
    page.get_by_role("button", name="Check again").click()
    page.get_by_role("button", name="Import 40 prompts").click()
    page.wait_for_url("**/prompts/")
    assert Prompt.objects.count() == 40
    page.goto("/d/traffic/prompts/export/")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "traffic-prompts.csv"
    assert len(Path(download.value.path()).read_text().splitlines()) == 41
