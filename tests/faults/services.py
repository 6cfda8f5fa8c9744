"""The paid services of the tests, as generators: without and with an idempotency key. No Django."""

from __future__ import annotations

from typing import Any

from tests.servers_fake.images_client import ImagesServer

PLAIN, KEYED = "plain", "keyed"
HTTP = "synthreview.generation.generators.http.HttpGenerator"
TIMEOUT_S = 2.0
SIZE_PX = 64


def adapters(servers: dict[str, ImagesServer]) -> dict[str, dict[str, Any]]:
    """Return the entries of GENERATORS for the fakes: without and with an idempotency key."""
    options = {
        "able": ["text"],
        "sizes_px": [SIZE_PX],
        "images_per_call": 2,
        "takes_seed": True,
        "price_usd_per_image": "0.04",
        "timeout_s": TIMEOUT_S,
    }
    return {
        alias: {
            "BACKEND": HTTP,
            "OPTIONS": {
                **options,
                "url": server.base_url,
                "takes_idempotency_key": alias == KEYED,
            },
        }
        for alias, server in servers.items()
    }
