"""What a certificate says of one export, in numbers and in the sentence for its card."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from synthreview.review.certifying import Certificate, percent
from synthreview.review.models import Certification, Decision, ImageReview, ImageState
from synthreview.review.reviewer_error import FOR_AUDITS, TrueBound, true_bound
from synthreview.review.trials import trials_of, weights_of


def unseen(certification: Certification) -> QuerySet[ImageReview]:
    """Return the population's images that wait and of which nobody ever said a word."""
    return ImageReview.objects.filter(
        ~Exists(Decision.objects.filter(image=OuterRef("image"))),
        cohort__certification=certification,
        state=ImageState.PENDING,
    )


@dataclass(frozen=True, slots=True)
class Promise:
    """What a certificate says of one export.

    `approved` and `unseen` are of the population; `outside` were approved one by one apart from
    it. At most `error` of approved + unseen is bad, by the reviewers' own standard. `truth`
    bounds the reviewers' misses too; None where they were not measured. `trials` looks did that.
    """

    certificate: Certificate
    approved: int
    unseen: int
    outside: int
    reviews_per_image: int
    truth: TrueBound | None = None
    trials: int = 0

    @property
    def unseen_reviews(self) -> QuerySet[ImageReview]:
        """Return which images nobody looked at it lets out."""
        return unseen(self.certificate.certification)

    @property
    def covered(self) -> int:
        return self.approved + self.unseen

    @property
    def error(self) -> float:
        return (
            self._left(self.certificate.bound.remaining_bad) / self.covered if self.covered else 0.0
        )

    def _left(self, remaining_bad: int) -> int:
        # Rejected ones that do not count yet are among the bad that may be left, and stay here.
        later = self.certificate.rejected - self.certificate.bound.found_bad
        return min(max(0, remaining_bad - later), self.unseen)

    @property
    def true_error(self) -> float | None:
        """Return the error with the reviewers' own misses in it; None where that says nothing."""
        if self.truth is None or not self.covered:
            return None
        left = self._left(self.truth.called.remaining_bad) + self.truth.passed
        return left / self.covered if left < self.covered else None

    @property
    def is_kept(self) -> bool:
        """Return whether both the population and this very export meet the target."""
        return self.certificate.is_met and self.error <= self.certificate.target

    @property
    def sentence(self) -> str:
        """Return what the card of the dataset says."""
        bound = self.certificate.bound
        judge = "one reviewer" if self.reviews_per_image == 1 else "its reviewers"
        these = (
            f"the {self.covered:,} labels it covers"
            if self.outside
            else f"these {self.covered:,} labels"
        )
        confidence = percent(1 - bound.alpha, up=False)
        said = (
            f"With confidence {confidence}, at most "
            f"{percent(self.error)} of {these} are wrong as judged by {judge} (running "
            f"certificate over {bound.population:,} images: {bound.audits:,} audits, "
            f"{bound.found_bad:,} found bad)."
        )
        if self.outside:
            said += f" {self.outside:,} more were approved one by one outside of it."
        return f"{said} {self.of_mistakes}"

    @property
    def of_mistakes(self) -> str:
        """Return what is known of the reviewers' own mistakes, in a sentence."""
        confidence = percent(self.certificate.certification.confidence, up=False)
        if self.truth is None:
            return "Mistakes of the reviewers themselves are not included."
        if self.true_error is None:
            return (
                "Mistakes of the reviewers themselves are not included: "
                f"{self.trials:,} looks at known bad images are too few to bound them."
            )
        return (
            "Mistakes of the reviewers themselves included, at most "
            f"{percent(self.true_error)} are wrong, with confidence {confidence}: of the bad "
            "images they pass at most "
            f"{percent(self.truth.miss_rate)} (from {self.trials:,} looks at known bad images)."
        )


def truth_of(certificate: Certificate) -> tuple[TrueBound | None, int]:
    """Return the bound with the reviewers' own misses, and from how many trials; two queries."""
    dataset = certificate.certification.dataset
    trials = trials_of(dataset)
    count = sum(one.count for one in trials.values())
    if not count:
        return None, 0
    alpha = certificate.alpha
    called = certificate.bound_at(alpha * FOR_AUDITS)
    weights = weights_of(certificate.certification)
    return true_bound(called, trials, weights, alpha=alpha), count


def promise(certificate: Certificate, *, reviews_per_image: int) -> Promise:
    """Return what an export of this moment would say if it took the unseen along."""
    certification = certificate.certification
    approved = ImageReview.objects.approved().filter(dataset=certification.dataset)
    inside = Q(cohort__certification=certification)
    counts = approved.aggregate(inside=Count("pk", filter=inside), whole=Count("pk"))
    truth, trials = truth_of(certificate)
    return Promise(
        certificate=certificate,
        approved=counts["inside"],
        unseen=unseen(certification).count(),
        outside=counts["whole"] - counts["inside"],
        reviews_per_image=reviews_per_image,
        truth=truth,
        trials=trials,
    )
