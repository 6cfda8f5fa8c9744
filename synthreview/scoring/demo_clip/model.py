"""The network: a small CLIP of open_clip's own parts, described by JSON alone.

The picture tower is open_clip's ModifiedResNet (the conv tower of Radford et al. 2021),
made narrow. The text tower keeps CLIP's own tokenizer of 49,408 tokens, so that nothing
has to be registered or shipped beside the weights. Only the tokens that the drawn world
uses are trained, in a compact table; all others share one row, "unknown".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from . import captions

IMAGE_PX: Final = 96
CONTEXT: Final = 32
VOCABULARY: Final = 49_408
MODEL_CONFIG: Final[dict[str, Any]] = {
    "embed_dim": 128,
    "init_logit_scale": float(np.log(10)),
    "init_logit_bias": -5.0,
    "vision_cfg": {"image_size": IMAGE_PX, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": VOCABULARY,
        "width": 48,
        "heads": 4,
        "layers": 2,
    },
}
PREPROCESS_CONFIG: Final[dict[str, Any]] = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
_EMBEDDING: Final = "token_embedding.weight"
_PAD, _FOREIGN = 0, 1


class CompactTokens:
    """Maps CLIP's tokens to the rows that are trained: 0 padding, 1 unknown, then the known.

    Order is kept, so that the end token stays the largest: the text tower finds it so.
    """

    def __init__(self, wordings: Iterable[str]) -> None:
        self._tokenizer = SimpleTokenizer(context_length=CONTEXT)
        self._kept: dict[str, npt.NDArray[np.int64]] = {}
        used = {token for words in wordings for token in self._tokenizer.encode(words)}
        ends = {self._tokenizer.sot_token_id, self._tokenizer.eot_token_id}
        self.known = np.array(sorted((used | ends) - {0}), dtype=np.int64)
        self.row_of = np.full(VOCABULARY, _FOREIGN, dtype=np.int64)
        self.row_of[0] = _PAD
        self.row_of[self.known] = np.arange(2, 2 + len(self.known))

    def __len__(self) -> int:
        return 2 + len(self.known)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return (N, CONTEXT) compact tokens."""
        return torch.from_numpy(np.stack([self._encode(text) for text in texts]))

    def _encode(self, text: str) -> npt.NDArray[np.int64]:
        if text not in self._kept:
            if len(self._kept) > 200_000:
                self._kept.clear()
            self._kept[text] = self.row_of[self._tokenizer([text])[0].numpy()]
        return self._kept[text]


class TrainableClip(nn.Module):
    """The CLIP with the compact token table, and class heads that are thrown away later."""

    def __init__(self, tokens: CompactTokens) -> None:
        super().__init__()
        config = {
            **MODEL_CONFIG,
            "text_cfg": {**MODEL_CONFIG["text_cfg"], "vocab_size": len(tokens)},
        }
        self.clip = open_clip.CLIP(**config)
        sizes = {slot: len(captions.NAMES[slot]) for slot in captions.SLOTS}
        width = MODEL_CONFIG["embed_dim"]
        self.heads = nn.ModuleDict({slot: nn.Linear(width, size) for slot, size in sizes.items()})
        self.to(memory_format=torch.channels_last)

    def images(self, pixels: Tensor, *, bf16: bool) -> Tensor:
        """Return (N, D) vectors, not yet of length 1, of (N, 3, H, W) prepared pixels."""
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            vectors: Tensor = self.clip.visual(pixels.contiguous(memory_format=torch.channels_last))
        return vectors.float()

    def texts(self, rows: Tensor) -> Tensor:
        """Return (N, D) unit vectors of (N, CONTEXT) compact tokens."""
        vectors: Tensor = self.clip.encode_text(rows, normalize=True)
        return vectors

    def logits(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return (N, T) logits of a match, of unit vectors."""
        scale: Tensor = self.clip.logit_scale.exp()
        logits: Tensor = scale * images @ texts.T + self.clip.logit_bias
        return logits


def shipped_weights(model: TrainableClip, tokens: CompactTokens) -> dict[str, Tensor]:
    """Return the fp16 weights as plain open_clip has them: one row per token of CLIP."""
    weights = {name: value.detach().clone() for name, value in model.clip.state_dict().items()}
    weights[_EMBEDDING] = weights[_EMBEDDING][torch.from_numpy(tokens.row_of)]
    return {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in weights.items()
    }


def prepare(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Return (N, 3, H, W) float32 of (N, H, W, 3) bytes, as the preprocessing makes them."""
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(PREPROCESS_CONFIG[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return (values - mean) / std
