"""What a membership lets a person do, and what the database refuses of it."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from synthreview.catalog.models import Membership, QualityPolicy
from synthreview.catalog.permissions import Action, actions_of
from tests.people import People, make_people

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> People:
    return make_people()


def test_curators_and_admins_adjudicate_and_reviewers_who_were_asked_to(people: People) -> None:
    dataset = people.dataset

    def may_adjudicate() -> set[str]:
        return {
            name
            for name, user in people.users.items()
            if Action.ADJUDICATE in actions_of(user, dataset)
        }

    assert may_adjudicate() == {"admin", "curator"}
    Membership.objects.update(may_adjudicate=True)
    assert may_adjudicate() == {"admin", "curator", "reviewer"}, "a viewer judges nothing"


@pytest.mark.parametrize(
    ("model", "bad"),
    [
        (Membership, {"daily_limit": 0}),
        (QualityPolicy, {"gold_share": 0.6}),
        (QualityPolicy, {"gold_share": -0.1}),
        (QualityPolicy, {"asked_share": -0.1}),
        (QualityPolicy, {"asked_share": 1.1}),
        (QualityPolicy, {"steered_audit_share": 1.1}),
        (QualityPolicy, {"is_high_risk": True, "reviews_per_image": 1}),
    ],
    ids=str,
)
def test_the_database_refuses(
    people: People, model: type[Membership] | type[QualityPolicy], bad: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.update(**bad)


def test_the_share_of_audits_is_the_steered_one_where_it_adapts(people: People) -> None:
    policy = people.dataset.policy
    assert policy.current_audit_share == policy.audit_share
    policy.steered_audit_share = 0.7
    assert policy.current_audit_share == 0.7
    policy.adapts_audit_share = False
    assert policy.current_audit_share == policy.audit_share
