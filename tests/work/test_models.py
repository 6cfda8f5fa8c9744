"""The database refuses every forbidden row, on SQLite and on PostgreSQL."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils import timezone

from synthreview.catalog.models import Axis, AxisValue, LabelClass, Membership, QualityPolicy
from synthreview.generation.models import Call, GeneratedImage, Run
from synthreview.prompting.models import Prompt
from synthreview.scoring.models import Embedding, Score, ScorerVersion, ScoringPass
from synthreview.spending.models import Budget
from synthreview.work.models import WorkState
from synthreview.work.services import work_models
from tests.factories import (
    make_call,
    make_dataset,
    make_image,
    make_prompt,
    make_run,
    make_score,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db


def refused(model: type[Model], name: str, /, **values: Any) -> None:
    """Assert that the constraint of that name refuses the row (`name` empty: any refusal)."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        model._base_manager.bulk_create([model(**values)])
    fields = {
        field
        for constraint in model._meta.constraints
        if constraint.name == name
        for field in getattr(constraint, "fields", ())
    }
    # SQLite names a unique constraint by its columns, PostgreSQL by its name.
    assert name in str(caught.value) or (
        fields and all(field in str(caught.value) for field in fields)
    )


@pytest.fixture
def call() -> Call:
    dataset = make_dataset()
    prompt = make_prompt(dataset.classes.all()[0])
    return make_call(make_run(dataset), prompt)


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "running"},
        {"state": "running", "lease_token": uuid.uuid4()},
        {"state": "running", "lease_expires_at": timezone.now()},
        {"state": "ready", "lease_token": uuid.uuid4(), "lease_expires_at": timezone.now()},
        {"state": "done", "lease_token": uuid.uuid4()},
    ],
)
def test_a_lease_stands_exactly_while_work_runs(call: Call, fields: dict[str, Any]) -> None:
    refused(Call, "generation_call_lease_iff_running", run=call.run, prompt=call.prompt, **fields)


def test_an_unknown_state_is_refused(call: Call) -> None:
    refused(Call, "generation_call_state_known", run=call.run, prompt=call.prompt, state="asleep")


def test_every_kind_of_work_has_both_constraints() -> None:
    kinds = work_models()
    assert len(kinds) >= 3
    for model in kinds:
        names = {constraint.name for constraint in model._meta.constraints}
        prefix = f"{model._meta.app_label}_{model._meta.model_name}"
        assert {f"{prefix}_lease_iff_running", f"{prefix}_state_known"} <= names


# --- Catalog -------------------------------------------------------------------------


def test_catalog_refuses_bad_rows() -> None:
    user = make_user()
    dataset = make_dataset(curator=user)
    car = dataset.classes.get(name="car")
    refused(Membership, "catalog_membership_one_role", dataset=dataset, user=user, role="admin")
    refused(
        Membership, "catalog_membership_role_known", dataset=dataset, user=make_user(), role="god"
    )
    refused(LabelClass, "catalog_labelclass_name", dataset=dataset, name="car", slug="other")
    refused(LabelClass, "catalog_labelclass_slug", dataset=dataset, name="other", slug=car.slug)
    LabelClass.objects.create(dataset=dataset, name="none", slug="none", is_none_of_these=True)
    refused(
        LabelClass,
        "",
        dataset=dataset,
        name="none too",
        slug="none-too",
        is_none_of_these=True,
    )
    axis = Axis.objects.create(dataset=dataset, name="colour")
    refused(Axis, "catalog_axis_name", dataset=dataset, name="colour")
    AxisValue.objects.create(axis=axis, name="red")
    refused(AxisValue, "catalog_axisvalue_name", axis=axis, name="red")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("catalog_policy_error_in_range", {"target_error": 0}),
        ("catalog_policy_error_in_range", {"target_error": 0.51}),
        ("catalog_policy_confidence_in_range", {"confidence": 0.49}),
        ("catalog_policy_confidence_in_range", {"confidence": 1}),
        ("catalog_policy_reviews_in_range", {"reviews_per_image": 0}),
        ("catalog_policy_reviews_in_range", {"reviews_per_image": 6}),
    ],
)
def test_a_policy_stays_in_range(name: str, fields: dict[str, Any]) -> None:
    dataset = make_dataset()
    dataset.policy.delete()
    refused(QualityPolicy, name, dataset=dataset, **fields)


