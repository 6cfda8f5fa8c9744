"""Captions that mean nearly the same: found by a pass, told with the threshold, never twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from synthreview.catalog.services import set_axis_values
from synthreview.prompting import services
from synthreview.prompting.models import MeaningCheck, Prompt, PromptState, Writing
from synthreview.scoring.caption_jobs import compare, covers, plan_caption_passes
from synthreview.scoring.models import CaptionPass, CaptionVector
from synthreview.scoring.scorers.clip import ClipScorer
from synthreview.scoring.services import register
from synthreview.work.models import WorkState
from tests.factories import make_dataset, make_prompt
from tests.people import People, make_people
from tests.scoring.fakes import RedScorer, red_scorer

pytestmark = pytest.mark.django_db


@pytest.fixture
def red(settings: Any) -> Iterator[type[RedScorer]]:
    with red_scorer(settings) as scorer:
        register()
        yield scorer


@pytest.fixture
def people() -> People:
    return make_people()


def draft(people: People, text: str, **fields: Any) -> Prompt:
    """Return a draft that an author wrote."""
    dataset = people.dataset
    writing = Writing.objects.create(dataset=dataset, author="model", asked=1, written=1)
    fields = {"state": PromptState.DRAFT, "writing": writing, **fields}
    return make_prompt(people.label_class, text, **fields)


def run_passes() -> list[CaptionPass]:
    passes = plan_caption_passes()
    for one in passes:
        compare(one.pk)
        one.refresh_from_db()
    return passes


def test_a_near_draft_is_retired_with_the_reason_and_the_threshold(
    red: type[RedScorer], people: People
) -> None:
    first, near = draft(people, "A car on a hill"), draft(people, "On a hill, a car")
    other = draft(people, "Umbrellas everywhere")
    (work,) = run_passes()
    assert (work.state, work.compared_count) == (WorkState.DONE, 3)
    for prompt in (first, near, other):
        prompt.refresh_from_db()
    assert (first.flags, first.state) == ([], PromptState.DRAFT)
    ((code, reason),) = near.flags
    assert code == "near_meaning"
    assert "(1.00, threshold 0.97) as “A car on a hill”" in reason
    assert near.state == PromptState.RETIRED
    assert other.state == PromptState.DRAFT
    page = people.client("viewer").get("/d/traffic/prompts/?state=retired&flags=flagged")
    assert reason.split("(")[0] in page.content.decode()
    assert "compared 3 captions by meaning" in page.content.decode()
    assert "alike by 0.97 or more" in page.content.decode()
    assert plan_caption_passes() == []


def test_what_a_person_approved_or_wrote_is_only_flagged(
    red: type[RedScorer], people: People
) -> None:
    make_prompt(people.label_class, "A car on a hill")
    approved = draft(people, "On a hill, a car", state=PromptState.APPROVED)
    own = draft(people, "A hill, on a car", writing=None)
    run_passes()
    for prompt in (approved, own):
        state = prompt.state
        prompt.refresh_from_db()
        assert (len(prompt.flags), prompt.state) == (1, state)


def test_later_captions_are_compared_with_earlier_ones_and_a_persons_word_stands(
    red: type[RedScorer], people: People
) -> None:
    draft(people, "A car on a hill")
    run_passes()
    near = draft(people, "On a hill, a car")
    run_passes()
    services.set_prompt_state([near.pk], dataset=people.dataset, state=PromptState.APPROVED)
    assert run_passes() == []
    near.refresh_from_db()
    assert near.state == PromptState.APPROVED
    services.edit_prompt(near, "A wholly other caption of a car")
    assert len(run_passes()) == 1
    near.refresh_from_db()
    assert near.flags == []


def test_siblings_by_design_stay(red: type[RedScorer], people: People) -> None:
    values = [{"name": "hill", "phrase": "on a hill"}, {"name": "llih", "phrase": "on a llih"}]
    set_axis_values(dataset=people.dataset, axis_name="place", values=values)
    for value in values:
        draft(people, f"A car {value['phrase']}", slots={"place": value["phrase"]})
    run_passes()
    assert not Prompt.objects.exclude(flags=[]).exists()


def test_a_small_model_does_not_apply_to_words_it_does_not_know(
    red: type[RedScorer], people: People
) -> None:
    red.words = frozenset({"a", "car", "on", "hill"})
    draft(people, "A car on a hill")
    draft(people, "On a hill, a car parked")
    run_passes()
    assert not Prompt.objects.exclude(flags=[]).exists()
    draft(people, "On a hill, a car asleep")
    (work,) = run_passes()
    assert work.state == WorkState.DONE
    told = MeaningCheck.objects.get()
    assert (told.model, told.compared, told.unknown) == ("Red", 1, 2)
    page = people.client("viewer").get("/d/traffic/prompts/").content.decode()
    assert "does not apply to 2 others" in page


def test_the_embedded_clip_knows_its_places_and_no_actions(settings: Any) -> None:
    words = ClipScorer(embedded_dir=settings.BASE_DIR / "fixtures" / "demo_clip").card().words
    assert covers(words, "A red car on the beach")
    assert not covers(words, "A red car parked on the beach")
    assert covers(frozenset(), "Whatever a real CLIP is given")


def test_a_model_that_fails_ends_the_pass_and_is_left_alone_for_a_while(
    red: type[RedScorer], people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft(people, "A car on a hill")

    def broken(self: RedScorer, texts: object) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(red, "embed_texts", broken)
    (work,) = plan_caption_passes()
    for _ in range(3):
        CaptionPass.objects.filter(pk=work.pk).update(due_at="2020-01-01T00:00:00Z")
        compare(work.pk)
    work.refresh_from_db()
    assert (work.state, work.error) == (WorkState.FAILED, "RuntimeError: out of memory")
    assert plan_caption_passes() == []
    assert not CaptionVector.objects.exists()


def test_two_planners_plan_once(red: type[RedScorer], people: People) -> None:
    draft(people, "A car on a hill")
    assert len(plan_caption_passes()) == 1
    assert plan_caption_passes() == []


def test_other_datasets_are_not_compared(red: type[RedScorer], people: People) -> None:
    other = make_dataset("Other")
    draft(people, "A car on a hill")
    make_prompt(other.classes.all()[0], "On a hill, a car", state=PromptState.DRAFT)
    assert len(run_passes()) == 2
    assert not Prompt.objects.exclude(flags=[]).exists()
