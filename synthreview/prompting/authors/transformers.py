"""The author that runs an instruct model on this machine, through transformers; worker only.

The model is a folder or a name on the Hugging Face hub, safetensors weights only, with an
optional PEFT adapter folder on top: what `tuning.lora` makes. Small models keep badly to JSON,
so it asks for lines. transformers, peft and torch are imported on first use, never with this
module. Knows nothing of Django.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from synthreview.lib.outcomes import PermanentError, TransientError, UnusableAnswerError
from synthreview.prompting.authors.answers import looks_like_json, read_json, read_lines
from synthreview.prompting.authors.asking import ASKING_VERSION, Answer, Ask, Message, gather
from synthreview.prompting.authors.base import Usage, WriteRequest, WriteResult, after

TRIES = 3
TOKENS_PER_CAPTION, TOKENS_SPARE = 40, 64


class TransformersAuthor:
    """Writes captions with a local chat model; the same seed gives the same captions.

    Args:
        model: a folder, or OWNER/NAME on the hub (downloaded on first use).
        adapter: a PEFT adapter folder made for that model; empty for none.
        device: "cpu", "cuda" or whatever torch knows.
        batch: captions per answer; small models lose count past a dozen.
        temperature: 0 takes the likeliest word each time.
        max_tokens: the length of an answer; 0 reckons it from the number of captions.
    """

    needs_worker = True
    tuned_where = "local"

    def __init__(
        self,
        *,
        model: str,
        adapter: str = "",
        device: str = "cpu",
        batch: int = 12,
        temperature: float = 0.9,
        max_tokens: int = 0,
        title: str = "",
    ) -> None:
        self.model, self.adapter = model, adapter
        name = Path(adapter or model).name
        self.title = title or f"Local model {name}"
        self.version = f"{name}/{ASKING_VERSION}"[:60]
        self.device, self.batch = device, batch
        self._temperature, self._max_tokens = temperature, max_tokens

    def write(self, request: WriteRequest) -> WriteResult:
        """Return up to `count` captions; see the contract and `asking`. Raises ServiceError."""
        return gather(request, self._answer, batch=self.batch, as_lines=True)

    def tuned(self, *, title: str, result: str) -> TransformersAuthor:
        """Return the same with another adapter, that of the folder `result`."""
        return TransformersAuthor(
            model=self.model,
            adapter=result,
            device=self.device,
            batch=self.batch,
            temperature=self._temperature,
            max_tokens=self._max_tokens,
            title=title,
        )

    def estimate_usd(self, request: WriteRequest) -> Decimal:
        """Return 0: the machine is ours."""
        return Decimal(0)

    def health(self) -> list[str]:
        """Return what is wrong with the packages, the folders and the weights' format."""
        return missing_packages(with_peft=bool(self.adapter)) or folder_faults(
            self.model, self.adapter
        )

    def _answer(self, ask: Ask) -> Answer:
        usage = Usage()
        for number in range(TRIES):
            text, used = self._generate(
                ask.messages,
                seed=ask.request.seed + number,
                count=ask.count,
            )
            usage += used
            read = read_json if looks_like_json(text) else read_lines
            try:
                return Answer(tuple(read(text, ask)), usage, self.version)
            except UnusableAnswerError:
                continue
        raise after(
            usage,
            UnusableAnswerError(
                f"{self.title} wrote nothing that can be read as captions, {TRIES} times. A larger "
                "instruct model, or a fine-tuned one, will."
            ),
        )

    def _generate(self, messages: Sequence[Message], *, seed: int, count: int) -> tuple[str, Usage]:
        import torch

        model, tokenizer = self._loaded
        asked = chat_tokens(tokenizer, messages, is_question=True)
        ids = torch.tensor([asked], device=self.device)
        prompt = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        length = len(asked)
        room = _context(model) - length
        wanted = self._max_tokens or TOKENS_PER_CAPTION * count + TOKENS_SPARE
        if room < 1:
            raise PermanentError(
                f"The question has {length} tokens and {self.title} takes {_context(model)}: "
                "give fewer examples or axis values, or a model with a longer context."
            )
        sampling = (
            {"do_sample": True, "temperature": self._temperature, "top_p": 0.95}
            if self._temperature > 0
            else {"do_sample": False}
        )
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed % 2**63)
            try:
                answer = model.generate(
                    **prompt,
                    **sampling,
                    max_new_tokens=min(wanted, room),
                    pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
                )
            except torch.OutOfMemoryError as error:
                raise TransientError(
                    f"{self.title} ran out of memory on {self.device}; a smaller batch takes less."
                ) from error
        new = answer[0, length:]
        text = tokenizer.decode(new, skip_special_tokens=True)
        return text, Usage(1, length, int(new.shape[0]))

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any]:
        if faults := self.health():
            raise PermanentError(" ".join(faults))
        return load_model(self.model, self.adapter, self.device)


