"""Diffusion models of about a megabyte, made on the spot with random weights.

Each goes to disk and comes back through diffusers' own `from_pretrained`; what they draw is
noise, but all of the real code runs. torch and diffusers are imported on first use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WIDTH = 32  # of the text encoders, the attention, and the image embeddings


def make_stable_diffusion(
    folder: Path, *, latent_channels: int = 4, flags_everything: bool | None = None
) -> Path:
    """Write a Stable Diffusion to `folder`: 64 px, 4 latent channels (9: for inpainting only).

    It has a safety checker only where it is said what that shall do.
    """
    import diffusers

    tokenizer = make_tokenizer(folder.parent / f"{folder.name}-tokenizer")
    is_checked = flags_everything is not None
    pipeline = diffusers.StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=_unet(in_channels=latent_channels),
        scheduler=_scheduler(),
        safety_checker=_safety_checker(flags=bool(flags_everything)) if is_checked else None,
        feature_extractor=_clip_images() if is_checked else None,
        requires_safety_checker=is_checked,
    )
    return _saved(pipeline, folder)


def make_stable_diffusion_xl(folder: Path) -> Path:
    """Write an SDXL with its two text encoders to `folder`: 64 px."""
    import diffusers

    tokenizer = make_tokenizer(folder.parent / f"{folder.name}-tokenizer")
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_clip_text(tokenizer),
        text_encoder_2=_clip_text(tokenizer, projected=True),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_unet(
            cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        ),
        scheduler=_scheduler(),
    )
    return _saved(pipeline, folder)


def make_flux(folder: Path) -> Path:
    """Write a Flux (a transformer, CLIP and T5) to `folder`."""
    import diffusers
    import torch
    import transformers

    tokenizer = make_tokenizer(folder.parent / f"{folder.name}-tokenizer")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformer = diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            axes_dims_rope=(4, 4, 8),
        )
        t5 = transformers.T5EncoderModel(
            transformers.T5Config(
                vocab_size=len(tokenizer),
                d_model=WIDTH,
                d_kv=8,
                d_ff=37,
                num_layers=1,
                num_heads=4,
                is_encoder_decoder=False,
                use_cache=False,
            )
        )
    pipeline = diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        text_encoder=_clip_text(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=t5,
        tokenizer_2=tokenizer,
        transformer=transformer,
    )
    return _saved(pipeline, folder)


def make_flux2_klein(folder: Path) -> Path:
    """Write a Flux 2 klein (a transformer and Qwen 3) to `folder`; it edits pictures."""
    import diffusers
    import transformers

    tokenizer = make_chat_tokenizer()
    width = 16
    qwen = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=24,
        num_hidden_layers=28,  # the pipeline reads layers 9, 18 and 27
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    pipeline = diffusers.Flux2KleinPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=_seeded(
            diffusers.AutoencoderKLFlux2,
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=8,
        ),
        text_encoder=_seeded(transformers.Qwen3ForCausalLM, qwen),
        tokenizer=tokenizer,
        transformer=_seeded(
            diffusers.Flux2Transformer2DModel,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=3 * width,
            timestep_guidance_channels=16,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        ),
    )
    return _saved(pipeline, folder)


def make_chat_tokenizer() -> Any:
    """Return Qwen's tokenizer over single bytes, with a chat template."""
    from tokenizers import pre_tokenizers
    from transformers import Qwen2TokenizerFast

    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *marks]
    return Qwen2TokenizerFast(
        vocab={word: number for number, word in enumerate(words)},
        merges=[],
        chat_template="{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}",
    )


