"""`manage.py certify DATASET`: say what is certain of the labels now, or start the certificate."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_dataset
from synthreview.review.certifying import (
    Certificate,
    CertificationError,
    audits_needed,
    certificate_of,
    open_certification,
    percent,
    start_certification,
)


class Command(DatasetCommand):
    help = "Say what the running certificate bounds at this moment; --start begins one."
    expected = (CertificationError,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--start",
            action="store_true",
            help="freeze what nobody has been handed yet, and begin",
        )

    def answer_to(self, *, dataset: str, start: bool, **options: Any) -> None:
        found = find_dataset(dataset)
        if start:
            start_certification(dataset=found)
        certification = open_certification(found)
        if certification is None:
            raise CertificationError(f"No certificate runs for {found.slug}; --start begins one.")
        certificate = certificate_of(certification)
        needed = audits_needed(certificate)
        bound = certificate.bound
        self.answer(
            {
                "dataset": found.slug,
                "certificate": certification.number,
                "target_error": certificate.target,
                "confidence": certification.confidence,
                "population": bound.population,
                "handed_out": certificate.handed,
                "reviewed": bound.reviewed,
                "audits": bound.audits,
                "found_bad": bound.found_bad,
                "remaining_bad_at_most": bound.remaining_bad,
                "error_at_most": bound.error,
                "is_met": certificate.is_met,
                "more_audits": needed,
            },
            f"Certificate {certification.number} of {found.slug}: at most "
            f"{percent(bound.error)} wrong, {_outlook(certificate, needed)} "
            f"({bound.reviewed} of {bound.population} images reviewed, {bound.audits} by audit).",
            options,
        )


def _outlook(certificate: Certificate, needed: int | None) -> str:
    target = percent(certificate.target)
    if certificate.is_met:
        return f"which meets the target of {target}"
    if needed is None:
        return f"and the audits so far show too many bad ones to reach {target}"
    return f"and about {needed} more audits reach {target}"
