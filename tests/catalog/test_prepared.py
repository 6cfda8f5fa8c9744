"""Queries that are compiled once give what the queryset gives."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.models import F, QuerySet
from django.test.utils import CaptureQueriesContext

from synthreview.accounts.models import User
from synthreview.catalog.models import LabelClass, Membership
from synthreview.catalog.prepared import Prepared
from tests.factories import make_dataset, make_user


def by_user(user: int, slug: int) -> QuerySet[Membership]:
    rows = Membership.objects.filter(user=user, dataset__slug=slug)
    return rows.select_related("dataset__policy").annotate(title=F("dataset__name"))


@pytest.fixture
def members(db: None) -> dict[str, User]:
    users = {name: make_user(name) for name in ("rita", "otto")}
    make_dataset("Things", reviewer=users["rita"], curator=users["otto"])
    make_dataset("Others", reviewer=users["otto"])
    return users


def test_each_asks_for_its_own_row_in_one_query(members: dict[str, User]) -> None:
    query = Prepared(by_user, "user", "slug")
    for name, slug, role in (
        ("rita", "things", "reviewer"),
        ("otto", "things", "curator"),
        ("otto", "others", "reviewer"),
    ):
        with CaptureQueriesContext(connection) as queries:
            found = query.first(user=members[name].pk, slug=slug)
            assert found is not None
            assert found.role == role
            assert found.dataset.slug == slug
            assert found.dataset.policy.confidence == 0.95
        assert len(queries) == 1
        direct = by_user(members[name].pk, slug).get()
        assert found == direct
        assert found.dataset.created_at == direct.dataset.created_at
        assert found.title == direct.title


def test_no_row_is_none(members: dict[str, User]) -> None:
    query = Prepared(by_user, "user", "slug")
    assert query.first(user=members["rita"].pk, slug="others") is None
    assert query.first(user=0, slug="' OR 1=1 --") is None


def test_json_and_missing_neighbours_are_read(members: dict[str, User]) -> None:
    label_class = LabelClass.objects.first()
    assert label_class is not None
    label_class.synonyms = ["one", "two"]
    label_class.save()
    query = Prepared(lambda pk: LabelClass.objects.filter(pk=pk), "pk")
    found = query.first(pk=label_class.pk)
    assert found is not None
    assert found.synonyms == ["one", "two"]


def test_a_gap_must_be_a_value(db: None) -> None:
    query = Prepared(lambda unused: LabelClass.objects.all(), "unused")
    with pytest.raises(AssertionError, match="not a plain value"):
        query.first(unused=1)


def test_postgresql_plans_it_once_for_a_connection(members: dict[str, User]) -> None:
    query = Prepared(by_user, "user", "slug")
    with CaptureQueriesContext(connection) as queries:
        for _ in range(4):
            assert query.first(user=members["rita"].pk, slug="things") is not None
    assert len(queries) == 4, "it is counted like any other"
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT statement FROM pg_prepared_statements")
            planned = [words for (words,) in cursor.fetchall()]
        assert [words for words in planned if "catalog_membership" in words], planned
        assert not [words for words in planned if "pg_prepared_statements" in words]
