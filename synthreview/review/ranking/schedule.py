"""When the queue is put in order anew. The web process reads this file: it needs no NumPy."""

from __future__ import annotations

LEAST_STEP = 20  # decisions between two models
STEP_SHARE = 20  # one part in so many of the decisions so far, where that is more


def next_model_at(decisions: int) -> int:
    """Return how many decisions there must be before the model is fitted again."""
    return decisions + max(LEAST_STEP, decisions // STEP_SHARE)
