"""Tiny image classifiers with random weights, one or more per architecture of transformers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf

from inficond.export.classifier import classifier_outputs
from inficond.export.teacher import TeacherOptions
from inficond.export.verify import synthetic_photographs

LABELS = {0: "cat", 1: "dog", 2: "cow"}
WIDTHS: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
}  # fmt: skip
SQUARE = {"height": 64, "width": 64}
SHORTEST = {"shortest_edge": 64}
SPREAD = 2.0
"""Mean standard deviation of a logit over the pictures: probabilities then differ between pictures."""


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    """One row of the survey.

    Attributes
    ----------
    name : str
        Architecture, and the variant where there are several.
    model : callable
        Returns the model; its argument are the label entries of a configuration.
    processor : callable
        Returns the image processor.
    options : TeacherOptions
        For the export.
    labels : dict
        Names by number.
    """

    name: str
    model: Callable[[dict[str, Any]], Any]
    processor: Callable[[], Any]
    options: TeacherOptions = field(default_factory=TeacherOptions)
    labels: dict[int, str] = field(default_factory=lambda: LABELS)


def pictures() -> list[np.ndarray]:
    """Return six made-up photographs of odd shapes.

    Returns
    -------
    list of (H, W, 3) uint8
        Wide, tall, square, a strip, tiny, and large with a share that no power of two divides.
    """
    shapes = [(120, 161), (143, 97), (96, 96), (61, 305), (23, 19), (311, 233)]
    found = [synthetic_photographs(shape, 1)[0] for shape in shapes]
    for i, picture in enumerate(found):
        height, width = picture.shape[:2]
        colour = ((40 * i) % 256, (200 - 35 * i) % 256, (90 * i) % 256)
        picture[height // 5 : height // 2, width // 4 : width * 3 // 4] = colour
    return found


def save(tiny: TinyModel, folder: Path) -> tuple[Any, Any]:
    """Make a model whose probabilities depend on the picture, and save it as transformers does.

    Parameters
    ----------
    tiny : TinyModel
    folder : Path

    Returns
    -------
    model, processor
        Both of transformers.
    """
    torch.manual_seed(7)
    names = {"id2label": tiny.labels, "label2id": {v: k for k, v in tiny.labels.items()}}
    model, processor = tiny.model(names), tiny.processor()
    _randomise(model)
    model.eval()
    _settle_batch_norms(model, processor)
    _spread_logits(model, processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def _inputs(model: Any, processor: Any) -> list[dict[str, Any]]:
    found = []
    for picture in pictures():
        values = dict(processor(picture, return_tensors="pt"))
        if model.main_input_name not in values and "pixel_values" in values:
            values[model.main_input_name] = values.pop("pixel_values")
        found.append(values)
    return found


def _randomise(model: Any) -> None:
    """Draw weights at which each block matters; fresh ones leave a transformer near the identity."""
    generator = torch.Generator().manual_seed(11)
    norms = (torch.nn.LayerNorm, torch.nn.BatchNorm2d, torch.nn.GroupNorm)
    gains = {id(m.weight) for m in model.modules() if isinstance(m, norms)}
    with torch.no_grad():
        for p in model.parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.ndim > 1:
                p.copy_(noise * p[0].numel() ** -0.5)
            else:
                p.copy_((1.0 if id(p) in gains else 0.0) + 0.1 * noise)


def _settle_batch_norms(model: Any, processor: Any) -> None:
    """Running means and variances of these pictures, so that activations neither vanish nor overflow."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
        norm.train()
    with torch.no_grad():
        try:
            batch = torch.cat([i[model.main_input_name] for i in _inputs(model, processor)])
            model(**{model.main_input_name: batch})
        except (RuntimeError, KeyError):  # inputs of different sizes
            for norm in norms:
                norm.running_var.fill_(1.0)  # type: ignore[union-attr,operator]
    for norm in norms:
        norm.momentum = 0.1
        norm.eval()


