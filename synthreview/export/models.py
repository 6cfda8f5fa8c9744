"""HAND OVER: frozen lists of images, and the folders written from them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.urls import reverse

from synthreview.catalog.models import Dataset, ReferenceImage
from synthreview.export.writers.encoding import parse_encoding
from synthreview.export.writers.formats import FORMATS
from synthreview.generation.models import GeneratedImage
from synthreview.review.models import Decision
from synthreview.work.models import DurableWork, WorkState


class Export(DurableWork):
    """A numbered, frozen list of images; never changed once it is DONE.

    As durable work it is the job that makes the list. What was approved at `frozen_at` is in it,
    whatever is undone later; while that is null the items are a draft. `list_sha256` names the
    file that holds the list with every image's history, and `facts` is what the card says of
    the whole: nothing that is written from them later looks anything up. `certificate` is the
    sentence that vouched for unreviewed images; empty where every image was approved. `wish` is
    a splits.Wish, `selection` a collecting.Selection, and `wanted` are the packages to write, as
    {"format": …, "encoding": …}.
    """

    QUEUE = "export"
    JOB = "synthreview.export.jobs.freeze"

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    wish = models.JSONField()
    selection = models.JSONField(default=dict)
    wanted = models.JSONField(default=list)
    item_count = models.PositiveIntegerField(default=0)
    certificate = models.TextField(blank=True)
    facts = models.JSONField(default=dict)
    list_sha256 = models.CharField(max_length=64, blank=True)
    frozen_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta(DurableWork.Meta):
        ordering = ["-pk"]
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(fields=["dataset", "number"], name="export_export_number"),
            models.CheckConstraint(
                name="export_export_done_is_frozen",
                condition=~models.Q(state=WorkState.DONE)
                | models.Q(frozen_at__isnull=False, item_count__gt=0) & ~models.Q(list_sha256=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset} export {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("export", args=[self.dataset.slug, self.number])


class Package(DurableWork):
    """An export written in one format; as durable work it is the job that writes it.

    `encoding` is the form that every image gets, empty for the originals. It ends DONE with its
    folder in place, or FAILED with the reason and nothing there.
    """

    QUEUE = "export"
    JOB = "synthreview.export.jobs.write_package"

    export = models.ForeignKey(Export, on_delete=models.PROTECT, related_name="packages")
    format = models.CharField(max_length=20)
    encoding = models.CharField(max_length=40, blank=True)
    done_count = models.PositiveIntegerField(default=0)
    byte_count = models.PositiveBigIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta(DurableWork.Meta):
        ordering = ["pk"]
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(
                fields=["export", "format", "encoding"], name="export_package_once"
            ),
            models.CheckConstraint(
                name="export_package_format_known", condition=models.Q(format__in=list(FORMATS))
            ),
        ]

    def __str__(self) -> str:
        return self.folder_name

    @property
    def name(self) -> str:
        """Return what tells it from the export's other packages, as part of addresses and names."""
        return f"{self.format}-{self.encoding}" if self.encoding else self.format

    @property
    def folder_name(self) -> str:
        return f"{self.export.dataset.slug}-{self.export.number}-{self.name}"

    @property
    def title(self) -> str:
        return FORMATS[self.format].title

    @property
    def encoding_in_words(self) -> str:
        wish = parse_encoding(self.encoding)
        return wish.in_words if wish else "original files byte for byte"


class Delivery(DurableWork):
    """A package on its way to a destination; as durable work it is the job that sends it.

    It ends DONE with the `place` where it lies, or FAILED with the reason.
    """

    QUEUE = "export"
    JOB = "synthreview.export.delivering.deliver"
    MAX_ATTEMPTS = 5

    package = models.ForeignKey(Package, on_delete=models.PROTECT, related_name="deliveries")
    destination = models.CharField(max_length=40)
    sent_bytes = models.PositiveBigIntegerField(default=0)
    place = models.CharField(max_length=400, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta(DurableWork.Meta):
        ordering = ["pk"]
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(fields=["package", "destination"], name="export_delivery_once"),
        ]

    def __str__(self) -> str:
        return f"{self.package} to {self.destination}"


class Webhook(models.Model):
    """An address that is told when an export of the dataset is finished.

    The `secret` signs what is sent; whoever receives it needs the same.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    url = models.URLField(max_length=400)
    secret = models.CharField(max_length=80)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="export_webhook_is_whole", condition=~models.Q(url="") & ~models.Q(secret="")
            ),
        ]

    def __str__(self) -> str:
        return f"webhook {self.pk} of {self.dataset}"


class WebhookCall(DurableWork):
    """One webhook told of one package; the receiver tells repetitions by `event_id`."""

    QUEUE = "export"
    JOB = "synthreview.export.webhooks.send_call"
    MAX_ATTEMPTS = 6

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="calls")
    package = models.ForeignKey(Package, on_delete=models.PROTECT, related_name="+")
    event_id = models.UUIDField(default=uuid.uuid4, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(DurableWork.Meta):
        ordering = ["-pk"]
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(fields=["webhook", "package"], name="export_webhookcall_once"),
        ]

    def __str__(self) -> str:
        return f"{self.webhook} told of {self.package}"


class ExportItem(models.Model):
    """One image of an export as it was when the list was frozen.

    `decision` approved it; null where a certificate let it in unreviewed. `looks` are the keys
    of all decisions that counted, and `family` the component of the ancestry that it is in.
    """

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="items")
    image = models.ForeignKey(GeneratedImage, on_delete=models.PROTECT, related_name="+")
    decision = models.ForeignKey(Decision, null=True, on_delete=models.PROTECT, related_name="+")
    looks = models.JSONField(default=list)
    position = models.PositiveIntegerField()
    split = models.CharField(max_length=12)
    family = models.CharField(max_length=36, blank=True)
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


class OmissionReason(models.TextChoices):
    NEAR_TEST = "near-test", "of one family with a test image"


class Omission(models.Model):
    """One image that might have left, and was left out for the export's sake.

    `test_image` is the real image that it would have given away.
    """

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="omissions")
    image = models.ForeignKey(GeneratedImage, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=20, choices=OmissionReason)
    test_image = models.ForeignKey(
        ReferenceImage, null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ["export", "image"]
        constraints = [
            models.UniqueConstraint(fields=["export", "image"], name="export_omission_once"),
            models.CheckConstraint(
                name="export_omission_reason_known",
                condition=models.Q(reason__in=OmissionReason.values),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.image_id} left out of {self.export_id}"


class CardLine(models.Model):
    """A sentence that a later stage has the cards of the dataset's next exports say: its newest.

    `heading` is what it stands under, one line each. What is frozen keeps what it said.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    heading = models.CharField(max_length=80)
    text = models.TextField()

    class Meta:
        ordering = ["dataset", "heading"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "heading"], name="export_cardline_once"),
            models.CheckConstraint(
                name="export_cardline_is_whole",
                condition=~models.Q(heading="") & ~models.Q(text=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.heading} of {self.dataset}"
