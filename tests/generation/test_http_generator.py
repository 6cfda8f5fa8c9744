"""The project's own HTTP contract: the example server, and a service that goes wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synthreview.generation.generators.base import (
    CAPABILITIES,
    FUSION,
    INPAINT,
    TEXT,
    TYPOGRAPHIC,
    VARIATION,
    DrawRequest,
    Health,
)
from synthreview.generation.generators.http import HttpGenerator
from synthreview.lib.outcomes import (
    OutcomeUnknownError,
    OutOfCreditError,
    PermanentError,
    RateLimitedError,
    RefusedError,
    ServiceError,
    TransientError,
    UnusableAnswerError,
)
from tests.generation.pictures import changed_box, mask_png, opened, plain_png
from tests.servers_fake.images_client import ImagesServer

EXAMPLE = Path(__file__).parents[2] / "docs" / "example_images_server.py"
Serve = Callable[..., ImagesServer]
KEY = "secret-of-the-service"


@pytest.fixture(scope="module")
def example() -> Iterator[str]:
    """The address of the example server of the docs, run as its page says."""
    with subprocess.Popen(
        [sys.executable, str(EXAMPLE), "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def service(url: str, **options: Any) -> HttpGenerator:
    given: dict[str, Any] = {
        "able": CAPABILITIES,
        "sizes_px": [256],
        "images_per_call": 4,
        "takes_seed": True,
        "takes_negative_prompt": True,
        "price_usd_per_image": 0.05,
        "timeout_s": 5,
    }
    return HttpGenerator(url=url, **{**given, **options})


def ask(chosen: HttpGenerator, **fields: Any) -> Any:
    request = DrawRequest(**{"prompt": "a red dog", "size_px": 256, "seed": 7, **fields})
    return chosen.draw(request, idempotency_key="key-1")


# --- The example of the docs


def test_the_example_is_as_short_as_promised() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 60


def test_the_example_draws(example: str) -> None:
    chosen = service(example, able=[TEXT, VARIATION])
    result = ask(chosen, count=3)
    assert [image.seed for image in result.images] == [7, 8, 9]
    assert len({image.data for image in result.images}) == 3
    assert (result.model, result.cost_micro_usd) == ("flat", 0)
    other = chosen.draw(DrawRequest(prompt="a red dog", size_px=256, seed=9), idempotency_key="2")
    assert other.images[0].data == result.images[2].data
    assert chosen.health() == Health(facts=("title: Example",))


def test_the_example_does_the_work_of_one_key_once(example: str) -> None:
    chosen = service(example, able=[TEXT])
    request = DrawRequest(prompt="a dog", size_px=256)
    first, again = (chosen.draw(request, idempotency_key="same") for _ in range(2))
    other = chosen.draw(request, idempotency_key="other")
    assert first.images[0].data == again.images[0].data
    assert first.images[0].data != other.images[0].data


def test_the_example_says_what_it_cannot_do(example: str) -> None:
    with pytest.raises(PermanentError, match=r"I can do \['text', 'variation'\]"):
        ask(service(example), capability=FUSION, images=(plain_png(), plain_png()))
    (fault,) = service(example).health().faults
    assert "cannot do fusion, inpaint, typographic" in fault


# --- What is sent and read


def test_every_field_of_a_request_reaches_the_service(images_server: Serve) -> None:
    server = images_server("http")
    chosen = service(server.base_url, options=[{"name": "steps", "kind": "number", "default": 20}])
    result = ask(chosen, count=2, negative_prompt="blurry", slots={"colour": "red"})
    (request,) = server.requests
    assert request["headers"]["idempotency-key"] == "key-1"
    assert request["fields"] == {
        "contract": 1,
        "capability": "text",
        "prompt": "a red dog",
        "negative_prompt": "blurry",
        "count": 2,
        "size_px": 256,
        "seed": 7,
        "images": [],
        "mask": None,
        "slots": {"colour": "red"},
        "options": {"steps": 20},
    }
    assert [image.seed for image in result.images] == [7, 8]
    assert result.cost_micro_usd == server.charged_micro_usd == 80_000
    assert chosen.estimate_micro_usd(DrawRequest(prompt="", count=2)) == 100_000


@pytest.mark.parametrize("capability", [VARIATION, FUSION, INPAINT, TYPOGRAPHIC])
def test_inputs_and_mask_reach_the_service(capability: str, images_server: Serve) -> None:
    server = images_server("http")
    sources = (plain_png((300, 200), "red"), plain_png((64, 64), "blue"))
    sources = sources[: 2 if capability == FUSION else 1]
    mask = mask_png((300, 200), (0, 0, 99, 99)) if capability == INPAINT else None
    (image,) = ask(
        service(server.base_url), capability=capability, images=sources, mask=mask
    ).images
    keeps_size = capability in (INPAINT, TYPOGRAPHIC)
    assert opened(image.data).size == ((300, 200) if keeps_size else (256, 256))
    if mask:
        assert changed_box(opened(sources[0]), opened(image.data)) == (0, 0, 100, 100)


def test_the_key_is_sent_from_the_environment_and_hidden_from_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ImagesServer("http", needs_key=KEY) as server:
        chosen = service(server.base_url, api_key_env="MY_SERVICE_KEY")
        with pytest.raises(PermanentError, match="HTTP 401"):
            ask(chosen)
        monkeypatch.setenv("MY_SERVICE_KEY", KEY)
        assert ask(chosen).images
        monkeypatch.setenv("MY_SERVICE_KEY", f"{KEY}x")
        with pytest.raises(PermanentError) as caught:
            ask(chosen)
        assert "Incorrect API key: [key]." in str(caught.value)
        assert KEY not in repr(vars(chosen))


# --- Faults


@pytest.mark.parametrize(
    ("step", "expected", "charged"),
    [
        ({"do": "fail"}, TransientError, False),
        ({"do": "fail", "status": 503}, TransientError, False),
        ({"do": "fail", "status": 409}, TransientError, False),
        ({"do": "fail", "status": 504}, OutcomeUnknownError, False),
        ({"do": "fail", "status": 404}, PermanentError, False),
        ({"do": "fail", "status": 302}, PermanentError, False),
        ({"do": "no_credit"}, OutOfCreditError, False),
        ({"do": "refuse"}, RefusedError, False),
        ({"do": "rate_limit", "retry_after": 7}, RateLimitedError, False),
        ({"do": "reset"}, OutcomeUnknownError, False),
        ({"do": "drop"}, OutcomeUnknownError, True),
        ({"do": "cut"}, OutcomeUnknownError, True),
        ({"do": "late", "seconds": 2}, OutcomeUnknownError, True),
        ({"do": "hang", "seconds": 2}, OutcomeUnknownError, False),
        ({"do": "junk"}, UnusableAnswerError, True),
        ({"do": "broken_json"}, UnusableAnswerError, True),
        ({"do": "no_data"}, UnusableAnswerError, True),
        ({"do": "corrupt"}, UnusableAnswerError, True),
        ({"do": "truncated"}, UnusableAnswerError, True),
        ({"do": "no_base64"}, UnusableAnswerError, True),
        ({"do": "wrong_count", "by": 1}, UnusableAnswerError, True),
        ({"do": "wrong_count", "by": -1}, UnusableAnswerError, True),
        ({"do": "wrong_size"}, UnusableAnswerError, True),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_each_fault_ends_in_its_own_error_and_is_never_retried_here(
    step: dict[str, Any], expected: type[ServiceError], charged: bool, images_server: Serve
) -> None:
    server = images_server("http")
    server.script(step)
    with pytest.raises(ServiceError) as caught:
        ask(service(server.base_url, timeout_s=0.7))
    assert type(caught.value) is expected
    assert (len(server.requests), len(server.ledger)) == (1, charged)
    assert "\n" not in str(caught.value)
    if isinstance(caught.value, UnusableAnswerError):
        assert caught.value.cost_micro_usd >= server.charged_micro_usd == 40_000
    if isinstance(caught.value, RateLimitedError):
        assert caught.value.retry_after_s == 7


def test_a_service_that_is_not_there_charged_nothing() -> None:
    chosen = service("http://127.0.0.1:9/draw")
    with pytest.raises(TransientError, match="cannot be reached"):
        ask(chosen)
    (fault,) = chosen.health().faults
    assert "cannot be reached" in fault


def test_a_cost_that_is_not_told_is_the_configured_price(images_server: Serve) -> None:
    server = images_server("http")
    server.script("no_usage")
    assert ask(service(server.base_url), count=2).cost_micro_usd == 100_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "ftp://host/"}, "Only http"),
        ({"url": "nonsense"}, "Only http"),
        ({"able": ["text", "sculpture"]}, "sculpture: a service is text, variation"),
        ({"images_per_call": 0}, "above 0"),
        ({"sizes_px": []}, "above 0"),
        ({"price_usd_per_image": "much"}, "price_usd_per_image"),
        ({"price_usd_per_image": -1}, "above 0"),
        ({"options": [{"kind": "number"}]}, "An option needs a name"),
        ({"options": [{"name": "x", "colour": 1}]}, "An option needs a name"),
    ],
)
def test_a_wrong_configuration_is_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        HttpGenerator(**{"url": "http://127.0.0.1:9/", **options})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size_px": 300}, "draws 256 px"),
        ({"count": 5}, "1 to 4"),
        ({"options": {"steps": 3}}, "takes no option"),
        ({"capability": VARIATION, "images": (b"<svg/>",)}, "input image 1 cannot be used"),
        ({"capability": INPAINT, "images": (plain_png(),), "mask": b"x"}, "mask cannot be used"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
    fields: dict[str, Any], message: str, images_server: Serve
) -> None:
    server = images_server("http")
    with pytest.raises(PermanentError, match=message):
        ask(service(server.base_url), **fields)
    assert server.requests == []
