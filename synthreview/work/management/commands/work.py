"""`manage.py work QUEUE`: one worker on one queue (two would let RQ lose a job in a crash)."""

from __future__ import annotations

import os
from typing import Any

import django_rq
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string
from redis.exceptions import RedisError

from synthreview.work.workers import CallWorker, ModelWorker


class Command(BaseCommand):
    help = "Run one worker on one queue until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("queue", choices=settings.QUEUE_NAMES)
        parser.add_argument("--burst", action="store_true", help="end when the queue is empty")

    def handle(self, *args: Any, queue: str, burst: bool, **options: Any) -> None:
        if hasattr(os, "nice"):
            os.nice(settings.WORKER_NICE[queue])
        if preload := settings.WORKER_PRELOAD.get(queue):
            import_string(preload)()
        kind: Any = ModelWorker if queue in settings.KEEPS_MODELS else CallWorker
        # RQ's workers unpickle by default, whatever their queue's serializer.
        worker = django_rq.get_worker(
            queue, worker_class=kind, serializer=settings.RQ_QUEUES[queue]["SERIALIZER"]
        )
        try:
            worker.work(burst=burst, logging_level="WARNING")
        except RedisError as error:
            raise CommandError(f"Redis does not answer at REDIS_URL: {error}") from error