def _spread_logits(model: Any, processor: Any) -> None:
    """Scale and shift the head to logits that differ by `SPREAD` between pictures, around 0."""
    count = model.config.num_labels
    heads = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == count]

    def logits() -> torch.Tensor:
        return torch.cat([classifier_outputs(model(**i)) for i in _inputs(model, processor)])

    with torch.no_grad():
        try:
            factor = SPREAD / max(float(logits().std(0).mean()), 1e-9)
        except Exception:  # a model that transformers itself cannot run with this processor
            return
        for head in heads:
            head.weight.mul_(factor)
        offset = logits().mean(0)
        for head in heads:
            if head.bias is not None:
                head.bias.sub_(offset)


def _of(
    name: str,
    config: str,
    model: str,
    processor: str,
    arguments: dict[str, Any],
    processing: dict[str, Any],
    options: TeacherOptions | None = None,
    labels: dict[int, str] | None = None,
) -> TinyModel:
    """A model by the names of its classes; absent classes fail where they are used."""
    return TinyModel(
        name=name,
        model=lambda names: getattr(tf, model)(getattr(tf, config)(**arguments, **names)),
        processor=lambda: getattr(tf, processor + "Pil")(**processing),
        options=options or TeacherOptions(),
        labels=labels or LABELS,
    )


def _convolutional(stem: str, **more: Any) -> dict[str, Any]:
    return {stem: 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], **more}


def _joint(vision: dict[str, Any]) -> dict[str, Any]:
    text = {**WIDTHS, "vocab_size": 50, "max_position_embeddings": 16}
    return {"vision_config": {**WIDTHS, **vision}, "text_config": text}


