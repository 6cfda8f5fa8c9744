"""RQ workers that fit durable work: a child never outlives its parent.

`kill -9` of RQ's own worker leaves its forked job running, and about a minute later a
second worker runs the same job beside it. Ours asks the kernel to end the child with
its parent (Linux); elsewhere the lease token keeps the orphan's late writes out.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from django.db import close_old_connections
from rq import SimpleWorker, Worker
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue

from synthreview.lib.logs import doing

PR_SET_PDEATHSIG = 1


class CallWorker(Worker):
    """Forks for each job, so that a crash in one call ends only that call."""

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        with doing(job=str(job.id), queue=queue.name):
            return super().perform_job(job, queue, execution)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        die_with_parent(os.getppid())
        super().main_work_horse(job, queue)


class ModelWorker(SimpleWorker):
    """Works in its own process, so that a model once loaded stays loaded."""

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        close_old_connections()  # the database may have been restarted since, as for a request
        with doing(job=str(job.id), queue=queue.name):
            return super().perform_job(job, queue, execution)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended between fork and prctl
        os._exit(1)
