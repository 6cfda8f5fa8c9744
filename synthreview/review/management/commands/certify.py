"""`manage.py certify DATASET`: say what is certain of the labels now, or start the certificate."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_dataset
from synthreview.review.certifying import (
    MORE_AUDITS,
    Certificate,
    CertificationError,
    audits_needed,
    certificate_of,
    error_with_more,
    extend_certification,
    log_of,
    open_certification,
    percent,
    start_certification,
    strata_of,
)
from synthreview.review.promises import truth_of


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
        parser.add_argument(
            "--extend",
            action="store_true",
            help="take what came since and nobody has been handed into the running one",
        )
        parser.add_argument(
            "--log",
            action="store_true",
            help="print all that the bound is computed from, a JSON object a line, and end",
        )

    def answer_to(
        self, *, dataset: str, start: bool, extend: bool, log: bool, **options: Any
    ) -> None:
        found = find_dataset(dataset)
        if start:
            start_certification(dataset=found)
        certification = open_certification(found)
        if certification is None:
            raise CertificationError(f"No certificate runs for {found.slug}; --start begins one.")
        if extend:
            extend_certification(certification)
        if log:
            for line in log_of(certification):
                self.stdout.write(json.dumps(line, ensure_ascii=False))
            return
        certificate = certificate_of(certification)
        truth, trials = truth_of(certificate)
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
                "removed_unseen": bound.removed,
                "found_at_least": bound.recall,
                "audit_share": found.policy.current_audit_share,
                "error_with_50_more": error_with_more(
                    certificate, audits=MORE_AUDITS, rate=certificate.audit_rate
                ),
                "strata": [
                    {
                        "kind": one.kind,
                        "name": one.name,
                        "images": one.population,
                        "reviewed": one.reviewed,
                        "audits": one.audits,
                        "found_bad": one.found_bad,
                        "error_at_most_alone": one.alone.error if one.alone else None,
                        "error_at_most_all_at_once": one.together.error if one.together else None,
                    }
                    for one in strata_of(certificate)
                ],
                "reviewers_included": {
                    "error_at_most": truth.error,
                    "miss_rate_at_most": truth.miss_rate,
                    "trials": trials,
                }
                if truth
                else None,
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
