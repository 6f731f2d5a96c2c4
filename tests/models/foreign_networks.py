"""Tiny networks of other libraries, from their configurations alone."""

from pathlib import Path

import torch
import transformers

_FOUR = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}
_VIT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 64, "patch_size": 16}
_CONVNEXT = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
_SWIN = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "window_size": 4}


def segformer(**changes: object) -> transformers.PreTrainedConfig:
    small = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2]}
    return transformers.SegformerConfig(**small, decoder_hidden_size=16, **changes)


def _beit() -> transformers.PreTrainedConfig:
    return transformers.BeitConfig(**_VIT, intermediate_size=16, out_indices=[1, 2, 3, 4], pool_scales=[1, 2])


def _dpt() -> transformers.PreTrainedConfig:
    sizes = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8, "backbone_out_indices": [0, 1, 2, 3]}
    return transformers.DPTConfig(**_VIT, intermediate_size=16, **sizes)


def _upernet() -> transformers.PreTrainedConfig:
    return transformers.UperNetConfig(backbone_config=transformers.ConvNextConfig(**_CONVNEXT, **_FOUR), hidden_size=16)


def _mask2former() -> transformers.PreTrainedConfig:
    widths = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 16}
    depths = {"encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2, "dim_feedforward": 16}
    swin = transformers.SwinConfig(**_SWIN, **_FOUR)
    return transformers.Mask2FormerConfig(backbone_config=swin, num_queries=6, **widths, **depths)


def _eomt() -> transformers.PreTrainedConfig:
    sizes = {"num_blocks": 1, "num_queries": 6, "num_upscale_blocks": 1, "num_register_tokens": 2}
    return transformers.EomtConfig(**{**_VIT, "num_hidden_layers": 5}, **sizes)


def _dinov2() -> transformers.PreTrainedConfig:
    return transformers.Dinov2WithRegistersConfig(**{**_VIT, "patch_size": 14}, num_register_tokens=4)


def _dinov3() -> transformers.PreTrainedConfig:
    return transformers.DINOv3ViTConfig(**_VIT, intermediate_size=16, num_register_tokens=4)


CONFIGS = {
    "segformer": segformer,
    "beit": _beit,
    "dpt": _dpt,
    "upernet": _upernet,
    "mask2former": _mask2former,
    "eomt": _eomt,
    "dinov2": _dinov2,
    "dinov3": _dinov3,
    "convnext": lambda: transformers.ConvNextConfig(**_CONVNEXT),
}


def folder_of(name: str, folder: Path) -> str:
    """`hf:FOLDER` of a configuration without weights."""
    CONFIGS[name]().save_pretrained(folder)
    return f"hf:{folder}"


def segformer_teacher(folder: Path, classes: tuple[str, ...]) -> transformers.PreTrainedModel:
    """A SegFormer with random weights and class names, saved as transformers does."""
    torch.manual_seed(0)
    transformers.utils.logging.disable_progress_bar()
    model = transformers.SegformerForSemanticSegmentation(segformer(id2label=dict(enumerate(classes)))).eval()
    model.save_pretrained(folder)
    return model