def load_model(model: str, adapter: str = "", device: str = "cpu") -> tuple[Any, Any]:
    """Return (model, tokenizer), ready to write. Raises PermanentError with what to do.

    Only safetensors are read, and no code that comes with a model is run.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a log is no terminal
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model, use_safetensors=True, trust_remote_code=False
        )
        if adapter:
            from peft import PeftModel

            loaded = PeftModel.from_pretrained(loaded, adapter, use_safetensors=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PermanentError(f"The model {model!r} cannot be loaded: {first[:300]}") from error
    if not getattr(tokenizer, "chat_template", None):
        raise PermanentError(f"The model {model!r} has no chat template: take an instruct model.")
    return loaded.to(device).eval(), tokenizer


def chat_tokens(
    tokenizer: Any, messages: Sequence[Mapping[str, object]], *, is_question: bool
) -> list[int]:
    """Return the chat as the model's tokens; a question ends where its answer begins.

    Some models' templates take no system message: theirs goes in front of the user's.
    """
    from jinja2 import TemplateError

    def tokens(chat: Sequence[Mapping[str, object]]) -> list[int]:
        made = tokenizer.apply_chat_template(
            list(chat), add_generation_prompt=is_question, return_dict=True
        )
        return list(made["input_ids"])

    try:
        return tokens(messages)
    except TemplateError:
        if len(messages) < 2 or messages[0]["role"] != "system":
            raise
        both = f"{messages[0]['content']}\n\n{messages[1]['content']}"
        return tokens([{"role": "user", "content": both}, *messages[2:]])


def missing_packages(*, with_peft: bool = False) -> list[str]:
    """Return a sentence where the packages of local models are not installed."""
    wanted = ["torch", "transformers", *(["peft"] if with_peft else [])]
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if not missing:
        return []
    return [f"{', '.join(missing)} missing: run `pip install synthreview[local-llm]`."]


def folder_faults(model: str, adapter: str = "") -> list[str]:
    """Return what is wrong with the folders that are named; a hub name is taken as it is."""
    faults = []
    looks_local = model.startswith((".", "/", "~")) or Path(model).is_dir()
    if looks_local and not Path(model).is_dir():
        faults.append(f"There is no model folder {model!r}.")
    elif looks_local:
        faults += _weights_fault(Path(model), "*.safetensors")
    if adapter and not Path(adapter).is_dir():
        faults.append(f"There is no adapter folder {adapter!r}.")
    elif adapter:
        faults += _weights_fault(Path(adapter), "adapter_model.safetensors")
    return faults


def _weights_fault(folder: Path, pattern: str) -> list[str]:
    if any(folder.glob(pattern)):
        return []
    fault = (
        f"{folder} holds no {pattern}: other formats can run code when they are loaded, and are "
        "refused. Convert them with transformers' `save_pretrained`."
    )
    return [fault]


def _context(model: Any) -> int:
    return int(getattr(model.config, "max_position_embeddings", 0) or 4096)
