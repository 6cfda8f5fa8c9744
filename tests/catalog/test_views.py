from __future__ import annotations

from typing import Any

import pytest

from synthreview.catalog.forms import parse_values
from synthreview.catalog.models import Dataset, Membership
from synthreview.catalog.permissions import Role
from tests.factories import make_image, make_prompt, make_user
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
CLASS = {"name": "bicycle", "synonyms": "bike, cycle", "target_count": "50"}
POLICY = {
    "target_error": "7",
    "confidence": "99",
    "reviews_per_image": "2",
    "lease_minutes": "5",
    "audit_share": "30",
    "gold_share": "5",
    "asked_share": "0",
}


@pytest.fixture
def people() -> People:
    return make_people()


def values_of(people: People, name: str) -> list[tuple[str, str]]:
    return list(people.dataset.axes.get(name=name).values.values_list("name", "phrase"))


# --- Datasets -------------------------------------------------------------------


def test_who_makes_a_dataset_becomes_its_admin(people: People) -> None:
    form = people.client("stranger").get("/datasets/new").content.decode()
    assert '<option value="cc-by-4.0">' in form
    fields = {"name": "Signs", "licence": "cc-by-4.0"}
    response = people.client("stranger").post("/datasets/new", fields)
    assert Dataset.objects.get(slug="signs").licence == "cc-by-4.0"
    assert response.url == "/d/signs/settings/classes/new"
    assert Membership.objects.get(dataset__slug="signs").role == Role.ADMIN


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "This field is required."),
        ("Traffic", "There is a dataset of this name already."),
        ("a\0b", "Null characters are not allowed."),
        ("x" * 121, "at most 120 characters"),
    ],
)
def test_a_wrong_name_is_explained_at_the_field(people: People, name: str, message: str) -> None:
    response = people.client("admin").post("/datasets/new", {"name": name})
    assert message in response.content.decode()
    assert Dataset.objects.count() == 1


def test_admins_change_the_policy_in_percent(people: People) -> None:
    response = people.client("admin").post("/d/traffic/settings/", POLICY)
    assert response.status_code == 302
    policy = Dataset.objects.get().policy
    assert (policy.target_error, policy.confidence) == (pytest.approx(0.07), 0.99)
    assert policy.blind_scores is False
    assert 'value="7"' in people.client("admin").get("/d/traffic/settings/").content.decode()


@pytest.mark.parametrize("error", ["0", "60", "nan", "inf", "-1", "much", ""])
def test_an_impossible_error_is_refused(people: People, error: str) -> None:
    response = people.client("admin").post("/d/traffic/settings/", POLICY | {"target_error": error})
    assert response.status_code == 200
    assert "target_error" in response.context["policy_form"].errors


def test_curators_see_settings_and_do_not_change_them(people: People) -> None:
    client = people.client("curator")
    assert "Only an admin" in client.get("/d/traffic/settings/").content.decode()
    assert client.post("/d/traffic/settings/", POLICY).status_code == 403
    assert client.post("/d/traffic/settings/", {"name": "Mine"}).status_code == 403


# --- Who may come in ------------------------------------------------------------

PAGES = {
    "/d/traffic/settings/": Role.CURATOR,
    "/d/traffic/settings/classes/": Role.CURATOR,
    "/d/traffic/settings/classes/new": Role.CURATOR,
    "/d/traffic/settings/axes/": Role.CURATOR,
    "/d/traffic/settings/members/": Role.ADMIN,
}


@pytest.mark.parametrize("page", PAGES)
def test_pages_open_by_role(people: People, page: str) -> None:
    assert people.client("stranger").get(page).status_code == 404
    assert people.client("viewer").get(page).status_code == 403
    assert people.client("reviewer").get(page).status_code == 403
    assert people.client("admin").get(page).status_code == 200
    expected = 200 if PAGES[page] == Role.CURATOR else 403
    assert people.client("curator").get(page).status_code == expected
    assert people.client("admin").delete(page).status_code == 405


