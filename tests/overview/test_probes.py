"""What probes tell: shares, corrections, drift, alarms; pages, command and API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from synthreview.catalog.services import set_axis_values
from synthreview.generation.models import GeneratedImage
from synthreview.overview.probes import group_finder, probes_of, report_of, watch_floors
from synthreview.scoring.models import Embedding, Probe, ProbeLabel, ProbeReading, ScorerVersion
from synthreview.scoring.probe_jobs import read
from synthreview.scoring.probe_presets import PRESETS
from synthreview.scoring.probe_shares import UNDER
from synthreview.scoring.probing import GroupWish, label_image, plan_probes, save_probe
from synthreview.scoring.services import register
from tests.factories import (
    make_call,
    make_dataset,
    make_decision,
    make_image,
    make_prompt,
    make_run,
)
from tests.people import People, make_people
from tests.scoring.fakes import RedScorer, _vector, red_scorer

pytestmark = pytest.mark.django_db


@pytest.fixture
def red(settings: Any) -> Iterator[type[RedScorer]]:
    with red_scorer(settings) as scorer:
        register()
        yield scorer


@pytest.fixture
def people(red: type[RedScorer]) -> People:
    return make_people()


def show(people: People, words: str, count: int = 1, verdict: str = "", **fields: Any) -> list[int]:
    """Make images that the scorer places at these words; decided where a verdict is given."""
    version = ScorerVersion.objects.current()
    assert version is not None
    pks = []
    for _ in range(count):
        image = make_image(people.dataset, **fields)
        vector = _vector(words).astype("<f2").tobytes()
        Embedding.objects.create(image=image, version=version, vector=vector)
        if verdict:
            make_decision(image, people.users["reviewer"], verdict)
        pks.append(image.pk)
    return pks


def make_probe(people: People, **fields: Any) -> Probe:
    groups = [GroupWish("day", asked_by=("day", "sunny")), GroupWish("night")]
    return save_probe(dataset=people.dataset, **{"name": "light", "groups": groups, **fields})


def read_all() -> None:
    for work in plan_probes():
        read(work.pk)


def label(probe: Probe, people: People, images: list[int], name: str | None) -> None:
    group = probe.groups.get(name=name) if name else None
    for pk in images:
        image = GeneratedImage.objects.get(pk=pk)
        label_image(probe=probe, image=image, group=group, person=people.users["reviewer"])


def figures(probe: Probe) -> dict[str, Any]:
    (found,) = (one for one in probes_of(probe.dataset) if one == probe)
    return report_of(found).as_json()


# --- Figures ----------------------------------------------------------------------------


def test_captions_ask_for_a_group_by_its_words_alone() -> None:
    find = group_finder([["man", "men"], ["woman"], ["in a room"]])
    assert [find(text) for text in ("A man-made lake", "Two Men.", "A woman", "a WOMAN?")] == [
        None, 0, 1, 1,
    ]  # fmt: skip
    assert find("A man and a woman") is None  # two groups: not stated
    assert find("A dog in a room") == 2


def test_shares_from_asked_to_approved_and_the_drift_between(people: People) -> None:
    run = make_run(people.dataset)
    sunny = make_prompt(people.label_class, "A car on a sunny road")
    night = make_prompt(people.label_class, "A car at night")
    plain = make_prompt(people.label_class, "A car")
    for prompt, count in ((sunny, 4), (night, 4), (plain, 3)):
        make_call(run, prompt, count=count)
    # Each image has a call of its own besides.
    show(people, "day", 4, "approve", prompt=sunny, run=run)
    show(people, "day", 3, "reject", prompt=night, run=run)
    show(people, "night", 1, "approve", prompt=night, run=run)
    probe = make_probe(people)
    read_all()
    found = figures(probe)
    day, dark = found["groups"]
    assert (day["asked"], dark["asked"], found["asked_not_stated"]) == (8, 8, 3)
    assert (day["asked_share"], day["generated_share"], day["approved_share"]) == (
        0.5, [0.875], [0.8],
    )  # fmt: skip
    assert day["guessed"] == {"generated": 7, "approved": 4, "rejected": 3}
    # 4 of 8 asked for day, 7 of 8 show it; then 7/8 against 4/5.
    assert found["drift"] == {"asked_to_generated": 0.375, "generated_to_approved": 0.075}
    assert found["corrected"] == {"generated": False, "approved": False}
    assert (found["read"], found["images"], found["approved"]) == (8, 8, 5)


def test_a_labelled_sample_corrects_the_shares_and_shows_the_confusion(people: People) -> None:
    right = show(people, "day", 20, "approve")
    wrong = show(people, "day", 10, "approve")  # it takes dusk for day
    nights = show(people, "night", 10, "approve")
    probe = make_probe(people)
    read_all()
    label(probe, people, right[:10], "day")
    label(probe, people, wrong[:5], "night")
    label(probe, people, nights[:4], "night")
    assert figures(probe)["corrected"] == {"generated": False, "approved": False}
    label(probe, people, nights[4:5], None)
    found = figures(probe)
    assert found["confusion"]["seen"] == {"day": [10, 0], "night": [5, 4], "none of these": [0, 1]}
    assert found["confusion"]["labelled"] == 20
    assert found["confusion"]["agreement"][0] == pytest.approx(14.5 / 21, abs=1e-4)
    assert found["corrected"] == {"generated": True, "approved": True}
    share, low, high = found["groups"][0]["generated_share"]
    # 15 unseen of those called day, a prior of 1/3 for each of three outcomes; and 5 called night.
    assert share == pytest.approx((10 + 15 * (10 + 1 / 3) / 16 + 5 * (1 / 3) / 6) / 40, abs=1e-4)
    assert low < share < high < 0.75  # the scorer alone says 75 %
    assert found["none_of_these"][0][0] == pytest.approx(
        (1 + 15 * (1 / 3) / 16 + 5 * (4 / 3) / 6) / 40, abs=1e-4
    )


def test_newer_images_of_the_sample_are_waited_for(people: People) -> None:
    show(people, "day", 4)
    probe = make_probe(people)
    read_all()
    last = ProbeReading.objects.order_by("-lot").values_list("image", flat=True)[0]
    label(probe, people, [last], "day")
    assert report_of(probe).confusion.waiting == 3


# --- Floors ------------------------------------------------------------------------------


def test_a_group_under_its_floor_is_an_alarm_on_the_dataset_s_page(people: People) -> None:
    days = show(people, "day", 38, "approve")
    nights = show(people, "night", 2, "approve")
    groups = [GroupWish("day", floor=0.5), GroupWish("night", floor=0.4)]
    probe = make_probe(people, groups=groups)
    read_all()
    page = "/d/traffic/"
    assert "under its floor" not in people.client("viewer").get(page).content.decode()
    assert watch_floors() == 1
    assert watch_floors() == 0  # nothing changed
    probe.refresh_from_db()
    unchecked = "about 5% of 40 approved images, as the scorer guesses, unchecked."
    assert probe.alarms == [f"light: night seems to be under its floor of 40%: {unchecked}"]
    label(probe, people, [*days[:25], *nights], None)
    ProbeLabel.objects.filter(image__in=days).update(group=probe.groups.get(name="day"))
    ProbeLabel.objects.filter(image__in=nights).update(group=probe.groups.get(name="night"))
    assert watch_floors() == 1
    probe.refresh_from_db()
    (alarm,) = probe.alarms
    assert re.match(
        r"light: night is under its floor of 40%: about \d+% \(5% to \d+%\) of 40 approved", alarm
    )
    found = figures(probe)
    assert [group["standing"] for group in found["groups"]] == ["above", UNDER]
    for told in (page, reverse("coverage", args=["traffic"]), url("diversity-guard")):
        text = people.client("viewer").get(told).content.decode()
        assert alarm in text, told
        assert reverse("probe", args=["traffic", probe.pk]) in text
    save_probe(
        dataset=people.dataset,
        probe=probe,
        name="light",
        groups=[groups[0], GroupWish("night")],
    )
    watch_floors()
    probe.refresh_from_db()
    assert probe.alarms == []


def test_of_few_approved_images_nothing_is_said(people: People) -> None:
    show(people, "day", 19, "approve")
    probe = make_probe(people, groups=[GroupWish("day"), GroupWish("night", floor=0.4)])
    read_all()
    assert figures(probe)["groups"][1]["standing"] == "few"
    watch_floors()
    probe.refresh_from_db()
    assert probe.alarms == []


def test_a_report_costs_the_same_for_2_and_for_20_images(
    people: People, django_assert_num_queries: Any
) -> None:
    probe = make_probe(people)
    for count in (2, 18):
        show(people, "day", count, "approve")
        read_all()
        (found,) = probes_of(people.dataset)
        with django_assert_num_queries(8):
            report_of(found)
    assert probe == found


# --- Pages --------------------------------------------------------------------------------


def url(name: str, *args: Any) -> str:
    return reverse(name, args=["traffic", *args])


def form_of(**fields: str) -> dict[str, str]:
    lines = {"group-TOTAL_FORMS": "9", "group-INITIAL_FORMS": "0"}
    return {**lines, "name": "light", **fields}


def test_a_curator_writes_changes_and_deletes_a_probe(people: People) -> None:
    client = people.client("curator")
    set_axis_values(
        dataset=people.dataset,
        axis_name="place",
        values=[{"name": "beach", "phrase": "on the beach"}, {"name": "city"}],
    )
    page = client.get(url("probes")).content.decode()
    assert "place (axis)" in page
    assert all(name in page for name in PRESETS)
    page = client.get(url("probe-new"), {"from": "axis:place"}).content.decode()
    assert 'value="on the beach; beach"' in page
    assert (
        "a photo of an elderly person"
        in client.get(url("probe-new"), {"from": "ages"}).content.decode()
    )
    response = client.post(url("probe-new"), form_of(**{"group-0-name": "day"}))
    assert response.status_code == 422
    assert "2 to 20 groups" in response.content.decode()
    response = client.post(
        url("probe-new"), form_of(**{"group-0-words": "x", "group-1-floor": "x"})
    )
    assert "Give the group a name" in response.content.decode()
    wish = {
        "group-0-name": "day", "group-0-words": "by day ;  in the   sun", "group-0-floor": "40",
        "group-3-name": "night", "group-3-asked_by": "night;moon",
    }  # fmt: skip
    response = client.post(url("probe-new"), form_of(**wish))
    probe = Probe.objects.get()
    assert response.headers["Location"] == url("probe", probe.pk)
    day, night = probe.groups.all()
    assert (day.words, day.floor) == (["by day", "in the sun"], 0.4)
    assert (night.words, night.asked_by) == (["night"], ["night", "moon"])
    assert 'value="40"' in client.get(url("probe-edit", probe.pk)).content.decode()
    client.post(url("probe-edit", probe.pk), form_of(name="hours", **wish))
    probe.refresh_from_db()
    assert probe.name == "hours"
    client.post(url("probe-delete", probe.pk))
    assert not Probe.objects.exists()


@pytest.mark.parametrize("who", ["viewer", "reviewer", "curator", "stranger"])
def test_who_may_do_what(people: People, who: str) -> None:
    probe = make_probe(people)
    client = people.client(who)
    is_curator, is_stranger = who == "curator", who == "stranger"
    looks = 404 if is_stranger else 200
    changes = 404 if is_stranger else 200 if is_curator else 403
    labels = 404 if is_stranger else 403 if who == "viewer" else 200
    expected = {
        "probes": looks, "probe": looks, "probe-new": changes, "probe-edit": changes,
        "probe-label": labels,
    }  # fmt: skip
    found = {
        name: client.get(url(name, *([] if name in ("probes", "probe-new") else [probe.pk])))
        for name in expected
    }
    assert {name: response.status_code for name, response in found.items()} == expected
    assert client.get(url("probe-delete", probe.pk)).status_code == 405
    other = save_probe(
        dataset=make_dataset("Elsewhere"), name="x", groups=[GroupWish("a"), GroupWish("b")]
    )
    assert client.get(url("probe", other.pk)).status_code == 404


def test_the_page_says_where_the_scorer_does_not_apply(
    people: People, red: type[RedScorer]
) -> None:
    red.words = frozenset({"day"})
    show(people, "day")
    probe = make_probe(people)
    assert "has not read this probe" in page_of(people, probe)
    read_all()
    page = page_of(people, probe)
    assert "Does not apply" in page
    assert "“night”" in page
    label_page = people.client("reviewer").get(url("probe-label", probe.pk)).content.decode()
    assert "does not know the words" in label_page


def page_of(people: People, probe: Probe, who: str = "viewer") -> str:
    return people.client(who).get(url("probe", probe.pk)).content.decode()


def test_the_plot_says_its_numbers_and_a_group_opens_its_images(people: People) -> None:
    (day,), (night,) = show(people, "day", 1, "approve"), show(people, "night")
    probe = make_probe(people, groups=[GroupWish("day", floor=0.25), GroupWish("night")])
    assert "There is no image" not in page_of(people, probe)
    read_all()
    page = page_of(people, probe)
    assert 'aria-label="asked 0 %, generated 50 %, approved 100 %, floor 25 %"' in page
    assert 'x1="25.00" x2="25.00"' in page
    group = probe.groups.get(name="night")
    sheet = people.client("viewer").get(url("images"), {"shows": group.pk}).content.decode()
    assert f"/images/{night}/" in sheet
    assert f"/images/{day}/" not in sheet
    assert "seems to show “night”" in sheet


def test_labelling_takes_one_answer_for_each_image(people: People) -> None:
    show(people, "day", 2)
    probe = make_probe(people)
    read_all()
    client, here = people.client("reviewer"), url("probe-label", probe.pk)
    page = client.get(here).content.decode()
    image = int(re.findall(r'name="image" value="(\d+)"', page)[0])
    assert 'data-key="1"' in page
    day = probe.groups.get(name="day")
    part = client.post(here, {"image": image, "group": day.pk}, headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert "<html" not in part.content.decode()
    assert ProbeLabel.objects.get().group == day
    assert client.post(here, {"image": image, "group": "undo"}).status_code == 302
    assert not ProbeLabel.objects.exists()
    assert client.post(here, {"image": image, "group": "none"}).status_code == 302
    assert ProbeLabel.objects.get().group is None
    for bad in ({"image": "x", "group": day.pk}, {"image": image, "group": "9" * 30}):
        client.post(here, bad)
    assert ProbeLabel.objects.count() == 1


# --- Command and API ------------------------------------------------------------------------


def test_the_command_writes_reads_and_tells(people: People, capsys: Any) -> None:
    show(people, "day", 30, "approve")
    show(people, "night", 10, "approve")

    def told(*args: str) -> Any:
        call_command("probe", "traffic", *args, "--json")
        return json.loads(capsys.readouterr().out)

    found = told(
        "light", "--group", "day=day", "--group", "night=night; nights", "--floor", "night=50",
        "--asked-by", "day=sunny",
    )["probes"][0]  # fmt: skip
    assert [one["generated_share"] for one in found["groups"]] == [[0.75], [0.25]]
    assert "night seems to be under its floor of 50%" in found["alarms"][0]
    assert told()["probes"] == [found]
    call_command("probe", "traffic", "light")
    assert "generated  75.0%  approved 75.0%" in capsys.readouterr().out
    assert told("light", "--delete") == {"deleted": "light"}
    assert told("--from", "day and night")["probes"][0]["probe"] == "day and night"
    for args, why in (
        (("nothing",), "has no probe 'nothing'"),
        (("--group", "day=x"), "Name the probe"),
        (("x", "--group", "day"), "takes NAME="),
        (("x", "--group", "a=a", "--group", "b=b", "--floor", "a=x"), "NAME=PERCENT"),
        (("x", "--group", "a=a", "--floor", "z=3"), "none of the groups"),
        (("x", "--from", "moods"), "there are"),
        (("x", "--group", "a=a"), "2 to 20 groups"),
    ):
        with pytest.raises(CommandError, match=why):
            call_command("probe", "traffic", *args)


def test_the_api_writes_changes_labels_and_tells(people: People) -> None:
    (image,) = show(people, "day", 1, "approve")
    client = people.client("curator")
    at = "/api/datasets/traffic/probes"

    def send(method: str, path: str, body: Any) -> Any:
        return getattr(client, method)(path, json.dumps(body), content_type="application/json")

    wish = {"name": "light", "groups": [{"name": "day"}, {"name": "night", "floor": 0.4}]}
    response = send("post", at, wish | {"classes": ["car"]})
    assert response.status_code == 201
    pk = response.json()["id"]
    read_all()
    assert client.get(f"{at}/{pk}").json()["groups"][0]["guessed"]["approved"] == 1
    response = send("post", f"{at}/{pk}/labels", {"image": image, "group": "night"})
    assert response.json() == {"image": image, "group": "night"}
    assert client.get(at).json()[0]["confusion"]["seen"]["night"] == [1, 0]
    for body, why in (
        ({"image": image, "group": "dusk"}, "no group 'dusk'"),
        ({"image": 99_999}, "no image 99999"),
    ):
        response = send("post", f"{at}/{pk}/labels", body)
        assert (response.status_code, why in response.json()["detail"]) == (422, True)
    response = send("put", f"{at}/{pk}", wish | {"groups": wish["groups"][:1]})
    assert "2 to 20 groups" in response.json()["detail"]
    assert "no class 'x'" in send("post", at, wish | {"classes": ["x"]}).json()["detail"]
    assert client.delete(f"{at}/{pk}").json() == {"deleted": "light"}
