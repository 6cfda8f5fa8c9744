"""The generator that speaks the OpenAI images protocol: what it sends, reads, pays and refuses."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from PIL import Image

from synthreview.generation.generators.base import (
    FUSION,
    INPAINT,
    TEXT,
    TYPOGRAPHIC,
    VARIATION,
    DrawRequest,
    DrawResult,
    Health,
)
from synthreview.generation.generators.checking import encode_png
from synthreview.generation.generators.openai import OpenAIGenerator
from synthreview.generation.generators.openai.profiles import PROFILES
from synthreview.lib.openai_api import ApiConnection, Trouble
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
from tests.servers_fake.images_server import PRICES

Serve = Callable[..., ImagesServer]
KEY = "sk-this-is-secret"
LOCAL = ("vllm-omni", "sglang", "sd-server", "localai")


def generator(server: ImagesServer, **options: Any) -> OpenAIGenerator:
    given: dict[str, Any] = {
        "model": "test-model",
        "profile": server.kind,
        "base_url": server.base_url,
        "prices": {"*": PRICES if server.kind != "dall-e-2" else {"image": 0.04}},
        "timeout_s": 5,
    }
    return OpenAIGenerator(**{**given, **options})


def ask(server: ImagesServer, **fields: Any) -> DrawResult:
    options = fields.pop("generator", {})
    chosen = generator(server, **options)
    size = chosen.capabilities().sizes_px[0]
    request = DrawRequest(**{"prompt": "a red dog", "size_px": size, **fields})
    return chosen.draw(request, idempotency_key="key-1")


def sent(server: ImagesServer) -> dict[str, Any]:
    (request,) = server.requests
    return dict(request)


# --- What is sent, by profile ---------------------------------------------------------


@pytest.mark.parametrize("kind", PROFILES)
def test_a_caption_becomes_images_on_every_kind_of_server(kind: str, images_server: Serve) -> None:
    server = images_server(kind)
    result = ask(server, seed=7)
    size = generator(server).capabilities().sizes_px[0]
    (image,) = result.images
    assert opened(image.data).size == (size, size)
    assert (image.media_type, image.revised_prompt) == ("image/png", None)
    assert sent(server)["path"] == "/v1/images/generations"
    assert image.seed == (7 if kind in LOCAL else None)


@pytest.mark.parametrize("kind", LOCAL)
def test_the_same_seed_gives_the_same_image_where_a_seed_is_taken(
    kind: str, images_server: Serve
) -> None:
    server = images_server(kind)
    first, again, other = (ask(server, seed=seed).images[0].data for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_images_of_one_call_have_the_seeds_that_draw_them_alone(images_server: Serve) -> None:
    server = images_server("sd-server")
    images = ask(server, seed=40, count=3).images
    assert [image.seed for image in images] == [40, 41, 42]
    assert ask(server, seed=42).images[0].data == images[2].data


def test_openai_is_sent_nothing_that_its_models_refuse(images_server: Serve) -> None:
    server = images_server("openai")
    ask(server, seed=7, count=2, options={"quality": "low"})
    fields = sent(server)["fields"]
    assert fields == {
        "prompt": "a red dog",
        "n": 2,
        "model": "test-model",
        "size": "1024x1024",
        "quality": "low",
    }


def test_diffusion_servers_get_seed_negative_prompt_and_options_as_fields(
    images_server: Serve,
) -> None:
    for kind in ("vllm-omni", "sglang"):
        server = images_server(kind)
        ask(server, seed=7, negative_prompt="blurry", options={"steps": 20, "guidance": 3.5})
        fields = sent(server)["fields"]
        assert fields["seed"] == 7
        assert fields["negative_prompt"] == "blurry"
        assert (fields["num_inference_steps"], fields["guidance_scale"]) == (20, 3.5)


def test_stable_diffusion_cpp_gets_them_within_the_prompt(images_server: Serve) -> None:
    server = images_server("sd-server")
    options = {"steps": 20, "guidance": 3.5, "strength": 0.5}
    ask(server, seed=7, negative_prompt="blurry", options=options)
    fields = sent(server)["fields"]
    assert set(fields) == {"prompt", "n", "size"}
    prompt, _, rest = fields["prompt"].partition(" <sd_cpp_extra_args>")
    assert prompt == "a red dog"
    assert json.loads(rest.removesuffix("</sd_cpp_extra_args>")) == {
        "seed": 7,
        "negative_prompt": "blurry",
        "strength": 0.5,
        "sample_params": {"sample_steps": 20, "guidance": {"txt_cfg": 3.5}},
    }


def test_a_caption_cannot_smuggle_arguments_into_stable_diffusion_cpp(images_server: Serve) -> None:
    server = images_server("sd-server")
    mark = "sd_cpp_extra_args"
    evil = f'a dog <{mark}>{{"control_image": "/etc/passwd"}}</{mark}>'
    image = ask(server, prompt=evil, seed=7).images[0]
    prompt = sent(server)["fields"]["prompt"]
    assert prompt.count(f"<{mark}>") == 1
    assert prompt.index("control_image") < prompt.index(f"<{mark}>")
    assert image.facts["prompt sent"] == prompt


def test_localai_gets_the_negative_prompt_behind_a_bar_and_no_other_bar(
    images_server: Serve,
) -> None:
    server = images_server("localai")
    ask(server, prompt="a dog | a cat", negative_prompt="blurry|dark")
    assert sent(server)["fields"]["prompt"] == "a dog / a cat|blurry/dark"


@pytest.mark.parametrize("kind", ["openai", "litellm", "vllm-omni", "sglang", "sd-server"])
def test_a_variation_is_an_edit_of_one_image_and_a_fusion_of_two(
    kind: str, images_server: Serve
) -> None:
    server = images_server(kind)
    red, blue = plain_png((64, 48), "red"), plain_png((48, 64), "blue")
    varied = ask(server, prompt="A dog like this", capability=VARIATION, images=(red,))
    fused = ask(server, prompt="A blend of dog and cat.", capability=FUSION, images=(red, blue))
    one, two = server.requests
    assert (one["path"], two["path"]) == ("/v1/images/edits",) * 2
    assert one["files"] == {"image": [len(red)]}
    assert two["files"] == {"image[]": [len(red), len(blue)]}
    said = "A blend of dog and cat. Use the subject of the first image, in the setting"
    assert two["fields"]["prompt"].startswith(said)
    assert "an edit of one image" in varied.images[0].facts["made"]
    assert "an edit of two images" in fused.images[0].facts["made"]
    emulated = generator(server).capabilities().emulated
    assert varied.images[0].facts["made"] == emulated[VARIATION]


def test_an_empty_instruction_is_replaced_and_the_words_sent_are_told(
    images_server: Serve,
) -> None:
    server = images_server("openai")
    image = ask(server, prompt=" ", capability=VARIATION, images=(plain_png(),)).images[0]
    assert image.facts["prompt sent"] == sent(server)["fields"]["prompt"]
    assert image.facts["prompt sent"].startswith("Another picture of the same subject")
    with pytest.raises(PermanentError, match="prompt is empty"):
        ask(server, prompt=" ")


def test_the_retired_variations_endpoint_is_used_where_a_server_has_it(
    images_server: Serve,
) -> None:
    server = images_server("dall-e-2")
    image = ask(server, capability=VARIATION, images=(plain_png((300, 200)),)).images[0]
    request = sent(server)
    assert request["path"] == "/v1/images/variations"
    assert set(request["fields"]) == {"n", "model", "response_format", "size"}
    assert image.facts == {"source": "its source was cropped to a square"}
    assert VARIATION not in generator(server).capabilities().emulated


def test_localai_varies_by_image_to_image(images_server: Serve) -> None:
    server = images_server("localai")
    source = plain_png((256, 256), "red")
    image = ask(server, capability=VARIATION, images=(source,)).images[0]
    assert sent(server)["path"] == "/v1/images/generations"
    red, green, _ = opened(image.data).resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    assert red > green + 60


# --- Masks ----------------------------------------------------------------------------

INPAINTERS = [name for name, profile in PROFILES.items() if INPAINT in profile.able]


@pytest.mark.parametrize("kind", INPAINTERS)
def test_each_server_gets_the_mask_in_its_own_form_and_repaints_our_white(
    kind: str, images_server: Serve
) -> None:
    server = images_server(kind)
    side = 512
    source = Image.linear_gradient("L").resize((side, side)).convert("RGB")
    mask = mask_png((side, side), (0, 0, side // 2 - 1, side // 2 - 1))
    result = ask(
        server,
        prompt="a ball",
        capability=INPAINT,
        images=(encode_png(source),),
        mask=mask,
        size_px=512 if kind not in ("openai", "litellm") else 1024,
        generator={"sizes_px": (512, 1024)},
    )
    image = opened(result.images[0].data)
    assert image.size == (side, side)
    box = changed_box(source, image)
    assert box is not None
    # Another decoder's scaling may bleed by a pixel; the repainted quarter is the top left.
    assert box[2] <= side // 2 + 1
    assert box[3] <= side // 2 + 1
    files = sent(server)["files"]
    expected = {"vllm-omni": {"image", "mask_image"}, "sglang": {"image"}}
    assert set(files) == expected.get(kind, {"image", "mask"})


def test_localai_inpaints_by_its_own_route_at_its_own_size(images_server: Serve) -> None:
    server = images_server("localai")
    source, mask = plain_png((256, 256)), mask_png((256, 256), (0, 0, 99, 99))
    image = ask(server, capability=INPAINT, images=(source,), mask=mask).images[0]
    assert opened(image.data).size == (512, 512)
    assert image.facts["source"] == "scaled from 256 × 256 px before it was edited"
    request = next(each for each in server.requests if "inpainting" in each["path"])
    assert set(request["fields"]) == {"model", "prompt"}


def test_a_picture_of_an_odd_shape_is_edited_in_its_own_size_or_refused(
    images_server: Serve,
) -> None:
    server = images_server("openai")
    mask = mask_png((640, 480), (0, 0, 99, 99))
    image = ask(server, capability=INPAINT, images=(plain_png((640, 480)),), mask=mask).images[0]
    assert opened(image.data).size == (640, 480)
    mask = mask_png((641, 480), (0, 0, 99, 99))
    with pytest.raises(PermanentError, match="641 × 480 px: OpenAI edits squares, or sides in"):
        ask(server, capability=INPAINT, images=(plain_png((641, 480)),), mask=mask)
    square = ask(
        server,
        capability=INPAINT,
        images=(plain_png((300, 300)),),
        mask=mask_png((300, 300), (0, 0, 99, 99)),
    ).images[0]
    assert opened(square.data).size == (1024, 1024)
    assert "scaled from 300 × 300" in square.facts["source"]


def test_where_a_server_reads_no_mask_the_rest_of_the_picture_stays_to_the_pixel(
    images_server: Serve,
) -> None:
    server = images_server("sglang")
    source = plain_png((256, 256), "red")
    mask = mask_png((256, 256), (64, 64, 127, 127))
    image = ask(server, capability=INPAINT, images=(source,), mask=mask).images[0]
    assert changed_box(opened(source), opened(image.data)) == (64, 64, 128, 128)
    assert "only the masked part is kept" in image.facts["made"]


# --- Money ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["openai", "litellm", "dall-e-2"])
def test_the_cost_is_the_servers_own_charge_and_the_estimate_is_never_below(
    kind: str, images_server: Serve
) -> None:
    server = images_server(kind)
    chosen = generator(server)
    size = chosen.capabilities().sizes_px[0]
    told = estimated = 0
    for number in range(6):
        inputs = (plain_png((64, 64)),) if number % 2 else ()
        request = DrawRequest(
            prompt="a red dog " * (number + 1),
            size_px=size,
            count=1 + number % 3,
            capability=VARIATION if inputs else TEXT,
            images=inputs,
        )
        estimate = chosen.estimate_micro_usd(request)
        cost = chosen.draw(request, idempotency_key="k").cost_micro_usd
        assert 0 < cost <= estimate
        told += cost
        estimated += estimate
    assert told == server.charged_micro_usd


def test_what_was_used_and_the_bare_answer_are_kept_for_the_bill(images_server: Serve) -> None:
    result = ask(images_server("openai"), count=2)
    assert result.usage == {
        "text_input_tokens": 6,
        "image_input_tokens": 0,
        "output_tokens": 2000,
    }
    assert result.raw["usage"]["total_tokens"] == 2006
    assert "data" not in result.raw
    assert (result.model, result.model_version) == ("test-model", "test-model")


def test_where_the_server_does_not_tell_its_tokens_the_estimate_counts(
    images_server: Serve,
) -> None:
    server = images_server("openai")
    server.script("no_usage")
    chosen = generator(server)
    request = DrawRequest(prompt="a dog", size_px=1024)
    result = chosen.draw(request, idempotency_key="k")
    assert result.cost_micro_usd == chosen.estimate_micro_usd(request) > 0


@pytest.mark.parametrize("kind", ["openai", "litellm", "dall-e-2"])
def test_a_paid_server_draws_nothing_without_a_price(kind: str, images_server: Serve) -> None:
    server = images_server(kind)
    with pytest.raises(PermanentError, match="There is no price for 'test-model'"):
        ask(server, generator={"prices": {}})
    assert server.requests == []
    assert any("no price" in fault for fault in generator(server, prices={}).health().faults)
    assert generator(server, prices={}).capabilities().price == "no price is set"
    free = ask(server, generator={"prices": {"test-model": {"image": 0}}})
    assert free.cost_micro_usd == 0 or kind == "litellm"


@pytest.mark.parametrize("kind", LOCAL)
def test_a_server_of_ones_own_is_free_until_it_has_a_price(kind: str, images_server: Serve) -> None:
    server = images_server(kind)
    assert ask(server, generator={"prices": {}}).cost_micro_usd == 0
    assert generator(server, prices={}).capabilities().price == "free"
    assert ask(server, generator={"prices": {"*": {"image": "0.01"}}}).cost_micro_usd == 10_000


@pytest.mark.parametrize(
    ("table", "cost"),
    [
        ({"image": {"low": 0.005, "high": 0.036}}, 72_000),
        ({"image": "0.0000001"}, 1),  # rounded up, never to nothing
    ],
)
def test_images_can_be_priced_by_quality_and_the_dearest_counts_for_auto(
    table: dict[str, Any], cost: int, images_server: Serve
) -> None:
    server = images_server("openai")
    result = ask(server, count=2, generator={"prices": {"test-model": table}})
    assert result.cost_micro_usd == cost


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"test-model": {"outputs": 3}}, "takes batch, image"),
        ({"test-model": {"output": "much"}}, "no number in 'output': 'much'"),
        ({"test-model": {"output": -1}}, "no number"),
        ({"test-model": {"image": {"low": "NaN"}}}, "no number in 'image'"),
        ({"test-model": 3}, "takes batch, image"),
        ({"*": {}}, "takes batch, image"),
    ],
)
def test_a_price_table_that_cannot_be_read_is_refused_at_once(
    table: dict[str, Any], message: str
) -> None:
    with pytest.raises(PermanentError, match=message):
        OpenAIGenerator(model="test-model", prices=table)


# --- Faults: what each says about money and about trying again --------------------------


@pytest.mark.parametrize(
    ("step", "expected", "charged"),
    [
        ({"do": "fail"}, TransientError, False),
        ({"do": "fail", "status": 503}, TransientError, False),
        ({"do": "fail", "status": 502}, OutcomeUnknownError, False),
        ({"do": "fail", "status": 504}, OutcomeUnknownError, False),
        ({"do": "fail", "status": 400}, PermanentError, False),
        ({"do": "fail", "status": 403}, PermanentError, False),
        ({"do": "fail", "status": 301}, PermanentError, False),
        ({"do": "no_credit"}, OutOfCreditError, False),
        ({"do": "refuse"}, RefusedError, False),
        ({"do": "rate_limit", "retry_after": 7}, RateLimitedError, False),
        ({"do": "reset"}, OutcomeUnknownError, False),
        ({"do": "drop"}, OutcomeUnknownError, True),
        ({"do": "cut"}, OutcomeUnknownError, True),
        ({"do": "junk"}, UnusableAnswerError, True),
        ({"do": "broken_json"}, UnusableAnswerError, True),
        ({"do": "no_data"}, UnusableAnswerError, True),
        ({"do": "corrupt"}, UnusableAnswerError, True),
        ({"do": "truncated"}, UnusableAnswerError, True),
        ({"do": "no_base64"}, UnusableAnswerError, True),
        ({"do": "wrong_count", "by": -1}, UnusableAnswerError, True),
        ({"do": "wrong_count", "by": 1}, UnusableAnswerError, True),
        ({"do": "wrong_size"}, UnusableAnswerError, True),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
@pytest.mark.parametrize("kind", ["openai", "sd-server", "vllm-omni", "litellm"])
def test_each_fault_ends_in_its_own_error_and_is_never_retried_here(
    kind: str,
    step: dict[str, Any],
    expected: type[ServiceError],
    charged: bool,
    images_server: Serve,
) -> None:
    server = images_server(kind)
    server.script(step)
    with pytest.raises(ServiceError) as caught:
        ask(server, count=1, generator={"api_key": KEY})
    assert type(caught.value) is expected
    assert len(server.requests) == 1
    assert len(server.ledger) == charged
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    if isinstance(caught.value, UnusableAnswerError) and kind != "litellm":
        assert caught.value.cost_micro_usd >= server.charged_micro_usd * (kind == "openai")
    if isinstance(caught.value, RateLimitedError):
        assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("step", ["no_data", "wrong_size", "wrong_count", "corrupt"])
def test_a_useless_answer_costs_what_it_tells(step: str, images_server: Serve) -> None:
    server = images_server("openai")
    server.script(step)
    with pytest.raises(UnusableAnswerError) as caught:
        ask(server, count=2)
    assert caught.value.cost_micro_usd == server.charged_micro_usd > 0


def test_an_exhausted_quota_is_told_from_a_rate_limit_though_both_are_429(
    images_server: Serve,
) -> None:
    server = images_server("openai")
    server.script({"do": "no_credit", "status": 429}, "rate_limit")
    with pytest.raises(OutOfCreditError, match="out of credit"):
        ask(server)
    with pytest.raises(RateLimitedError) as caught:
        ask(server)
    assert caught.value.retry_after_s is None
    assert len(server.requests) == 2


@pytest.mark.parametrize("step", ["hang", "late", "trickle"])
def test_silence_beyond_the_time_out_is_an_unknown_outcome(step: str, images_server: Serve) -> None:
    server = images_server("openai")
    server.script({"do": step, "seconds": 3 if step != "trickle" else 0.05})
    with pytest.raises(OutcomeUnknownError, match=r"did not answer within 0\.5 s"):
        ask(server, generator={"timeout_s": 0.5})
    assert len(server.ledger) == (step != "hang")


def test_a_server_that_is_not_there_charged_nothing(images_server: Serve) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        with pytest.raises(TransientError, match="cannot be reached"):
            ask(images_server("openai"), generator={"base_url": url})


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/v1", "nonsense", "http://"])
def test_an_address_that_is_none_is_a_fault_of_the_configuration(
    url: str, images_server: Serve
) -> None:
    with pytest.raises(PermanentError):
        ask(images_server("openai"), generator={"base_url": url})


def test_refusals_and_faults_show_the_servers_words_but_never_the_key() -> None:
    with ImagesServer("openai", needs_key="another") as server:
        with pytest.raises(PermanentError, match="HTTP 401") as caught:
            ask(server, generator={"api_key": KEY})
        assert "It says: Incorrect API key: [key]." in str(caught.value)
        assert KEY not in repr(caught.value) + repr(caught.value.__context__ and "")
        assert ask(server, generator={"api_key": "another"}).images


def test_the_key_is_read_from_the_environment_when_it_is_used(
    images_server: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = images_server("openai")
    chosen = generator(server, api_key_env="MY_IMAGES_KEY")
    monkeypatch.setenv("MY_IMAGES_KEY", KEY)
    chosen.draw(DrawRequest(prompt="a dog", size_px=1024), idempotency_key="k")
    assert sent(server)["headers"]["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(vars(chosen))


def test_a_call_can_be_found_by_its_key_and_is_done_once_where_the_server_takes_one(
    images_server: Serve,
) -> None:
    server = images_server("openai", idempotency_header="Idempotency-Key")
    chosen = generator(server, idempotency_header="Idempotency-Key")
    assert chosen.capabilities().takes_idempotency_key
    assert not generator(server).capabilities().takes_idempotency_key
    request = DrawRequest(prompt="a dog", size_px=1024)
    server.script("cut")
    with pytest.raises(OutcomeUnknownError):
        chosen.draw(request, idempotency_key="one")
    first, again = (chosen.draw(request, idempotency_key="one") for _ in range(2))
    assert first.images[0].data == again.images[0].data
    assert len(server.ledger) == 1
    assert {each["headers"]["x-client-request-id"] for each in server.requests} == {"one"}
    chosen.draw(request, idempotency_key="two")
    assert len(server.ledger) == 2


def test_a_revised_prompt_is_kept(images_server: Serve) -> None:
    server = images_server("openai")
    server.script("revise")
    assert ask(server).images[0].revised_prompt == "a red dog, in soft light"


# --- Pictures by address ----------------------------------------------------------------


def test_pictures_by_address_are_fetched_from_the_server_itself_with_its_key(
    images_server: Serve,
) -> None:
    server = images_server("openai")
    server.script("url", {"do": "url", "relative": True})
    for _ in range(2):
        image = ask(server, generator={"api_key": KEY}).images[0]
        assert opened(image.data).size == (1024, 1024)


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A port of this machine that writes down whatever reaches it."""
    heard: list[bytes] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.05)
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    continue
                with connection:
                    heard.append(connection.recv(1000))

        thread = threading.Thread(target=listen)
        thread.start()
        yield server.getsockname()[1], heard
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/x.png",
        "http://localhost:{port}/x.png",
        "http://0x7f.1:{port}/x.png",
        "http://2130706433:{port}/x.png",
        "http://[::1]:{port}/x.png",
        "http://[::ffff:127.0.0.1]:{port}/x.png",
        "http://user@127.0.0.1:{port}/x.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/x.png",
        "https://127.0.0.1:{port}/x.png",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/x",
        "//127.0.0.1:{port}/x.png",
        "http://",
        "http://exa mple/",
    ],
)
@pytest.mark.parametrize("allow", [False, True])
def test_no_packet_goes_to_an_address_that_an_answer_must_not_name(
    address: str, allow: bool, images_server: Serve, listener: tuple[int, list[bytes]]
) -> None:
    """A host that the operator allowed is refused, too, where its address is private."""
    server = images_server("openai")
    port, heard = listener
    hosts = ("localhost", "0x7f.1", "2130706433", "::1", "::ffff:127.0.0.1", "10.0.0.1",
             "169.254.169.254") if allow else ()  # fmt: skip
    server.script({"do": "url", "to": address.format(port=port)})
    with pytest.raises(UnusableAnswerError, match="could not be fetched") as caught:
        ask(server, generator={"url_hosts": hosts})
    assert caught.value.cost_micro_usd == server.charged_micro_usd > 0
    time.sleep(0.12)
    assert heard == []