def survey() -> list[TinyModel]:
    """Return the models of the survey, in the order of the table."""
    vit = {**WIDTHS, "image_size": 64, "patch_size": 16}
    stretched, cropped = {"size": SQUARE}, {"size": {"shortest_edge": 73}, "crop_size": SQUARE}
    swin = {"image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [1, 2]}
    resnet = _convolutional("embedding_size", layer_type="basic")
    one = {0: "score"}
    sigmoid = TeacherOptions(link="sigmoid")
    perceiver = {
        "num_latents": 4, "d_latents": 16, "num_blocks": 1, "num_self_attends_per_block": 1,
        "num_self_attention_heads": 2, "num_cross_attention_heads": 1, "image_size": 64,
    }  # fmt: skip
    levit = {"image_size": 64, "hidden_sizes": [16] * 3, "num_attention_heads": [1] * 3, "key_dim": [8] * 3,
             "depths": [1] * 3}  # fmt: skip
    pvt_v2 = {"image_size": 64, "hidden_sizes": [8, 16, 16, 16], "depths": [1] * 4, "sr_ratios": [4, 2, 1, 1],
              "num_attention_heads": [1, 1, 2, 2], "mlp_ratios": [2] * 4}  # fmt: skip
    dino = {**vit, "patch_size": 8}
    efficientnet = {"image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.2, "hidden_dim": 320}
    mobilevit = {"image_size": 64, "hidden_sizes": [16] * 3, "neck_hidden_sizes": [8, 8, 8, 8, 16, 16, 32]}
    focalnet = {"image_size": 64, "embed_dim": 8, "depths": [1, 1], "focal_levels": [2, 2],
                "focal_windows": [3, 3], "hidden_sizes": [8, 16]}  # fmt: skip
    mobilenet = {"image_size": 64, "depth_multiplier": 0.25}
    v, c = "ViTImageProcessor", "CLIPImageProcessor"
    return [
        _of("vit", "ViTConfig", "ViTForImageClassification", v, vit, stretched),
        _of("vit, several labels at once", "ViTConfig", "ViTForImageClassification", v,
            {**vit, "problem_type": "multi_label_classification"}, stretched),
        _of("vit, one output", "ViTConfig", "ViTForImageClassification", v, vit, stretched, sigmoid, one),
        _of("vit, one output without a link", "ViTConfig", "ViTForImageClassification", v, vit, stretched,
            None, one),
        _of("vit, regression", "ViTConfig", "ViTForImageClassification", v,
            {**vit, "problem_type": "regression"}, stretched),
        _of("vit, 300 labels", "ViTConfig", "ViTForImageClassification", v, vit, stretched, None,
            {i: f"label {i}" for i in range(300)}),
        _of("vit, 64×32", "ViTConfig", "ViTForImageClassification", v, {**vit, "image_size": [64, 32]},
            {"size": {"height": 64, "width": 32}}),
        _of("vit, crop", "ViTConfig", "ViTForImageClassification", c, vit, cropped),
        _of("vit, no crop", "ViTConfig", "ViTForImageClassification", c, vit,
            {"size": SHORTEST, "do_center_crop": False}),
        _of("vit, box filter", "ViTConfig", "ViTForImageClassification", v, vit,
            {**stretched, "resample": 4}),
        _of("deit", "DeiTConfig", "DeiTForImageClassification", "DeiTImageProcessor", vit,
            {"size": {"height": 73, "width": 73}, "crop_size": SQUARE}),
        _of("deit, with teacher", "DeiTConfig", "DeiTForImageClassificationWithTeacher", "DeiTImageProcessor",
            vit, {"size": {"height": 73, "width": 73}, "crop_size": SQUARE}),
        _of("beit", "BeitConfig", "BeitForImageClassification", "BeitImageProcessor",
            {**vit, "use_relative_position_bias": True}, stretched),
        _of("beit, class token", "BeitConfig", "BeitForImageClassification", "BeitImageProcessor",
            {**vit, "use_mean_pooling": False, "use_absolute_position_embeddings": True}, stretched),
        _of("data2vec-vision", "Data2VecVisionConfig", "Data2VecVisionForImageClassification",
            "BeitImageProcessor", {**vit, "use_shared_relative_position_bias": True}, stretched),
        _of("vit_msn", "ViTMSNConfig", "ViTMSNForImageClassification", v, vit, stretched),
        _of("ijepa", "IJepaConfig", "IJepaForImageClassification", v, vit, stretched),
        _of("dinov2", "Dinov2Config", "Dinov2ForImageClassification", "BitImageProcessor", dino, cropped),
        _of("dinov2, SwiGLU", "Dinov2Config", "Dinov2ForImageClassification", "BitImageProcessor",
            {**dino, "use_swiglu_ffn": True}, cropped),
        _of("dinov2_with_registers", "Dinov2WithRegistersConfig", "Dinov2WithRegistersForImageClassification",
            "BitImageProcessor", {**dino, "num_register_tokens": 3}, cropped),
        _of("clip", "CLIPConfig", "CLIPForImageClassification", c,
            _joint({"image_size": 64, "patch_size": 16}), cropped),
        _of("metaclip_2", "MetaClip2Config", "MetaClip2ForImageClassification", c,
            _joint({"image_size": 64, "patch_size": 16}), cropped),
        _of("siglip", "SiglipConfig", "SiglipForImageClassification", "SiglipImageProcessor",
            _joint({"image_size": 64, "patch_size": 16}), stretched),
        _of("siglip2", "Siglip2Config", "Siglip2ForImageClassification", "Siglip2ImageProcessor",
            _joint({"num_patches": 16, "patch_size": 16}), {"patch_size": 16, "max_num_patches": 16}),
        _of("swin", "SwinConfig", "SwinForImageClassification", v, {**swin, "window_size": 4}, stretched),
        _of("swin, absolute positions", "SwinConfig", "SwinForImageClassification", v,
            {**swin, "window_size": 4, "use_absolute_embeddings": True}, stretched),
        _of("swinv2", "Swinv2Config", "Swinv2ForImageClassification", v, {**swin, "window_size": 4},
            stretched),
        _of("donut-swin", "DonutSwinConfig", "DonutSwinForImageClassification", v,
            {**swin, "window_size": 4}, stretched),
        _of("donut-swin, padded", "DonutSwinConfig", "DonutSwinForImageClassification", "DonutImageProcessor",
            {**swin, "window_size": 4}, {"size": SQUARE}),
        _of("hiera", "HieraConfig", "HieraForImageClassification", "BitImageProcessor",
            {"image_size": [64, 64], "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
            cropped),
        _of("convnext", "ConvNextConfig", "ConvNextForImageClassification", "ConvNextImageProcessor",
            {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4}, {"size": SHORTEST}),
        _of("convnext, no margin from 384 pixels", "ConvNextConfig", "ConvNextForImageClassification",
            "ConvNextImageProcessor", {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4},
            {"size": {"shortest_edge": 384}}),
        _of("convnextv2", "ConvNextV2Config", "ConvNextV2ForImageClassification", "ConvNextImageProcessor",
            {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4}, {"size": SHORTEST}),
        _of("resnet", "ResNetConfig", "ResNetForImageClassification", "ConvNextImageProcessor", resnet,
            {"size": SHORTEST}),
        _of("resnet, bottleneck", "ResNetConfig", "ResNetForImageClassification", "ConvNextImageProcessor",
            {**resnet, "layer_type": "bottleneck"}, {"size": SHORTEST, "crop_pct": 0.95}),
        _of("resnet, nearest neighbour", "ResNetConfig", "ResNetForImageClassification", v, resnet,
            {**stretched, "resample": 0}),
        _of("regnet, x", "RegNetConfig", "RegNetForImageClassification", "ConvNextImageProcessor",
            _convolutional("embedding_size", layer_type="x", groups_width=8), {"size": SHORTEST}),
        _of("regnet, y", "RegNetConfig", "RegNetForImageClassification", "ConvNextImageProcessor",
            _convolutional("embedding_size", layer_type="y", groups_width=8), {"size": SHORTEST}),
        _of("bit", "BitConfig", "BitForImageClassification", "BitImageProcessor",
            _convolutional("embedding_size", num_groups=2), cropped),
        _of("bit, bottleneck", "BitConfig", "BitForImageClassification", "BitImageProcessor",
            _convolutional("embedding_size", num_groups=2, layer_type="bottleneck"), cropped),
        _of("mobilenet_v1", "MobileNetV1Config", "MobileNetV1ForImageClassification",
            "MobileNetV1ImageProcessor", mobilenet, cropped),
        _of("mobilenet_v1, symmetric padding", "MobileNetV1Config", "MobileNetV1ForImageClassification",
            "MobileNetV1ImageProcessor", {**mobilenet, "tf_padding": False}, cropped),
        _of("mobilenet_v2", "MobileNetV2Config", "MobileNetV2ForImageClassification",
            "MobileNetV2ImageProcessor", mobilenet, cropped),
        _of("mobilevit, BGR", "MobileViTConfig", "MobileViTForImageClassification", "MobileViTImageProcessor",
            mobilevit, cropped),
        _of("mobilevit, crop above the resize", "MobileViTConfig", "MobileViTForImageClassification",
            "MobileViTImageProcessor",
            mobilevit,
            {"size": {"shortest_edge": 56}, "crop_size": SQUARE}),
        _of("mobilevitv2", "MobileViTV2Config", "MobileViTV2ForImageClassification",
            "MobileViTImageProcessor",
            {"image_size": 64, "width_multiplier": 0.25}, {**cropped, "do_flip_channel_order": False}),
        _of("efficientnet", "EfficientNetConfig", "EfficientNetForImageClassification",
            "EfficientNetImageProcessor",
            efficientnet, stretched),
        _of("efficientnet, offset", "EfficientNetConfig", "EfficientNetForImageClassification",
            "EfficientNetImageProcessor",
            efficientnet,
            {**stretched, "rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False,
             "include_top": False}),
        _of("levit", "LevitConfig", "LevitForImageClassification", "LevitImageProcessor", levit,
            {"size": SHORTEST, "crop_size": SQUARE}),
        _of("levit, with teacher", "LevitConfig", "LevitForImageClassificationWithTeacher",
            "LevitImageProcessor", levit, {"size": SHORTEST, "crop_size": SQUARE}),
        _of("poolformer", "PoolFormerConfig", "PoolFormerForImageClassification", "PoolFormerImageProcessor",
            _pool(), {"size": SHORTEST, "crop_size": SQUARE}),
        _of("pvt", "PvtConfig", "PvtForImageClassification", "PvtImageProcessor",
            {"image_size": 64, "hidden_sizes": [8, 16, 16, 16], "depths": [1] * 4,
             "num_attention_heads": [1, 1, 2, 2], "num_labels": 3}, stretched),
        _of("pvt_v2", "PvtV2Config", "PvtV2ForImageClassification", "PvtImageProcessor", pvt_v2, stretched),
        _of("pvt_v2, linear attention", "PvtV2Config", "PvtV2ForImageClassification", "PvtImageProcessor",
            {**pvt_v2, "linear_attention": True}, stretched),
        _of("cvt", "CvtConfig", "CvtForImageClassification", "ConvNextImageProcessor",
            {"embed_dim": [8, 16, 16], "num_heads": [1, 1, 2], "depth": [1, 2, 3]}, {"size": SHORTEST}),
        _of("focalnet", "FocalNetConfig", "FocalNetForImageClassification", "BitImageProcessor",
            focalnet, cropped),
        _of("focalnet, norms after blocks", "FocalNetConfig", "FocalNetForImageClassification",
            "BitImageProcessor",
            {**focalnet, "use_post_layernorm": True, "use_layerscale": True, "use_conv_embed": True}, 
            cropped),
        _of("segformer", "SegformerConfig", "SegformerForImageClassification", "SegformerImageProcessor",
            {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "num_attention_heads": [1, 1, 2, 2],
             "decoder_hidden_size": 16}, stretched),
        _of("swiftformer", "SwiftFormerConfig", "SwiftFormerForImageClassification", v,
            {"image_size": 64, "depths": [1, 1, 1, 1], "embed_dims": [8, 8, 16, 16]}, stretched),
        _of("hgnet_v2", "HGNetV2Config", "HGNetV2ForImageClassification", "ConvNextImageProcessor",
            _hgnet(), {"size": SHORTEST}),
        _of("textnet", "TextNetConfig", "TextNetForImageClassification", "TextNetImageProcessor",
            _textnet(), {"size": SHORTEST}),
        _of("textnet, crop", "TextNetConfig", "TextNetForImageClassification", c, _textnet(), cropped),
        _of("pp_lcnet", "PPLCNetConfig", "PPLCNetForImageClassification", v, {"scale": 0.25}, stretched),
        _of("perceiver, learned positions", "PerceiverConfig", "PerceiverForImageClassificationLearned", v,
            {**perceiver, "d_model": 512}, stretched),
        _of("perceiver, Fourier positions", "PerceiverConfig", "PerceiverForImageClassificationFourier", v,
            {**perceiver, "d_model": 261, "image_size": 224}, {}),
        _of("perceiver, convolution", "PerceiverConfig", "PerceiverForImageClassificationConvProcessing", v,
            {**perceiver, "d_model": 322, "image_size": 224}, {}),
        _of("perceiver, crop before the resize", "PerceiverConfig",
            "PerceiverForImageClassificationConvProcessing", "PerceiverImageProcessor",
            {**perceiver, "d_model": 322, "image_size": 224}, {}),
        _of("imagegpt", "ImageGPTConfig", "ImageGPTForImageClassification", "ImageGPTImageProcessor",
            {"n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 9},
            {"clusters": np.eye(3).tolist(), "size": {"height": 8, "width": 8}}),
        _of("dinat", "DinatConfig", "DinatForImageClassification", v,
            {"image_size": 64, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "kernel_size": 3,
             "dilations": [[1], [1]]}, stretched),
    ]  # fmt: skip


def _pool() -> dict[str, Any]:
    return {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}


def _hgnet() -> dict[str, Any]:
    return {
        "stem_channels": [3, 8, 8], "hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1],
        "stage_in_channels": [8, 8, 16, 16], "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [8, 16, 16, 16], "stage_num_blocks": [1] * 4,
        "stage_numb_of_layers": [1] * 4,
    }  # fmt: skip


def _textnet() -> dict[str, Any]:
    stage = [[[3, 3]], [[3, 3]], [[3, 3]], [[3, 3]]]
    return {
        "stem_out_channels": 8, "hidden_sizes": [8, 8, 8, 16, 16], "conv_layer_kernel_sizes": stage,
        "conv_layer_strides": [[2], [2], [2], [2]],
    }  # fmt: skip
