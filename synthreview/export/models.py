"""HAND OVER: frozen lists of images, and the folders written from them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse

from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.review.models import Decision
from synthreview.work.models import DurableWork


class Export(DurableWork):
    """A numbered, frozen list of images; never changed once made.

    As durable work it is the job that writes the list out. What was approved when it was
    made is in it, whatever is undone later. `certificate` is the sentence that vouched for
    unreviewed images at that moment; empty where every image was approved.
    """

    QUEUE = "export"
    JOB = "synthreview.export.jobs.write_export"

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    shares = models.JSONField()
    item_count = models.PositiveIntegerField()
    certificate = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta(DurableWork.Meta):
        ordering = ["-pk"]
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(fields=["dataset", "number"], name="export_export_number"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset} export {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("export", args=[self.dataset.slug, self.number])

    @property
    def folder_name(self) -> str:
        return f"{self.dataset.slug}-{self.number}"


class ExportItem(models.Model):
    """One image of an export as it was when the list was frozen.

    `decision` approved it; null where a certificate let it in unreviewed.
    """

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="items")
    image = models.ForeignKey(GeneratedImage, on_delete=models.PROTECT, related_name="+")
    decision = models.ForeignKey(Decision, null=True, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveIntegerField()
    split = models.CharField(max_length=12)
    class_name = models.CharField(max_length=120)
    class_folder = models.SlugField(max_length=60)

    class Meta:
        ordering = ["export", "position"]
        constraints = [
            models.UniqueConstraint(fields=["export", "image"], name="export_item_once"),
            models.UniqueConstraint(fields=["export", "position"], name="export_item_position"),
        ]

    def __str__(self) -> str:
        return f"{self.export_id} #{self.position}"
