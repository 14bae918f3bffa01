"""InternVL (InternViT, projector, Qwen2) with LoRA, built from configuration by transformers and peft."""

from __future__ import annotations

import warnings
from typing import Any

from peft import LoraConfig, get_peft_model
from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig, Qwen2Config

from vesselbench_sa2va.config import LoraSettings
from vesselbench_sa2va.sizes import Shape

TARGETS = r".*language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
"""A pattern, not a list of names: the vision tower has layers called q_proj, k_proj and v_proj too."""


def internvl_config(shape: Shape) -> Any:
    """The transformers configuration. Embedding and head are not tied (both levels must say so)."""
    vision, language = shape.vision, shape.language
    return InternVLConfig(
        vision_config=InternVLVisionConfig(
            hidden_size=vision.hidden,
            num_hidden_layers=vision.layers,
            num_attention_heads=vision.heads,
            intermediate_size=vision.mlp,
            attention_bias=vision.qkv_bias,
            image_size=(vision.tile, vision.tile),
            patch_size=(vision.patch, vision.patch),
            layer_norm_eps=vision.eps,
        ),
        text_config=Qwen2Config(
            vocab_size=language.vocabulary,
            hidden_size=language.hidden,
            intermediate_size=language.mlp,
            num_hidden_layers=language.layers,
            num_attention_heads=language.heads,
            num_key_value_heads=language.kv_heads,
            max_position_embeddings=language.positions,
            rms_norm_eps=language.eps,
            rope_parameters={"rope_type": "default", "rope_theta": language.rope_theta},
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        ),
        image_token_id=shape.tokens.image,
        image_seq_length=vision.tokens_per_tile,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )


def build_internvl(shape: Shape, attention: str = "sdpa") -> Any:
    """InternVLForConditionalGeneration with random weights; `attention` is sdpa or eager."""
    model = InternVLForConditionalGeneration(internvl_config(shape))
    model.set_attn_implementation(attention)
    return model


def add_lora(model: Any, settings: LoraSettings, copies: bool) -> Any:
    """Wrap the model into a PeftModel; `copies` adds trained copies of embedding and head.

    All parameters but the adapters' are frozen afterwards.
    """
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=TARGETS,
        bias="none",
        modules_to_save=["embed_tokens", "lm_head"] if copies else None,
    )
    with warnings.catch_warnings():  # peft 0.21 asks transformers 5.23 by a name that is going to be changed
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        return get_peft_model(model, config)
