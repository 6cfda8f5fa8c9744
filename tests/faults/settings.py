"""The product's settings for workers under test: fake services, and points to be killed at."""

from __future__ import annotations

import json
import os

from synthreview.settings import *  # noqa: F403
from synthreview.settings import GENERATORS, WORKER_PRELOAD

GENERATORS |= json.loads(os.environ["FAULTS_GENERATORS"])
WORKER_PRELOAD = {**WORKER_PRELOAD, "generation": "tests.faults.points.load"}
