"""`manage.py doctor`: look at everything that SynthReview needs, and say what is wrong."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from synthreview.catalog.management.base import ScriptCommand
from synthreview.overview.doctor import Level, examine

MARKS = {Level.OK: "ok     ", Level.WARNING: "warning", Level.FAULT: "FAULT  "}


class Command(ScriptCommand):
    help = "Check database, Redis, storage, workers, models and adapters; 1 where one is at fault."
    requires_system_checks = ()  # it says the same in more words

    def answer_to(self, **options: Any) -> None:
        findings = examine()
        faults = [finding for finding in findings if finding.level == Level.FAULT]
        styles = {
            Level.OK: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.FAULT: self.style.ERROR,
        }
        lines = []
        for finding in findings:
            mark = styles[finding.level](MARKS[finding.level])
            lines.append(f"{mark} {finding.area}: {finding.text}")
            if finding.advice:
                lines.append(f"        → {finding.advice}")
        self.answer(
            {
                "well": not faults,
                "findings": [
                    {
                        "area": finding.area,
                        "level": finding.level.value,
                        "text": finding.text,
                        "advice": finding.advice,
                    }
                    for finding in findings
                ],
            },
            "\n".join(lines),
            options,
        )
        if faults:
            count = "1 fault was" if len(faults) == 1 else f"{len(faults)} faults were"
            raise CommandError(f"{count} found: {faults[0].area}: {faults[0].text}")
