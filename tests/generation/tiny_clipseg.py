"""A CLIPSeg of about a megabyte with random weights, made on the spot and loaded from disk.

What it finds is noise; its last layer is set so that the noise is decided, or says nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.generation.tiny_diffusion import make_tokenizer

WIDTH = 16
SIDE = 64  # px of what it looks at; the published model looks at 352


def make_clipseg(folder: Path, *, bias: float = 0.0, as_safetensors: bool = True) -> Path:
    """Write a CLIPSeg to `folder`; a bias far from 0 finds everything or nothing."""
    import torch
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        CLIPSegTextConfig,
        CLIPSegVisionConfig,
        ViTImageProcessor,
    )

    tokenizer = make_tokenizer(folder.parent / f"{folder.name}-tokenizer")
    small: dict[str, Any] = {
        "hidden_size": WIDTH, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }  # fmt: skip
    text = CLIPSegTextConfig(
        vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id, **small,
    )  # fmt: skip
    vision = CLIPSegVisionConfig(image_size=SIDE, patch_size=16, **small)
    config = CLIPSegConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH,
        reduce_dim=8, extract_layers=[0, 1], decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = CLIPSegForImageSegmentation(config)
    last = model.decoder.transposed_convolution
    last = last[-1] if isinstance(last, torch.nn.Sequential) else last
    with torch.no_grad():
        last.weight.mul_(50)
        last.bias.fill_(bias)
    model.save_pretrained(folder, safe_serialization=as_safetensors)
    pictures = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    CLIPSegProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(folder)
    return folder
