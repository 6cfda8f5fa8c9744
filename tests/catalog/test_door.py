"""The door of a dataset's pages: what it lets in, and that it asks the database once."""

from __future__ import annotations

import pytest
from django.db import connection
from django.http import Http404
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import Membership
from synthreview.catalog.pages import find_dataset
from synthreview.catalog.permissions import Action, actions_of
from tests.factories import make_dataset, make_user

pytestmark = pytest.mark.django_db


def test_dataset_policy_role_and_classes_are_one_query() -> None:
    user = make_user("rita")
    dataset = make_dataset("Things", reviewer=user)
    chosen = dataset.classes.all()[:2]
    Membership.objects.get(user=user).classes.set(chosen)
    with CaptureQueriesContext(connection) as queries:
        found = find_dataset(user, "things")
        assert found == dataset
        assert found.policy.confidence == 0.95
        assert actions_of(user, found) == {Action.VIEW, Action.REVIEW}
        membership = found.membership_of(user)
        assert membership is not None
        assert membership.class_ids == tuple(sorted(one.pk for one in chosen))
    assert len(queries) == 1


def test_a_kept_membership_is_its_persons_alone() -> None:
    rita, otto = make_user("rita"), make_user("otto")
    make_dataset("Things", reviewer=rita, admin=otto)
    found = find_dataset(rita, "things")
    assert actions_of(otto, found) == frozenset(Action)
    assert actions_of(make_user("stranger"), found) == frozenset()


def test_a_superuser_comes_in_with_and_without_a_membership() -> None:
    root = make_user("root", is_superuser=True)
    make_dataset("Things", reviewer=root)
    make_dataset("Others")
    with CaptureQueriesContext(connection) as queries:
        others = find_dataset(root, "others")
        assert others.membership_of(root) is None
        assert actions_of(root, others) == frozenset(Action)
    assert len(queries) == 1
    membership = find_dataset(root, "things").membership_of(root)
    assert membership is not None
    assert membership.role == "reviewer"


def test_others_find_nothing() -> None:
    make_dataset("Things", reviewer=make_user("rita"))
    stranger = make_user("stranger")
    for slug in ("things", "nothing"):
        with pytest.raises(Http404):
            find_dataset(stranger, slug)
