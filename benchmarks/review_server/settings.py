"""The product's settings with one address more: the bare view that it is compared with."""

from synthreview.settings import *  # noqa: F403
from synthreview.settings import MIDDLEWARE as PRODUCT
from synthreview.settings import SCORERS as JUDGES

ROOT_URLCONF = "benchmarks.review_server.urls"
MIDDLEWARE = ["benchmarks.review_server.bare.CountQueries", *PRODUCT]

RATE_LIMITS: dict[str, tuple[int, int]] = {}  # the bench decides faster than a person may
SCORERS = {"clip": JUDGES["clip"]}  # the seeded images have its scores, and no files for others