def test_a_picture_address_is_not_followed_elsewhere(images_server: Serve) -> None:
    server = images_server("openai")
    server.script({"do": "url", "to": f"{server.origin}/files/elsewhere"})
    with pytest.raises(UnusableAnswerError, match="says HTTP 302"):
        ask(server)


def test_the_servers_own_host_may_serve_pictures_by_another_allowed_port(
    images_server: Serve,
) -> None:
    server, other = images_server("openai"), images_server("dall-e-2")
    other.script("url")
    ask(other)
    row = other.ledger[0]["sha256s"][0]
    address = f"{other.origin}/files/{row}.png"
    host = other.origin.removeprefix("http://")
    server.script(*[{"do": "url", "to": address}] * 2)
    with pytest.raises(UnusableAnswerError, match="name the host in url_hosts"):
        ask(server, generator={"sizes_px": (256,)})
    image = ask(server, generator={"sizes_px": (256,), "url_hosts": (host,), "api_key": KEY})
    assert opened(image.images[0].data).size == (256, 256)


# --- What cannot be asked ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size_px": 300}, "draws 1024, 1536 px"),
        ({"count": 0}, "1 to 10"),
        ({"count": 11}, "1 to 10"),
        ({"seed": -1}, "seed -1"),
        ({"negative_prompt": "blurry"}, "takes no negative prompt"),
        ({"capability": TYPOGRAPHIC}, "cannot do 'typographic'"),
        ({"capability": VARIATION}, "starts from 1 images"),
        ({"options": {"quality": "best"}}, "choose auto, low"),
        ({"options": {"steps": 3}}, "knows quality only"),
        ({"prompt": "x" * 40_000}, "32,000 characters"),
        ({"prompt": "a\0b"}, "NUL"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
    fields: dict[str, Any], message: str, images_server: Serve
) -> None:
    server = images_server("openai")
    with pytest.raises(PermanentError, match=message):
        ask(server, **fields)
    assert server.requests == []


