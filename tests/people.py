"""The people of the tests' stories: one of each role, and a stranger."""

from __future__ import annotations

from dataclasses import dataclass

from django.test import Client

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from tests.factories import make_dataset, make_user


@dataclass
class People:
    """A dataset with one member of each role, and a signed-in browser for each person."""

    dataset: Dataset
    users: dict[str, User]

    def client(self, who: str) -> Client:
        client = Client()
        client.force_login(self.users[who])
        return client

    @property
    def label_class(self) -> LabelClass:
        found = self.dataset.classes.first()
        assert found is not None
        return found


def make_people() -> People:
    """Return a dataset of cars and umbrellas, and those who may do something with it or not."""
    roles = ("admin", "curator", "reviewer", "viewer")
    users = {name: make_user(name) for name in (*roles, "stranger")}
    dataset = make_dataset("Traffic", **{role: users[role] for role in roles})
    return People(dataset, users)
