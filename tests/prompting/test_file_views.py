"""Pages of prompt files: upload, mapping, bad lines, confirmation; and the download."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from synthreview.prompting import uploads
from synthreview.prompting.models import Prompt
from tests.factories import make_dataset, make_prompt
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
IMPORT = "/d/traffic/prompts/import/"
EXPORT = "/d/traffic/prompts/export/"


@pytest.fixture
def people() -> People:
    return make_people()


def upload(client: Client, data: str | bytes, name: str = "prompts.csv", url: str = IMPORT) -> Any:
    body = data.encode() if isinstance(data, str) else data
    return client.post(url, {"file": SimpleUploadedFile(name, body)})


def answers(page: Any, **changes: Any) -> dict[str, Any]:
    """Return what the form on the page would send."""
    form = page.context["form"]
    return {name: form[name].value() or "" for name in form.fields} | changes


def test_a_file_is_uploaded_checked_and_imported(people: People) -> None:
    client = people.client("curator")
    assert 'enctype="multipart/form-data"' in client.get(IMPORT).content.decode()
    response = upload(client, "Prompt,Kind,label\nA car,on the beach,car\n")
    assert response.status_code == 302
    page = client.get(response.url)
    assert "All 1 prompt can be imported" in page.content.decode()
    assert not Prompt.objects.exists()
    posted = answers(page, **{"column-1": "", "state": "approved"})
    checked = client.post(response.url, posted | {"do": "check"})
    assert checked.status_code == 200
    assert not Prompt.objects.exists()
    done = client.post(response.url, posted | {"do": "import"}, follow=True)
    assert "1 prompt is imported." in done.content.decode()
    prompt = Prompt.objects.get()
    assert (prompt.text, prompt.state, prompt.created_by) == (
        "A car",
        "approved",
        people.users["curator"],
    )
    assert client.get(response.url).status_code == 404  # it is forgotten


def test_columns_get_a_meaning_by_hand(people: People) -> None:
    people.dataset.axes.create(name="environment")
    client = people.client("curator")
    url = upload(client, "words,where\nA car,<b>on the beach</b>\n").url
    page = client.get(url)
    assert "No column holds the text" in page.content.decode()
    chosen = {"column-0": "text", "column-1": "slot:environment"}
    page = client.post(url, answers(page, **chosen, label_class=people.label_class.pk, do="check"))
    assert "environment: &lt;b&gt;on the beach" in page.content.decode()
    client.post(url, answers(page, **chosen, label_class=people.label_class.pk, do="import"))
    assert Prompt.objects.get().slots == {"environment": "<b>on the beach</b>"}


def test_bad_lines_are_shown_and_nothing_is_stored(people: People) -> None:
    client = people.client("curator")
    rows = "".join(f"A {number},<i>zebra\n" for number in range(70))
    url = upload(client, "text,class\nA car,car\n" + rows).url
    page = client.get(url)
    text = page.content.decode()
    assert "70 lines are bad" in text
    assert "no class is called &#x27;&lt;i&gt;zebra&#x27;" in text
    assert "… and 20 more." in text
    assert "70 of them name a class that the dataset has not" in text
    assert 'value="import"' not in text
    response = client.post(url, answers(page, do="import"))
    assert response.status_code == 422
    assert not Prompt.objects.exists()
    response = client.post(url, answers(page, do="import", create_classes="on"))
    assert response.status_code == 302
    assert Prompt.objects.count() == 71


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "The submitted file is empty."),
        (b"\n\n", "The file is empty."),
        (b"\x89PNG\r\n\x1a\n\0\0", "not a text in UTF-8"),
        (b"[1]", "JSON list"),
        (b"text,text\n", "two columns are called"),
    ],
)
def test_a_file_that_is_none_is_explained(people: People, data: bytes, message: str) -> None:
    response = upload(people.client("curator"), data)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert not list((uploads._folder()).glob("*"))


def test_the_form_without_a_file_asks_for_one(people: People) -> None:
    response = people.client("curator").post(IMPORT, {})
    assert response.status_code == 422
    assert "This field is required" in response.content.decode()


def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = people.client("curator")
    response = client.generic("POST", IMPORT, b"", CONTENT_LENGTH="60000000")
    assert response.status_code == 413
    monkeypatch.setattr("synthreview.prompting.file_forms.MAX_BYTES", 10)
    assert "is larger than" in upload(client, "text,class\nA car,car\n").content.decode()


def test_too_many_prompts_for_a_page_are_sent_to_the_command(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthreview.prompting.file_views.MAX_LINES", 1)
    client = people.client("curator")
    url = upload(client, "text,class\nA,car\nB,car\n").url
    assert "more than 1 prompts" in client.get(url).content.decode()


@pytest.mark.parametrize(
    "changes", [{"column-0": "<b>"}, {"state": "x"}, {"label_class": "9" * 30}]
)
def test_wrong_choices_are_explained(people: People, changes: dict[str, str]) -> None:
    client = people.client("curator")
    url = upload(client, "text,class\nA,car\n").url
    response = client.post(url, answers(client.get(url), **changes, do="import"))
    assert response.status_code == 422
    assert list(response.context["form"].errors) == list(changes)
    assert not Prompt.objects.exists()


def test_the_name_of_the_file_is_never_used(people: People) -> None:
    upload(people.client("curator"), "text,class\nA,car\n", name="../../etc/passwd")
    (path,) = uploads._folder().glob("**/*")
    assert path.parent == uploads._folder()
    assert "passwd" not in path.name
    assert path.suffix == ".upload"


def test_an_upload_belongs_to_one_person_and_one_dataset(people: People) -> None:
    url = upload(people.client("curator"), "text,class\nA,car\n").url
    make_dataset("Other", admin=people.users["curator"])
    assert people.client("admin").get(url).status_code == 404
    elsewhere = url.replace("/d/traffic/", "/d/other/")
    assert people.client("curator").get(elsewhere).status_code == 404
    for token in ("x", "0" * 32, "..%2f..%2fetc", "0" * 31 + "Z"):
        assert people.client("curator").get(f"{IMPORT}{token}/").status_code == 404
    assert people.client("curator").get(url).status_code == 200


def test_an_upload_expires_and_few_are_kept(people: People) -> None:
    client = people.client("curator")
    urls = []
    for number in range(5):
        urls.append(upload(client, f"text,class\nA {number},car\n").url)
        newest = max(uploads._folder().iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (time.time() - 100 + number,) * 2)
    assert [client.get(url).status_code for url in urls] == [404, 404, 200, 200, 200]
    for path in Path(uploads._folder()).iterdir():
        os.utime(path, (time.time() - uploads.KEPT_S,) * 2)
    assert client.get(urls[-1]).status_code == 404
    assert uploads.drop_expired() == 3


def test_an_import_can_be_given_up(people: People) -> None:
    client = people.client("curator")
    url = upload(client, "text,class\nA,car\n").url
    assert client.get(f"{url}drop").status_code == 405
    assert client.post(f"{url}drop").url == "/d/traffic/prompts/"
    assert client.get(url).status_code == 404


def test_only_curators_come_here(people: People) -> None:
    url = upload(people.client("curator"), "text,class\nA,car\n").url
    for who, status in (("stranger", 404), ("viewer", 403), ("reviewer", 403)):
        client = people.client(who)
        for page in (IMPORT, url, EXPORT, f"{EXPORT}file"):
            assert client.get(page).status_code == status, page
        assert upload(client, "text,class\nA,car\n").status_code == status
        assert client.post(url, {"do": "import"}).status_code == status
        assert client.post(f"{url}drop").status_code == status
    anonymous = Client()
    assert anonymous.get(IMPORT).url.startswith("/account/")
    assert anonymous.get(f"{EXPORT}file").url.startswith("/account/")
    assert not Prompt.objects.exists()


def test_an_upload_needs_its_csrf_token(people: People) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.users["curator"])
    assert upload(client, "text,class\nA,car\n").status_code == 403
    client.get(IMPORT)
    token = client.cookies["csrftoken"].value
    body = {"file": SimpleUploadedFile("a.csv", b"text,class\nA,car\n")}
    assert client.post(IMPORT, body | {"csrfmiddlewaretoken": token}).status_code == 302


def test_the_export_is_a_download(people: People) -> None:
    client = people.client("curator")
    assert "No prompt yet" in client.get(EXPORT).content.decode()
    make_prompt(people.label_class, "=A car", slots={"colour": "red"})
    make_prompt(people.label_class, "Another", state="draft")
    assert "Download" in client.get(EXPORT).content.decode()
    response = client.get(f"{EXPORT}file", {"format": "csv", "state": "approved"})
    assert response["Content-Disposition"] == 'attachment; filename="traffic-prompts.csv"'
    assert response["Content-Type"].startswith("text/csv")
    assert response.getvalue().decode().splitlines() == [
        '"text","class","technique","state","author","template","slot:colour"',
        '"\'=A car","car","plain","approved","person","","red"',
    ]
    for nonsense in ({"format": "exe"}, {"state": "x"}, {"label_class": "a\0"}, {}):
        lines = client.get(f"{EXPORT}file", nonsense).getvalue().decode().splitlines()
        assert len(lines) == 3
    assert client.post(f"{EXPORT}file").status_code == 405