def test_nobody_comes_in_unsigned(client: Any, people: People) -> None:
    for page in PAGES:
        assert client.get(page).url.startswith("/account/sign-in/")


# --- Classes --------------------------------------------------------------------


def test_curators_add_and_change_classes(people: People) -> None:
    client = people.client("curator")
    client.post("/d/traffic/settings/classes/new", CLASS)
    bicycle = people.dataset.classes.get(name="bicycle")
    assert bicycle.synonyms == ["bike", "cycle"]
    assert bicycle.guideline_version == 1
    page = f"/d/traffic/settings/classes/{bicycle.pk}/"
    assert "bike, cycle" in client.get(page).content.decode()
    client.post(page, CLASS | {"definition": "Two wheels."})
    bicycle.refresh_from_db()
    assert (bicycle.definition, bicycle.guideline_version) == ("Two wheels.", 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "CAR"}, "There is a class of this name already."),
        ({"name": "a\0"}, "Null characters are not allowed."),
        ({"target_count": "-1"}, "greater than or equal to 0"),
        ({"definition": "x" * 2001}, "at most 2000 characters"),
    ],
)
def test_a_wrong_class_is_explained(people: People, change: dict[str, str], message: str) -> None:
    response = people.client("curator").post("/d/traffic/settings/classes/new", CLASS | change)
    assert message in response.content.decode()
    assert people.dataset.classes.count() == 2


def test_one_class_is_none_of_these(people: People) -> None:
    client = people.client("curator")
    none = CLASS | {"is_none_of_these": "on"}
    client.post("/d/traffic/settings/classes/new", none)
    response = client.post("/d/traffic/settings/classes/new", none | {"name": "other"})
    assert "bicycle is this already." in response.content.decode()


def test_a_class_without_images_is_deleted_with_its_prompts(people: People) -> None:
    make_prompt(people.label_class)
    url = f"/d/traffic/settings/classes/{people.label_class.pk}/delete"
    assert people.client("curator").get(url).status_code == 405
    people.client("curator").post(url)
    assert list(people.dataset.classes.values_list("name", flat=True)) == ["umbrella"]


def test_a_class_with_images_stays(people: People) -> None:
    make_image(people.dataset)
    url = f"/d/traffic/settings/classes/{people.label_class.pk}/delete"
    response = people.client("curator").post(url, follow=True)
    assert "has been drawn already" in response.content.decode()
    assert people.dataset.classes.count() == 2


def test_a_class_of_another_dataset_does_not_exist_here(people: People) -> None:
    foreign = make_people_elsewhere()
    url = f"/d/traffic/settings/classes/{foreign.classes.get().pk}/"
    assert people.client("admin").get(url).status_code == 404
    assert people.client("admin").post(url + "delete").status_code == 404


def make_people_elsewhere() -> Dataset:
    from tests.factories import make_dataset

    return make_dataset("Elsewhere", classes=["car"])


# --- Axes -----------------------------------------------------------------------


def test_an_axis_is_one_value_per_line(people: People) -> None:
    client = people.client("curator")
    lines = "beach | on a beach | car, umbrella\n\nnight\nsky || umbrella"
    client.post(
        "/d/traffic/settings/axes/",
        {"axis": "", "new-name": "environment", "new-values": lines},
    )
    assert values_of(people, "environment") == [("beach", "on a beach"), ("night", ""), ("sky", "")]
    axis = people.dataset.axes.get()
    page = client.get("/d/traffic/settings/axes/").content.decode()
    assert "beach | on a beach | car, umbrella\nnight\nsky | | umbrella" in page
    client.post("/d/traffic/settings/axes/", {"axis": axis.pk, f"axis-{axis.pk}-values": "night"})
    assert values_of(people, "environment") == [("night", "")]
    client.post(f"/d/traffic/settings/axes/{axis.pk}/delete")
    assert not people.dataset.axes.exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("beach\nbeach", "Line 2: beach stands there twice."),
        ("beach || boat", "Line 1: there is no class &#x27;boat&#x27;."),
        ("| phrase", "Line 1: the name is missing."),
        ("x" * 81, "Line 1: the name is longer than 80 characters."),
        ("beach | " + "x" * 121, "Line 1: the phrase is longer than 120 characters."),
        ("a\0b", "Null characters are not allowed."),
    ],
)
def test_a_wrong_line_is_named(people: People, values: str, message: str) -> None:
    response = people.client("curator").post(
        "/d/traffic/settings/axes/", {"axis": "", "new-name": "place", "new-values": values}
    )
    assert message in response.content.decode()
    assert not people.dataset.axes.exists()