# --- Prompting ------------------------------------------------------------------------


def test_prompting_refuses_bad_rows() -> None:
    dataset = make_dataset()
    prompt = make_prompt(dataset.classes.all()[0], "A car")
    same = {"dataset": dataset, "label_class": prompt.label_class, "technique": "plain"}
    refused(Prompt, "prompting_prompt_text", **same, text="A CAR.", text_key="a car")
    refused(Prompt, "prompting_prompt_text_given", **same, text="", text_key="")
    refused(Prompt, "prompting_prompt_state_known", **same, text="x", text_key="x", state="maybe")
    refused(
        Prompt,
        "prompting_prompt_technique_known",
        **{**same, "technique": "magic"},
        text="x",
        text_key="x",
    )


# --- Generation -----------------------------------------------------------------------


def test_generation_refuses_bad_rows(call: Call) -> None:
    run = call.run
    refused(
        Run,
        "generation_run_number",
        dataset=run.dataset,
        number=run.number,
        generator="sketch",
        image_count=1,
    )
    refused(Call, "generation_call_count", run=run, prompt=call.prompt, count=0)
    refused(Call, "generation_call_money", run=run, prompt=call.prompt, estimated_micro_usd=-1)
    refused(Call, "generation_call_money", run=run, prompt=call.prompt, billed_micro_usd=-1)
    refused(Call, "", run=run, prompt=call.prompt, idempotency_key=call.idempotency_key)


@pytest.mark.parametrize(
    "money",
    [
        {"limit_micro_usd": 10, "reserved_micro_usd": 6, "spent_micro_usd": 5},
        {"limit_micro_usd": 1, "reserved_micro_usd": -1},
        {"limit_micro_usd": 1, "spent_micro_usd": -1},
        {"limit_micro_usd": -1},
        {"overrun_micro_usd": -1},
    ],
)
def test_a_budget_is_never_passed(money: dict[str, Any]) -> None:
    refused(Budget, "spending_budget_kept", dataset=make_dataset(), **money)


def test_images_are_there_once() -> None:
    drawn = make_image()
    row = {
        field.attname: getattr(drawn, field.attname)
        for field in GeneratedImage._meta.concrete_fields
        if field.name not in {"id", "family"}
    }
    refused(GeneratedImage, "generation_image_once", **row)
    refused(
        GeneratedImage,
        "generation_image_technique_known",
        **{**row, "position": 1, "technique": "magic"},
    )
    imported = {**row, "call_id": None}
    GeneratedImage.objects.create(**imported)
    refused(GeneratedImage, "generation_image_imported_once", **imported)


# --- Scoring ---------------------------------------------------------------------------


def test_scoring_refuses_bad_rows() -> None:
    version = make_version()
    score = make_score(make_image())
    refused(Score, "scoring_score_once", image=score.image, version=version, value=0.1)
    other = make_image()
    refused(Score, "scoring_score_value_iff_applies", image=other, version=version, value=None)
    refused(
        Score,
        "scoring_score_value_iff_applies",
        image=other,
        version=version,
        applies=False,
        value=0.5,
    )
    Embedding.objects.create(image=other, version=version, vector=b"00")
    refused(Embedding, "scoring_embedding_once", image=other, version=version, vector=b"01")
    refused(
        ScorerVersion,
        "scoring_version_once",
        alias=version.alias,
        name="x",
        model=version.model,
        tag=version.tag,
        weights_sha256=version.weights_sha256,
        preprocessing=version.preprocessing,
        registered_at=timezone.now(),
    )


def test_a_dataset_has_one_open_pass_per_version() -> None:
    version = make_version()
    dataset = make_dataset()
    ScoringPass.objects.create(dataset=dataset, version=version, state=WorkState.DONE)
    ScoringPass.objects.create(dataset=dataset, version=version)
    refused(ScoringPass, "scoring_pass_one_open", dataset=dataset, version=version)
