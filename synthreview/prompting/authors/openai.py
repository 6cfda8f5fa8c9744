"""The author that asks a server speaking the OpenAI API: OpenAI, Ollama, vLLM, llama.cpp,
LM Studio, LiteLLM and others, told apart by their address alone.

It asks for JSON by a schema. A server that ignores or refuses the schema is asked once more,
then for plain lines; which way worked is remembered. Model names and prices are configuration:
none stands in this file. Knows nothing of Django and does not retry failed calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from synthreview.lib.openai_api import models_of
from synthreview.lib.outcomes import RefusedError, ServiceError, UnusableAnswerError
from synthreview.prompting.authors.answers import looks_like_json, read_json, read_lines
from synthreview.prompting.authors.asking import (
    ASKING_VERSION,
    Answer,
    Ask,
    by_lines,
    compose,
    estimated_tokens,
    gather,
)
from synthreview.prompting.authors.base import Caption, Usage, WriteRequest, WriteResult, after
from synthreview.prompting.authors.openai_connection import Connection, SchemaUnsupportedError

IGNORED_SCHEMA = "The server does not keep to a JSON schema; its lines were read instead."
LIST_TIMEOUT_S = 10  # to list models takes no thinking
TRIES = 3
TOKENS_PER_CAPTION = 80  # with its slots, in JSON; long ones take so many
CUT_OFF = "An answer was cut off; what was whole of it is kept."


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model of the server; `shutdown_date` is empty where none is announced."""

    name: str
    shutdown_date: str = ""


