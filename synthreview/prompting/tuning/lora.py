"""Fine-tuning on this machine: a LoRA adapter for a local model, from a training file of chats.

A plain loop over PyTorch, transformers and peft, all imported on first use: worker only. Only
the assistant's words are learnt. The adapter is written under another name and renamed when it
is whole. Knows nothing of Django.
Source: Hu et al. 2021, LoRA.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthreview.lib.outcomes import PermanentError, StoppedError, TransientError
from synthreview.prompting.authors.transformers import (
    chat_tokens,
    folder_faults,
    load_model,
    missing_packages,
)

IGNORED = -100  # the label that PyTorch's loss leaves out
MEASURED_ROWS = 32
RECORD = "training.json"


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """How to train. `max_tokens`: longer chats are left out, and counted."""

    epochs: int = 3
    learning_rate: float = 2e-4
    rank: int = 16
    dropout: float = 0.0
    batch: int = 4
    max_tokens: int = 1024
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of training."""

    step: int
    steps: int
    loss: float
    tokens: int


@dataclass(frozen=True, slots=True)
class LoraResult:
    """What training made. The losses are means over the measured chats, before and after."""

    folder: str
    base_model: str
    rows: int
    left_out: int
    steps: int
    tokens: int
    loss_before: float
    loss_after: float
    seconds: float


def train(
    *,
    model: str,
    rows: Sequence[dict[str, Any]],
    out: Path,
    settings: LoraSettings | None = None,
    measured: Sequence[dict[str, Any]] = (),
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> LoraResult:
    """Train an adapter for `model` on chats (`file.chat_rows`) and write it to the new `out`.

    `measured` are chats of held-out classes for the losses; without them, some of `rows`.
    Raises: PermanentError (packages, model, rows), TransientError (memory),
        StoppedError, FileExistsError.
    """
    settings = settings or LoraSettings()
    if faults := missing_packages(with_peft=True) or folder_faults(model):
        raise PermanentError(" ".join(faults))
    if out.exists():
        raise FileExistsError(f"{out} is there already; an adapter is never written over.")
    import torch

    began = time.monotonic()
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        base, tokenizer = load_model(model, device=settings.device)
        chats = [c for row in rows if (c := _encoded(row, tokenizer, settings.max_tokens))]
        if not chats:
            raise PermanentError(
                f"None of {len(rows)} chats has at most {settings.max_tokens} tokens: "
                "nothing to learn from."
            )
        checked = [c for row in measured if (c := _encoded(row, tokenizer, settings.max_tokens))]
        checked = (checked or chats)[:MEASURED_ROWS]
        tuned = _with_lora(base, settings)
        before = _mean_loss(tuned, checked, settings)
        try:
            steps, tokens = _learn(tuned, chats, settings, on_progress, should_stop)
        except torch.OutOfMemoryError as error:
            raise TransientError(
                f"Training ran out of memory on {settings.device}: take a smaller batch."
            ) from error
        result = LoraResult(
            folder=str(out),
            base_model=model,
            rows=len(chats),
            left_out=len(rows) - len(chats),
            steps=steps,
            tokens=tokens,
            loss_before=before,
            loss_after=_mean_loss(tuned, checked, settings),
            seconds=time.monotonic() - began,
        )
    _write(tuned, out, result, settings)
    return result


@dataclass(frozen=True, slots=True)
class _Chat:
    """Token ids, and the label of each: IGNORED where the assistant does not speak."""

    ids: list[int]
    labels: list[int]


def _encoded(row: dict[str, Any], tokenizer: Any, max_tokens: int) -> _Chat | None:
    """Return one chat as tokens; None where it is too long. Raises PermanentError."""
    messages = row.get("messages")
    if not isinstance(messages, list) or len(messages) < 2:
        raise PermanentError("Local training takes chats; preference pairs go to a server only.")
    asked = chat_tokens(tokenizer, messages[:-1], is_question=True)
    whole = chat_tokens(tokenizer, messages, is_question=False)
    if whole[: len(asked)] != asked:  # a template that words the question by its answer
        answer = tokenizer(messages[-1]["content"], add_special_tokens=False)["input_ids"]
        whole = [*asked, *answer, tokenizer.eos_token_id]
    if len(whole) > max_tokens:
        return None
    return _Chat(whole, [IGNORED] * len(asked) + whole[len(asked) :])


def _with_lora(model: Any, settings: LoraSettings) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(
        model,
        LoraConfig(
            r=settings.rank,
            lora_alpha=2 * settings.rank,
            lora_dropout=settings.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )


def _learn(
    model: Any,
    chats: Sequence[_Chat],
    settings: LoraSettings,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> tuple[int, int]:
    """Go through the chats `epochs` times; returns (steps, tokens learnt from)."""
    import torch

    rng = random.Random(settings.seed)
    steps = settings.epochs * -(-len(chats) // settings.batch)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
    warm = max(1, steps // 10)
    # Up within a tenth of the steps, then evenly down to nought.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, max(0.0, (steps - step) / steps))
    )
    model.train()
    step = tokens = 0
    for _ in range(settings.epochs):
        for batch in _batches(rng.sample(chats, len(chats)), settings.batch):
            if should_stop():
                raise StoppedError(f"Training was stopped after {step} of {steps} steps.")
            loss = model(**_padded(batch, settings.device)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            tokens += sum(len(chat.ids) for chat in batch)
            on_progress(Progress(step, steps, float(loss.detach()), tokens))
    model.eval()
    return step, tokens


def _mean_loss(model: Any, chats: Sequence[_Chat], settings: LoraSettings) -> float:
    import torch

    model.eval()
    with torch.inference_mode():
        losses = [
            float(model(**_padded(batch, settings.device)).loss) * len(batch)
            for batch in _batches(chats, settings.batch)
        ]
    return sum(losses) / len(chats)


def _batches(chats: Sequence[_Chat], size: int) -> Iterator[Sequence[_Chat]]:
    return (chats[start : start + size] for start in range(0, len(chats), size))


def _padded(batch: Sequence[_Chat], device: str) -> dict[str, Any]:
    import torch

    width = max(len(chat.ids) for chat in batch)
    fields = {
        "input_ids": [chat.ids + [0] * (width - len(chat.ids)) for chat in batch],
        "attention_mask": [[1] * len(chat.ids) + [0] * (width - len(chat.ids)) for chat in batch],
        "labels": [chat.labels + [IGNORED] * (width - len(chat.labels)) for chat in batch],
    }
    return {name: torch.tensor(values, device=device) for name, values in fields.items()}


def _write(model: Any, out: Path, result: LoraResult, settings: LoraSettings) -> None:
    """Write the adapter (safetensors) and the record of its training; all of it or nothing."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model.save_pretrained(str(partial), safe_serialization=True)
        record = {"result": asdict(result), "settings": asdict(settings)}
        (partial / RECORD).write_text(json.dumps(record, indent=2) + "\n")
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
