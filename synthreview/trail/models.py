"""The rows of the audit trail: added, and never changed or deleted, not even by us."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from synthreview.trail.acts import Act


class Entry(models.Model):
    """One act of one person, with what it changed.

    It holds names beside keys and points to no other row: it outlives what it tells of. Triggers
    in the database (guard.py) refuse to change or delete it. `actor` is empty where a command or
    a worker acted, and `via` says which: "web", "api", "command sweep".
    """

    at = models.DateTimeField(db_default=Now(), db_index=True)
    actor = models.CharField(max_length=150, blank=True)
    actor_id = models.BigIntegerField(null=True)
    via = models.CharField(max_length=80)
    act = models.CharField(max_length=40)
    kind = models.CharField(max_length=60)
    thing = models.CharField(max_length=200, blank=True)
    thing_id = models.CharField(max_length=40, blank=True)
    dataset_id = models.BigIntegerField(null=True)
    before = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    after = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "entries"
        indexes = [
            # The page of one dataset, the latest first.
            models.Index(fields=["dataset_id", "-id"], name="trail_entry_of_dataset"),
        ]

    def __str__(self) -> str:
        return f"{self.actor or self.via} {self.words} {self.thing}"

    @property
    def words(self) -> str:
        """Return the act in words; its code where this release does not know it."""
        return Act(self.act).label if self.act in Act.values else self.act

    @property
    def changes(self) -> list[tuple[str, object, object]]:
        """Return (field, before, after) for what the act changed; None where it was not there."""
        names = [*self.before, *(name for name in self.after if name not in self.before)]
        return [(name, self.before.get(name), self.after.get(name)) for name in names]