def test_an_unknown_profile_or_a_missing_model_is_refused_at_once() -> None:
    with pytest.raises(PermanentError, match=r"No kind of server 'dalle'; known: openai, dall-e-2"):
        OpenAIGenerator(model="x", profile="dalle")
    with pytest.raises(PermanentError, match="needs the name of a model"):
        OpenAIGenerator(profile="vllm-omni")
    assert OpenAIGenerator(profile="sd-server").model == "stable-diffusion.cpp"


# --- Health ------------------------------------------------------------------------------


def test_health_lists_the_models_and_when_they_end() -> None:
    models = ("current", "ending=2099-12-01", "ended=2026-05-12")
    with ImagesServer("openai", models=models) as server:
        assert generator(server, model="current").health() == Health(
            facts=("current", "ending: shut down on 2099-12-01", "ended: shut down on 2026-05-12")
        )
        assert generator(server, model="ending").health().faults == ()
        assert generator(server, model="ended").health().faults == (
            "The model 'ended' was shut down on 2026-05-12.",
        )
        (fault,) = generator(server, model="dall-e-3").health().faults
        assert fault == f"{server.base_url} has no model 'dall-e-3'."


def test_health_says_what_is_wrong_with_the_server() -> None:
    chosen = OpenAIGenerator(
        model="x", base_url="http://127.0.0.1:9/v1", prices={"x": {"image": 1}}
    )
    (fault,) = chosen.health().faults
    assert "cannot be reached" in fault


def test_pictures_that_came_are_kept_byte_for_byte(images_server: Serve) -> None:
    """Re-saving would strip a provider's marks of origin."""
    server = images_server("openai")
    image = ask(server).images[0]
    assert hashlib.sha256(image.data).hexdigest() == server.ledger[0]["sha256s"][0]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"code": "moderation_blocked", "message": "no"}}),
        (400, {"error": {"code": "content_policy_violation", "message": "no"}}),
        (400, {"error": {"code": "400", "message": "litellm.ContentPolicyViolationError: no"}}),
        (422, {"detail": "rejected by our safety system"}),
    ],
)
def test_a_refusal_is_known_by_its_code_or_its_words(status: int, body: dict[str, Any]) -> None:
    import openai

    request = openai.DefaultHttpxClient().build_request("POST", "http://host/v1")
    response = httpx2.Response(status, request=request)
    error = openai.APIStatusError("no", response=response, body=body.get("error", body))
    assert ApiConnection()._ours(error).trouble is Trouble.REFUSED