def make_ip_adapter(folder: Path, stable_diffusion: Path) -> Path:
    """Write an IP-Adapter for that model, with its image encoder beside it; return its file."""
    import diffusers
    import torch
    from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
    from safetensors.torch import save_file

    unet = diffusers.UNet2DConditionModel.from_pretrained(stable_diffusion, subfolder="unet")
    encoder = _clip_vision()
    folder.mkdir(parents=True)
    encoder.save_pretrained(folder / "image_encoder")
    tokens, width = 4, unet.config.cross_attention_dim
    chance = torch.Generator().manual_seed(3)
    weights = {
        "image_proj.proj.weight": torch.randn(
            tokens * width, encoder.config.projection_dim, generator=chance
        ),
        "image_proj.proj.bias": torch.zeros(tokens * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    # The published files number the attention layers 1, 3, 5, …: the cross-attentions.
    for number, name in enumerate(unet.attn_processors):
        if name.endswith("attn1.processor"):
            continue
        module = unet.get_submodule(name.removesuffix(".processor"))
        own = IPAdapterAttnProcessor2_0(module.to_q.out_features, width, num_tokens=(tokens,))
        for part, layer in (("to_k_ip", own.to_k_ip[0]), ("to_v_ip", own.to_v_ip[0])):
            weights[f"ip_adapter.{number}.{part}.weight"] = torch.randn(
                layer.weight.shape, generator=chance
            )
    file = folder / "ip-adapter_tiny.safetensors"
    save_file(weights, file)
    return file


def make_kandinsky(folder: Path, *, latent_channels: int = 4) -> tuple[Path, Path]:
    """Write Kandinsky 2.2's decoder and prior to `folder`; return both."""
    import diffusers

    tokenizer = make_tokenizer(folder / "tokenizer-made")
    decoder = diffusers.KandinskyV22Pipeline(
        unet=_unet(
            in_channels=latent_channels,
            out_channels=8,
            addition_embed_type="image",
            encoder_hid_dim=WIDTH,
            encoder_hid_dim_type="image_proj",
            resnet_time_scale_shift="scale_shift",
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        ),
        scheduler=diffusers.DDIMScheduler(
            beta_schedule="linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type="epsilon",
            thresholding=False,
        ),
        movq=_movq(),
    )
    prior = diffusers.KandinskyV22PriorPipeline(
        prior=_prior(),
        image_encoder=_clip_vision(),
        text_encoder=_clip_text(tokenizer, projected=True),
        tokenizer=tokenizer,
        scheduler=_unclip_scheduler("sample"),
        image_processor=_clip_images(),
    )
    return _saved(decoder, folder / "decoder"), _saved(prior, folder / "prior")


def make_karlo(folder: Path) -> Path:
    """Write a Karlo (unCLIP) to `folder`, in the layout in which it was published."""
    import torch
    from diffusers.pipelines.deprecated.unclip import UnCLIPTextProjModel

    tokenizer = make_tokenizer(folder.parent / f"{folder.name}-tokenizer")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        text_proj = UnCLIPTextProjModel(
            clip_embeddings_dim=WIDTH, time_embed_dim=2 * WIDTH, cross_attention_dim=WIDTH
        )
    parts = {
        "prior": _prior(),
        "decoder": _unet(
            sample_size=32,
            in_channels=3,
            out_channels=6,
            class_embed_type="identity",
            resnet_time_scale_shift="scale_shift",
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        ),
        "text_encoder": _clip_text(tokenizer, projected=True),
        "tokenizer": tokenizer,
        "text_proj": text_proj,
        "super_res_first": _upscaler(),
        "super_res_last": _upscaler(),
        "image_encoder": _clip_vision(),
        "feature_extractor": _clip_images(),
        "prior_scheduler": _unclip_scheduler("sample"),
        "decoder_scheduler": _unclip_scheduler("epsilon", variance_type="learned_range"),
        "super_res_scheduler": _unclip_scheduler("epsilon"),
    }
    index: dict[str, Any] = {"_class_name": "UnCLIPPipeline", "_diffusers_version": "0.14.0"}
    folder.mkdir(parents=True)
    for name, part in parts.items():
        part.save_pretrained(folder / name)
        library = type(part).__module__.split(".")[0]
        index[name] = ["unclip" if name == "text_proj" else library, type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def make_tokenizer(folder: Path) -> Any:
    """Return CLIP's tokenizer over single bytes: it can read any text."""
    from transformers import CLIPTokenizer

    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    signs = [chr(byte) for byte in visible] + [chr(256 + i) for i in range(256 - len(visible))]
    words = [*signs, *(f"{sign}</w>" for sign in signs), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    settings = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return CLIPTokenizer.from_pretrained(str(folder))


def _saved(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder)
    return folder


def _seeded(make: Any, *args: Any, **config: Any) -> Any:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make(*args, **config)


def _unet(**config: Any) -> Any:
    import diffusers

    small = {
        "sample_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 8,
    }
    return _seeded(diffusers.UNet2DConditionModel, **{**small, **config})


def _upscaler() -> Any:
    import diffusers

    return _seeded(
        diffusers.UNet2DModel,
        sample_size=64,
        in_channels=6,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(16, 16),
        norm_num_groups=8,
        down_block_types=("ResnetDownsampleBlock2D",) * 2,
        up_block_types=("ResnetUpsampleBlock2D",) * 2,
        add_attention=False,
    )


def _vae(**config: Any) -> Any:
    import diffusers

    small = {
        "block_out_channels": (8, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": 4,
        "norm_num_groups": 8,
        "sample_size": 64,
    }
    return _seeded(diffusers.AutoencoderKL, **{**small, **config})


def _movq() -> Any:
    import diffusers

    return _seeded(
        diffusers.VQModel,
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=8,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )


def _prior() -> Any:
    import diffusers

    return _seeded(
        diffusers.PriorTransformer,
        num_attention_heads=2,
        attention_head_dim=12,
        embedding_dim=WIDTH,
        num_layers=1,
    )


def _clip_text(tokenizer: Any, *, projected: bool = False) -> Any:
    import transformers

    end = len(tokenizer) - 1
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=WIDTH,
        bos_token_id=end - 1,
        eos_token_id=end,
        pad_token_id=end,
    )
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return _seeded(kind, config)


def _clip_vision() -> Any:
    import transformers

    config = transformers.CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=WIDTH,
        image_size=32,
        patch_size=8,
    )
    return _seeded(transformers.CLIPVisionModelWithProjection, config)


def _clip_images() -> Any:
    import transformers

    return transformers.CLIPImageProcessor(size=32, crop_size=32)


def _safety_checker(*, flags: bool) -> Any:
    import transformers
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker

    vision = _clip_vision().config.to_dict()
    config = transformers.CLIPConfig(vision_config=vision, projection_dim=WIDTH)
    checker = _seeded(StableDiffusionSafetyChecker, config)
    # The cosine above which a concept counts: everything, or nothing, is above it.
    checker.concept_embeds_weights.data.fill_(-2 if flags else 2)
    checker.special_care_embeds_weights.data.fill_(2)
    return checker


def _scheduler() -> Any:
    import diffusers

    return diffusers.DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def _unclip_scheduler(prediction: str, *, variance_type: str = "fixed_small_log") -> Any:
    import diffusers

    return diffusers.UnCLIPScheduler(
        variance_type=variance_type,
        prediction_type=prediction,
        num_train_timesteps=1000,
        clip_sample_range=5.0 if prediction == "sample" else 1.0,
    )
