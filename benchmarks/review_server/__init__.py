"""The server that bench_review.py measures: the product, and beside it the barest view."""

SLUG = "bench"