@pytest.mark.parametrize("name", ["class", "Place", "a b", "", "x" * 41])
def test_a_wrong_axis_name_is_refused(people: People, name: str) -> None:
    response = people.client("curator").post(
        "/d/traffic/settings/axes/", {"axis": "", "new-name": name, "new-values": ""}
    )
    assert "name" in response.context["new_form"].errors


def test_an_axis_of_another_dataset_does_not_exist_here(people: People) -> None:
    axis = make_people_elsewhere().axes.create(name="place")
    client = people.client("admin")
    page = "/d/traffic/settings/axes/"
    assert client.post(page, {"axis": axis.pk}).status_code == 404
    assert client.post(f"{page}{axis.pk}/delete").status_code == 404


def test_class_names_with_commas_are_found() -> None:
    (value,) = parse_values("sea | | tench, Tinca tinca, car", ["car", "tench, Tinca tinca"])
    assert value["classes"] == ["tench, Tinca tinca", "car"]


# --- Members --------------------------------------------------------------------


def test_admins_add_change_and_remove_members(people: People) -> None:
    client = people.client("admin")
    page = "/d/traffic/settings/members/"
    make_user("newcomer")
    client.post(page, {"username": "newcomer", "role": "reviewer"})
    member = people.dataset.memberships.get(user__username="newcomer")
    client.post(f"{page}{member.pk}/", {"role": "curator"})
    member.refresh_from_db()
    assert member.role == Role.CURATOR
    client.post(f"{page}{member.pk}/remove")
    assert not people.dataset.memberships.filter(pk=member.pk).exists()


@pytest.mark.parametrize(
    ("username", "message"),
    [
        ("nobody", "There is no user of this name."),
        ("viewer", "viewer is a member already"),
        ("a\0", "Null characters are not allowed."),
    ],
)
def test_a_wrong_member_is_explained(people: People, username: str, message: str) -> None:
    response = people.client("admin").post(
        "/d/traffic/settings/members/", {"username": username, "role": "viewer"}
    )
    assert message in response.content.decode()


def test_the_last_admin_stays(people: People) -> None:
    client = people.client("admin")
    own = people.dataset.memberships.get(user__username="admin")
    page = f"/d/traffic/settings/members/{own.pk}/"
    for url, data in ((page, {"role": "viewer"}), (page + "remove", {})):
        response = client.post(url, data, follow=True)
        assert "A dataset needs an admin" in response.content.decode()
    own.refresh_from_db()
    assert own.role == Role.ADMIN


def test_an_unknown_role_changes_nothing(people: People) -> None:
    member = people.dataset.memberships.get(user__username="viewer")
    url = f"/d/traffic/settings/members/{member.pk}/"
    people.client("admin").post(url, {"role": "owner"})
    member.refresh_from_db()
    assert member.role == Role.VIEWER


def test_curators_do_not_touch_members(people: People) -> None:
    member = people.dataset.memberships.get(user__username="curator")
    url = f"/d/traffic/settings/members/{member.pk}/"
    assert people.client("curator").post(url, {"role": "admin"}).status_code == 403
    assert people.client("curator").post(f"{url}remove").status_code == 403
