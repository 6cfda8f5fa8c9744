from decimal import Decimal

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("generation", "0001_initial")]

    operations = [
        migrations.RemoveConstraint(model_name="budget", name="generation_budget_kept"),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "limit_usd__gte",
                        models.F("reserved_usd") + models.F("spent_usd") - Decimal("0.0000005"),
                    ),
                    ("reserved_usd__gte", 0),
                    ("spent_usd__gte", 0),
                ),
                name="generation_budget_kept",
            ),
        ),
    ]