class OpenAIAuthor:
    """Writes captions with a chat model on a server.

    Args:
        model: its name on that server.
        base_url, api_key, api_key_env, timeout_s: see Connection.
        prices: US dollars per million tokens, {model: {"input": 0.4, "output": 1.6,
            "training": 3}}; the model "*" stands for every other. Without a price, the cost is
            unknown, not nought.
        batch: captions per answer.
        sends_seed: off for servers that refuse the field.
        extra: further fields of each request, such as {"temperature": 0.9}.
    """

    needs_worker = True
    tuned_where = "server"

    def __init__(
        self,
        *,
        model: str,
        base_url: str = "",
        api_key: str = "",
        api_key_env: str = "OPENAI_API_KEY",
        timeout_s: float = 120,
        prices: Mapping[str, Mapping[str, float | str]] | None = None,
        batch: int = 40,
        sends_seed: bool = True,
        extra: Mapping[str, Any] | None = None,
        title: str = "",
    ) -> None:
        self.model = model
        self.title = title or f"Language model {model}"
        self.version = f"{model}/{ASKING_VERSION}"[:60]
        where = {"base_url": base_url, "api_key": api_key, "api_key_env": api_key_env}
        self._options: dict[str, Any] = {
            **where,
            "timeout_s": timeout_s,
            "batch": batch,
            "sends_seed": sends_seed,
            "extra": extra,
        }
        self.connection = Connection(**where, timeout_s=timeout_s)
        self._quick = Connection(**where, timeout_s=min(timeout_s, LIST_TIMEOUT_S))
        self.prices = prices or {}
        self.batch, self._sends_seed = batch, sends_seed
        self._extra = dict(extra or {})
        self._takes_schema = True

    def write(self, request: WriteRequest) -> WriteResult:
        """Return up to `count` captions; see the contract and `asking`. Raises ServiceError."""
        return gather(request, self._answer, batch=self.batch)

    def health(self) -> list[str]:
        """Return what is wrong: no model named, no answer, model unknown or about to end."""
        if not self.model:
            return ["No model is named: set SYNTHREVIEW_OPENAI_MODEL."]
        try:
            models = {model.name: model for model in self.models()}
        except ServiceError as error:
            return [str(error)]
        # Ollama lists "llama3:latest" and takes "llama3".
        found = models.get(self.model) or models.get(f"{self.model}:latest")
        if found is None:
            some = ", ".join(sorted(models)[:8]) or "none"
            return [f"{self.connection.base_url} has no model {self.model!r}; it lists: {some}."]
        if found.shutdown_date:
            return [f"The model {self.model!r} is shut down on {found.shutdown_date}."]
        return []

    def models(self) -> list[ServedModel]:
        """Return what the server lists, with the day on which each ends. Raises ServiceError."""
        page = self._quick.call(lambda client: client.models.list())
        try:
            return [ServedModel(name, ends) for name, ends in models_of(page)]
        except ValueError:
            raise UnusableAnswerError(f"{self.connection.base_url} lists no models.") from None

    def tuned(self, *, title: str, result: str) -> OpenAIAuthor:
        """Return the same with the model `result`, at the plain one's price."""
        price = self.price
        prices = self.prices if price is None else {**self.prices, result: price}
        return OpenAIAuthor(
            **{**self._options, "model": result, "title": title, "prices": prices},
        )

    def training_usd(self, tokens: int) -> Decimal | None:
        """Return what training on so many tokens costs; None where no price is known."""
        price = (self.price or {}).get("training")
        return None if price is None else Decimal(str(price)) * tokens / 1_000_000

    def estimate_usd(self, request: WriteRequest) -> Decimal | None:
        """Return what writing may cost at most: three times what good answers take."""
        answers = -(-request.count // self.batch)
        ask = compose(request, min(request.count, self.batch))
        asked = sum(estimated_tokens(message["content"]) for message in ask.messages)
        return self.cost_usd(TRIES * answers * asked, TRIES * request.count * TOKENS_PER_CAPTION)

    @property
    def price(self) -> Mapping[str, float | str] | None:
        """The model's prices per million tokens; None where the table has none."""
        return self.prices.get(self.model, self.prices.get("*"))

    def cost_usd(self, tokens_in: int, tokens_out: int) -> Decimal | None:
        """Return what these tokens cost by the price table; None where it has no price."""
        price = self.price
        if price is None:
            return None
        million = Decimal(1_000_000)
        return (
            Decimal(str(price.get("input", 0))) * tokens_in
            + Decimal(str(price.get("output", 0))) * tokens_out
        ) / million

    # --- One question ---------------------------------------------------------------

    def _answer(self, ask: Ask) -> Answer:
        """Ask up to three times: by schema, by schema again, then for lines."""
        usage = Usage()
        tries: list[tuple[Ask, bool]] = [(by_lines(ask), False)]
        if self._takes_schema:
            tries = [(ask, True), (ask, True), *tries]
        last: ServiceError = UnusableAnswerError("The model gave no answer.")
        for question, by_schema in tries:
            if by_schema and not self._takes_schema:
                continue
            try:
                said = self._ask(question, by_schema=by_schema)
            except SchemaUnsupportedError as error:
                self._takes_schema, last = False, error
                continue
            except ServiceError as error:
                raise after(usage, error) from None
            usage += said.usage
            read: Callable[[str, Ask], list[Caption]] = read_json if by_schema else read_lines
            if not by_schema and looks_like_json(said.text):
                read = read_json
            try:
                captions = read(said.text, question)
            except UnusableAnswerError as error:
                last = error
                continue
            notes = [CUT_OFF] if said.is_cut_off else []
            if not by_schema:
                self._takes_schema = False
                notes.append(IGNORED_SCHEMA)
            return Answer(tuple(captions), usage, said.model, tuple(notes))
        raise after(
            usage,
            UnusableAnswerError(
                f"{self.connection.base_url} answered, but no caption could be read. {last}"
            ),
        )

    def _ask(self, ask: Ask, *, by_schema: bool) -> Said:
        fields: dict[str, Any] = {
            "model": self.model,
            "messages": list(ask.messages),
        }
        if self._sends_seed:
            fields["seed"] = ask.request.seed % 2**31
        if by_schema:
            fields["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "captions", "strict": True, "schema": dict(ask.schema)},
            }
        answer = self.connection.call(
            lambda client: client.chat.completions.create(
                **fields, stream=False, extra_body=self._extra or None
            )
        )
        return self._read(answer)

    def _read(self, answer: Any) -> Said:
        """Return the text of an answer; the SDK does not check what a server sent."""
        usage = self._usage(getattr(answer, "usage", None))
        choices = getattr(answer, "choices", None)
        first = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(first, "message", None)
        if message is None:
            raise after(
                usage,
                UnusableAnswerError(
                    f"{self.connection.base_url} sent something that is no chat answer."
                ),
            )
        refusal, text = getattr(message, "refusal", None), getattr(message, "content", None)
        ended = getattr(first, "finish_reason", "")
        if refusal or (ended == "content_filter" and not text):
            words = " ".join(str(refusal or "").split())[:300]
            raise after(usage, RefusedError(f"The model will not write this. {words}".strip()))
        model = getattr(answer, "model", None)
        return Said(
            text if isinstance(text, str) else "",
            usage,
            str(model or self.model)[:120],
            ended == "length",
        )

    def _usage(self, usage: Any) -> Usage:
        told = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
        tokens_in, tokens_out = (n if isinstance(n, int) and n >= 0 else 0 for n in told)
        cost = self.cost_usd(tokens_in, tokens_out)
        if None in told and self.cost_usd(1, 1) != 0:  # it does not count: then nobody knows
            cost = None
        return Usage(1, tokens_in, tokens_out, cost)


@dataclass(frozen=True, slots=True)
class Said:
    """One answer of a server, not yet read."""

    text: str
    usage: Usage
    model: str
    is_cut_off: bool
