"""Exports from before frozen lists keep their images; a worker makes the list and the folder anew."""

from django.db import migrations, models
from django.db.models import F

FIRST_FORM = {"format": "imagefolder", "encoding": ""}


def order_lists(apps, schema_editor):
    Export = apps.get_model("export", "Export")
    ExportItem = apps.get_model("export", "ExportItem")
    Export.objects.update(
        state="ready",
        lease_token=None,
        lease_expires_at=None,
        settled_at=None,
        attempts=0,
        error="",
        frozen_at=F("created_at"),
        wanted=[FIRST_FORM],
    )
    items = ExportItem.objects.filter(decision__isnull=False)
    for item in items.only("pk", "decision_id").iterator(chunk_size=500):
        ExportItem.objects.filter(pk=item.pk).update(looks=[item.decision_id])


class Migration(migrations.Migration):

    dependencies = [("export", "0003_packages_and_frozen_lists")]

    operations = [
        migrations.RunPython(order_lists, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='export',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'done'), _negated=True), models.Q(('frozen_at__isnull', False), ('item_count__gt', 0), models.Q(('list_sha256', ''), _negated=True)), _connector='OR'), name='export_export_done_is_frozen'),
        ),
    ]
