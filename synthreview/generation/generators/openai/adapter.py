"""The generator that asks a server speaking the OpenAI images protocol, by the official SDK.

Variation is an edit of one image, fusion an edit of two, where the profile says no better. It
never retries: what is known of a failed call, its error says, and the job decides.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urljoin

from synthreview.generation.generators.base import (
    INPUTS,
    TEXT,
    Capabilities,
    DrawnImage,
    DrawRequest,
    DrawResult,
    Health,
)
from synthreview.generation.generators.batching import BatchItem, BatchLook, BatchOffer
from synthreview.generation.generators.checking import check_request, listed
from synthreview.generation.generators.openai.answers import (
    BadAnswerError,
    Picture,
    json_of,
    kept_of,
    pasted,
    pictures_of,
    tokens_of,
)
from synthreview.generation.generators.openai.batches import (
    MOST_REQUESTS,
    BatchApi,
    fault_of,
)
from synthreview.generation.generators.openai.prices import Price, PriceError, price_of
from synthreview.generation.generators.openai.profiles import PROFILES, Where
from synthreview.generation.generators.openai.requests import Wire, pixels_asked, wire_of
from synthreview.lib import web
from synthreview.lib.images import MAX_BYTES
from synthreview.lib.money import dollars, micro_usd
from synthreview.lib.openai_api import (
    ApiConnection,
    ApiError,
    Trouble,
    is_refusal,
    models_of,
)
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

LIST_TIMEOUT_S = 10  # to list models takes no thinking
FETCH_TIMEOUT_S = 30


class OpenAIGenerator:
    """Draws with a model on a server; one instance for one server and model.

    Args:
        model: its name on that server; a server of one model needs none.
        profile: the kind of server, see `profiles`.
        base_url, api_key, api_key_env: see ApiConnection.
        timeout_s: how long the server may think. Keep it under the call's lease.
        prices: see `prices`; a paid profile draws nothing without a price for its model.
        url_hosts: hosts besides the server's own whose picture addresses are fetched, as
            "host" or "host:port"; never private addresses, unless it is the server's own host.
        sizes_px: in place of the profile's.
        images_per_call: in place of the profile's; no more than it takes.
        idempotency_header: the header in which the server takes a key under which it does the
            work and charges once. No profile has one: set it only where that is proven, since
            calls of unknown outcome are then sent again by themselves.
        title: what pages call it.
    """

    def __init__(
        self,
        *,
        model: str = "",
        profile: str = "openai",
        base_url: str = "",
        api_key: str = "",
        api_key_env: str = "OPENAI_API_KEY",
        timeout_s: float = 240,
        prices: Mapping[str, Mapping[str, Any]] | None = None,
        url_hosts: tuple[str, ...] | list[str] = (),
        sizes_px: tuple[int, ...] | list[int] = (),
        images_per_call: int = 0,
        idempotency_header: str = "",
        title: str = "",
    ) -> None:
        """Keep the configuration. Raises PermanentError: no such profile, or a bad price."""
        if profile not in PROFILES:
            raise PermanentError(f"No kind of server {profile!r}; known: {listed(PROFILES)}.")
        self.profile = PROFILES[profile]
        if self.profile.sends_model and not model:
            raise PermanentError(f"{self.profile.title} needs the name of a model.")
        self.model = model or self.profile.title
        self.title = title or f"{self.profile.title}: {self.model}"[:60]
        self.notice = ""
        where = {"base_url": base_url, "api_key": api_key, "api_key_env": api_key_env}
        self.connection = ApiConnection(**where, timeout_s=timeout_s)
        self._quick = ApiConnection(**where, timeout_s=min(timeout_s, LIST_TIMEOUT_S))
        self._url_hosts = frozenset(host.lower() for host in url_hosts)
        self._sizes_px = tuple(sizes_px) or self.profile.sizes_px
        most = self.profile.images_per_call
        self._per_call = min(images_per_call, most) if images_per_call else most
        self._idempotency_header = idempotency_header
        self._batches = BatchApi(self.connection, self._ours)
        try:
            self._price = price_of(prices or {}, self.model)
        except PriceError as error:
            raise PermanentError(str(error)) from error

    # --- What it can do, and what that costs --------------------------------------------

    def capabilities(self) -> Capabilities:
        """Say what can be asked of this kind of server."""
        return Capabilities(
            able=self.profile.able,
            sizes_px=self._sizes_px,
            images_per_call=self._per_call,
            takes_seed=self.profile.seed is not Where.NOWHERE,
            takes_negative_prompt=self.profile.negative is not Where.NOWHERE,
            takes_idempotency_key=bool(self._idempotency_header),
            emulated=self.profile.emulated,
            options=self.profile.options,
            price=self._price_in_words(),
        )

    def estimate_micro_usd(self, request: DrawRequest) -> int:
        """Return the most that the request can cost; nothing where the server is free."""
        price = self._price or Price()
        return price.at_most(
            prompt=request.prompt + request.negative_prompt,
            inputs=INPUTS.get(request.capability, 0),
            count=max(0, request.count),
            pixels=pixels_asked(request, self.profile),
            quality=str(request.options.get("quality", "auto")),
        )

    def _price_in_words(self) -> str:
        if self._price is None:
            return "no price is set" if self.profile.is_paid else "free"
        one = DrawRequest(prompt="x" * 200, size_px=self._sizes_px[0])
        cost = self.estimate_micro_usd(one)
        return f"at most {dollars(cost)} for one image of {one.size_px} px" if cost else "free"

    # --- Drawing ------------------------------------------------------------------------

    def draw(self, request: DrawRequest, *, idempotency_key: str) -> DrawResult:
        """Ask the server once for `request.count` images. Raises the errors of lib/outcomes."""
        wire = self._wire(request)
        # By this the provider's support finds a call whose answer never came.
        headers = {"X-Client-Request-Id": idempotency_key}
        if self._idempotency_header:
            headers[self._idempotency_header] = idempotency_key
        try:
            raw = self.connection.ask(wire.send(headers))
        except ApiError as error:
            raise self._ours(error, request) from None
        answer = getattr(raw, "http_response", raw)
        try:
            content = json_of(answer.content)
        except BadAnswerError as error:
            raise self._unusable(error, self._cost(request, {}, answer.headers)) from error
        cost = self._cost(request, content, answer.headers)
        return self._result(request, wire, content, answer.headers, cost)

    def _wire(self, request: DrawRequest) -> Wire:
        """Return what is sent for a request. Raises PermanentError."""
        options = check_request(request, self.capabilities(), self.title)
        if self.profile.is_paid and self._price is None:
            raise PermanentError(
                f"There is no price for {self.model!r}: nobody would know what this costs. Set "
                'one; {"image": 0} says that it is free.'
            )
        return wire_of(request, self.profile, self.model, options)

    def _unusable(self, error: BadAnswerError, cost_micro_usd: int) -> UnusableAnswerError:
        return UnusableAnswerError(
            f"{self.connection.base_url} says that it succeeded, but its answer cannot be "
            f"used: {error}.",
            cost_micro_usd=cost_micro_usd,
        )

    def _result(
        self,
        request: DrawRequest,
        wire: Wire,
        content: Mapping[str, Any],
        headers: Mapping[str, str],
        cost_micro_usd: int,
    ) -> DrawResult:
        """Return the images of an answer that says it succeeded. Raises UnusableAnswerError."""
        try:
            pictures = pictures_of(
                content,
                count=request.count,
                size=wire.size,
                prompt=wire.prompt,
                fetch=self._fetch,
            )
        except BadAnswerError as error:
            raise self._unusable(error, cost_micro_usd) from error
        if wire.paste is not None:
            pictures = [pasted(picture, *wire.paste) for picture in pictures]
        used = tokens_of(content)
        return DrawResult(
            images=tuple(
                self._image(request, wire, number, picture)
                for number, picture in enumerate(pictures)
            ),
            model=self.model,
            model_version=str(content.get("model") or self.model)[:120],
            cost_micro_usd=cost_micro_usd,
            usage=used.as_usage() if used else {},
            raw=kept_of(content, headers),
        )

    def _image(self, request: DrawRequest, wire: Wire, number: int, picture: Picture) -> DrawnImage:
        # A route of the server's own, behind no method of the SDK's, is sent no seed.
        is_seeded = self.profile.seed is not Where.NOWHERE and wire.call != (
            self.profile.inpaint_path or None
        )
        seed = request.seed + number if is_seeded and request.seed is not None else None
        facts: dict[str, Any] = {}
        if how := self.profile.emulated.get(request.capability):
            facts["made"] = how
        if wire.prompt != request.prompt and wire.call != "create_variation":
            facts["prompt sent"] = wire.prompt
        if wire.notes:
            facts["source"] = "; ".join(wire.notes)
        return DrawnImage(
            picture.data, picture.media_type, seed, picture.revised_prompt, facts=facts
        )

    def _cost(
        self, request: DrawRequest, content: Mapping[str, Any], headers: Mapping[str, str]
    ) -> int:
        """Return what the call cost as far as the answer tells, else the most that it can."""
        if told := _cost_told(headers.get(self.profile.cost_header, "")):
            return told
        used = tokens_of(content)
        if self._price is not None and self._price.images is None and used is not None:
            return self._price.of_tokens(used)
        return self.estimate_micro_usd(request)

    # --- Pictures by address ------------------------------------------------------------

    def _fetch(self, url: str) -> bytes:
        """Return a picture from the server's own or an allowed address. Raises BadAnswerError."""
        own = web.address_of(self.connection.base_url)
        try:
            address = web.address_of(urljoin(f"{self.connection.base_url.rstrip('/')}/", url))
            is_own = address.origin == own.origin
            names = {address.host, f"{address.host}:{address.port}"}
            if not is_own and not names & self._url_hosts:
                raise web.ForbiddenAddressError(
                    f"it lies at {address.shown}, which is not allowed; name the host in url_hosts"
                )

            def may_reach(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
                return address.host == own.host or web.is_public(ip)

            key = self.connection.key()
            answer = web.exchange(
                "GET",
                urljoin(f"{self.connection.base_url.rstrip('/')}/", url),
                # The key goes to the server that it belongs to, and to nobody else.
                headers={"Authorization": f"Bearer {key}"} if is_own and key else {},
                timeout_s=FETCH_TIMEOUT_S,
                max_bytes=MAX_BYTES,
                may_reach=may_reach,
            )
        except web.WebError as error:
            raise BadAnswerError(f"a picture could not be fetched: {error}") from error
        if answer.status != 200:
            raise BadAnswerError(
                f"a picture could not be fetched: {address.shown} says HTTP {answer.status}"
            )
        return answer.body

    # --- Faults -------------------------------------------------------------------------

    def _ours(self, error: ApiError, request: DrawRequest | None = None) -> ServiceError:
        message = str(error)
        if error.trouble is Trouble.RATE:
            return RateLimitedError(message, retry_after_s=error.retry_after_s)
        if error.trouble is Trouble.REFUSED:
            return RefusedError(f"{self.connection.base_url} will not draw this. {error.said}")
        if error.trouble is Trouble.BAD_ANSWER and request is not None:
            cost = self.estimate_micro_usd(request)
            return UnusableAnswerError(message, cost_micro_usd=cost)
        kinds: dict[Trouble, type[ServiceError]] = {
            Trouble.CREDIT: OutOfCreditError,
            Trouble.NOT_SENT: TransientError,
            Trouble.FAILED: TransientError,
            Trouble.SILENT: OutcomeUnknownError,
            Trouble.BAD_ANSWER: OutcomeUnknownError,
        }
        return kinds.get(error.trouble, PermanentError)(message)

    # --- Batches ------------------------------------------------------------------------

    def batch_offer(self) -> BatchOffer | None:
        """Offer captions by the batch API where the server has one and its price is set."""
        if not self.profile.has_batches or self._price is None or self._price.batch is None:
            return None
        return BatchOffer(
            capabilities=frozenset({TEXT}),
            price=f"{self._price.batch * 100:.0f} % of the price",
            promise="within 24 hours",
            most_requests=MOST_REQUESTS,
        )

    def estimate_batched_micro_usd(self, request: DrawRequest) -> int:
        """Return the most that the request can cost within a batch."""
        cost = self.estimate_micro_usd(request)
        has_share = self._price is not None and self._price.batch is not None
        return self._price.in_batch(cost) if has_share and self._price else cost

    def send_batch(self, requests: Mapping[str, DrawRequest], *, key: str) -> str:
        """Order the requests and return the batch's id. Raises the errors of lib/outcomes."""
        if any(request.capability != TEXT for request in requests.values()):
            raise PermanentError("A batch takes captions only.")
        wires = {name: self._wire(request) for name, request in requests.items()}
        return self._batches.send(wires, key=key)

    def find_batch(self, key: str) -> str | None:
        """Return the id of the batch that was sent under `key`; None: there is none."""
        return self._batches.find(key)

    def look_at_batch(self, name: str) -> BatchLook:
        """Return how far a batch is."""
        return self._batches.look(name)

    def stop_batch(self, name: str) -> None:
        """Ask the server to do no more of it."""
        self._batches.stop(name)

    def batch_results(self, name: str, requests: Mapping[str, DrawRequest]) -> Iterator[BatchItem]:
        """Yield what became of each request that the batch's files name."""
        for key, status, body in self._batches.answers(name):
            if request := requests.get(key):
                yield BatchItem(key, self._batch_result(request, status, body))

    def _batch_result(
        self, request: DrawRequest, status: int, body: dict[str, Any]
    ) -> DrawResult | ServiceError:
        if status != 200:
            code = str((body.get("error") or body).get("code", ""))
            said = self.connection.words_of(body)
            return fault_of(status, body, said, is_refusal(code, body))
        assert self._price is not None, "a batch is offered with its price only"
        cost = self._price.in_batch(self._cost(request, body, {}))
        try:
            return self._result(request, self._wire(request), body, {}, cost)
        except ServiceError as error:
            return error

    # --- Health -------------------------------------------------------------------------

    def health(self) -> Health:
        """Look whether the server answers and has the model; tell what it lists and till when."""
        faults = []
        if self.profile.is_paid and self._price is None:
            faults.append(f"There is no price for {self.model!r}: it draws nothing without one.")
        try:
            models = models_of(self._quick.ask(lambda client: client.models.list()))
        except ApiError as error:
            if error.trouble is Trouble.UNKNOWN_NAME:
                return Health(tuple(faults), ("The server answers, and lists no models.",))
            return Health((*faults, str(error)), ())
        except ValueError:
            return Health(tuple(faults), ("The server answers, and lists no models.",))
        ends = dict(models).get(self.model, "")
        if self.profile.sends_model and self.model not in dict(models):
            faults.append(f"{self.connection.base_url} has no model {self.model!r}.")
        if ends and ends <= dt.datetime.now(dt.UTC).date().isoformat():
            faults.append(f"The model {self.model!r} was shut down on {ends}.")
        facts = [f"{name}: shut down on {date}" if date else name for name, date in models[:50]]
        return Health(tuple(faults), tuple(facts))


def _cost_told(value: str) -> int | None:
    try:
        cost = Decimal(value)
    except InvalidOperation:
        return None
    return micro_usd(cost) if cost.is_finite() and 0 < cost < 1_000_000 else None
