"""The process in which DALL·E Mini draws: `python -m …dalle_mini.child`, lines of JSON in and out.

A process of its own, because importing min_dalle turns off gradients and sets the number of
threads for all of torch. The first line in says which files to load; every further one is a
picture to draw. Lines out: {"version"}, {"step", "of"}, {"png"} or {"error"}. It ends when its
standard input does.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import min_dalle
import torch
from min_dalle.min_dalle import IMAGE_TOKEN_COUNT
from min_dalle.models import DalleBartDecoder, DalleBartEncoder, VQGanDetokenizer
from min_dalle.text_tokenizer import TextTokenizer

from synthreview.generation.generators.checking import encode_png
from synthreview.generation.generators.diffusers.folder import weights_sha256

# Published: 16 heads of 1024 channels, 32 of 2048.
CHANNELS_PER_HEAD = 64


class LocalDalle(min_dalle.MinDalle):  # type: ignore[misc]  # it says nothing of its types
    """MinDalle from files of any size; the original asks the network and knows two sizes.

    Raises KeyError or RuntimeError: the files are not this model's.
    """

    def __init__(self, files: Mapping[str, str], device: str) -> None:
        self.device, self.dtype = device, torch.float32
        self.is_reusable, self.is_verbose = True, False
        vocabulary = json.loads(Path(files["vocab"]).read_text(encoding="utf-8"))
        merges = Path(files["merges"]).read_text(encoding="utf-8").split("\n")[1:-1]
        self.tokenizer = TextTokenizer(vocabulary, merges)
        encoder, decoder = self._read(files["encoder"]), self._read(files["decoder"])
        self.text_token_count = encoder["embed_positions.weight"].shape[0]
        self.layer_count = _layers(decoder)
        self.embed_count = decoder["embed_tokens.weight"].shape[1]
        self.encoder = self._filled(
            DalleBartEncoder(
                **_sizes(encoder),
                text_vocab_count=encoder["embed_tokens.weight"].shape[0],
                text_token_count=self.text_token_count,
                device=device,
            ),
            encoder,
        )
        # One more than its count is made, for the token with which a picture begins.
        image_vocab_count = decoder["embed_tokens.weight"].shape[0] - 1
        self.decoder = self._filled(
            DalleBartDecoder(**_sizes(decoder), image_vocab_count=image_vocab_count, device=device),
            decoder,
        )
        self.detokenizer = self._filled(VQGanDetokenizer(), self._read(files["detokenizer"]))

    def _read(self, file: str) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        return state

    def _filled(self, module: torch.nn.Module, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """Return the module with its weights; what it lacks is an error, what is over is not."""
        missing = module.load_state_dict(state, strict=False).missing_keys
        if missing:
            raise KeyError(f"{len(missing)} weights are missing, {missing[0]!r} first")
        return module.to(self.dtype).eval().to(self.device)


def _sizes(state: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Read from the weights what the original has as constants for two models."""
    channels = state["embed_tokens.weight"].shape[1]
    return {
        "layer_count": _layers(state),
        "embed_count": channels,
        "attention_head_count": max(1, channels // CHANNELS_PER_HEAD),
        "glu_embed_count": state["layers.0.glu.fc0.weight"].shape[0],
    }


def _layers(state: Mapping[str, torch.Tensor]) -> int:
    numbers = [int(found[1]) for key in state if (found := re.match(r"layers\.(\d+)\.", key))]
    return max(numbers) + 1


def draw(model: LocalDalle, order: Mapping[str, Any], on_step: Callable[[int], None]) -> bytes:
    """Return one picture as PNG; `on_step` hears of every one of its 256 tokens."""
    decoder: Any = model.decoder
    done = 0

    def counted(**inputs: Any) -> Any:
        nonlocal done
        drawn = type(decoder).sample_tokens(decoder, **inputs)
        done += 1
        on_step(done)
        return drawn

    decoder.sample_tokens = counted
    picture = model.generate_image(
        order["prompt"],
        seed=order["seed"],
        grid_size=1,
        temperature=order["temperature"],
        top_k=int(order["top_k"]),
        supercondition_factor=order["guidance"],
    )
    return encode_png(picture)


def main() -> None:
    """Serve until standard input ends."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # what min_dalle prints is no answer
    lines = _lines_in()
    say = functools.partial(_say, out)
    setup = json.loads(lines.get())
    try:
        if setup["threads"]:
            torch.set_num_threads(setup["threads"])
        model = LocalDalle(setup["files"], setup["device"])
        say(version=weights_sha256(map(Path, sorted(setup["files"].values()))))
        while True:
            order = json.loads(lines.get())
            png = draw(model, order, lambda done: say(step=done, of=IMAGE_TOKEN_COUNT))
            say(png=base64.b64encode(png).decode())
    except Exception as error:  # noqa: BLE001  # whatever it is, the parent says it in words
        said = " ".join(str(error).split()) or type(error).__name__
        is_full = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
            "can't allocate memory" in said
        )
        say(error=said[:300], is_full=is_full)


def _lines_in() -> queue.SimpleQueue[str]:
    """Give what is written to us; once nobody can write any more, end, whatever goes on."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _say(out: TextIO, **message: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        out.write(json.dumps(message) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
