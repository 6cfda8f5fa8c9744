"""A DALL·E Mini of two layers each with random weights: `-m tests.generation.tiny_dalle FOLDER`.

A process of its own makes it, because importing min_dalle changes torch for whoever does. The
picture decoder's size is fixed in min-dalle: 46.7 million weights, 93 MB in half precision.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CHANNELS, LAYERS, TEXT_TOKENS = 64, 2, 64
SPACE = chr(ord(" ") + 256)  # how the tokenizer writes the space before a word
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def make_tiny_dalle(folder: Path) -> None:
    """Write the five files in min-dalle's own layout."""
    import torch
    from min_dalle.models import DalleBartDecoder, DalleBartEncoder, VQGanDetokenizer

    torch.manual_seed(0)
    words = ["<s>", "<pad>", "</s>", "<unk>", SPACE, *LETTERS, f"{SPACE}a"]
    sizes: dict[str, Any] = {
        "layer_count": LAYERS,
        "embed_count": CHANNELS,
        "attention_head_count": 1,
        "glu_embed_count": 2 * CHANNELS,
        "device": "cpu",
    }
    text, pictures = folder / "dalle_bart_mini", folder / "vqgan"
    for part in (text, pictures):
        part.mkdir(parents=True)
    (text / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (text / "merges.txt").write_text(f"#version: 0.2\n{SPACE} a\n")
    encoder = DalleBartEncoder(**sizes, text_vocab_count=len(words), text_token_count=TEXT_TOKENS)
    decoder = DalleBartDecoder(**sizes, image_vocab_count=2**14)
    torch.save(encoder.state_dict(), text / "encoder.pt")
    torch.save(decoder.state_dict(), text / "decoder.pt")
    torch.save(VQGanDetokenizer().half().state_dict(), pictures / "detoker.pt")


if __name__ == "__main__":
    make_tiny_dalle(Path(sys.argv[1]))
