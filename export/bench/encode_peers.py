"""Benchmark of an exported image encoder against torch and open_clip with the same weights.

Exported graphs: float32 with fused attention, float32 in standard operators, int8; each returns the image
embedding and regions. torch: eager, SDPA, compiled, and half precision on an accelerator; each returns the
image embedding only. open_clip runs its own copy of the architecture where it is installed. Rounds
alternate and medians are compared. One matrix product alone in float32 and in 8 bits (`products`) shows the
largest possible gain of 8 bits.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "exported graphs against torch (eager, SDPA, compiled) and open_clip, same weights"

Call = Callable[[np.ndarray], object]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's arguments."""
    add = parser.add_argument
    add("--model", metavar="MODEL", help="Hugging Face id or folder (default: ViT-B/16 with random weights)")
    add("--images", type=Path, metavar="FOLDER", help="photographs for int8's calibration (default: no int8)")
    add("--batch", type=int, default=8, metavar="N", help="images per call (default 8)")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads (default 1)")
    add("--rounds", type=int, default=5, metavar="N", help="rounds (default 5)")
    add("--compile", action="store_true", help="torch.compile too (needs a C++ compiler, takes minutes)")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Run the benchmark and print the results."""
    if args.batch < 1 or args.rounds < 1 or args.threads < 1:
        raise InputError("--batch, --rounds and --threads must be at least 1")
    try:
        import torch
        import transformers
    except ImportError as error:
        raise InputError(f"comparing needs {error.name}: pip install 'inficond[export]'") from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(args, Path(scratch))
    out.say(f"{result['model']}, batch {args.batch}, {args.threads} threads, medians of {args.rounds} rounds")
    for name, speed in sorted(result["images_per_second"].items(), key=lambda item: -item[1]):
        out.say(f"  {name:44} {speed:8.2f} images/s")
    for name, ratio in result["ratios"].items():
        out.say(f"  {name:44} {ratio:8.2f} ×")
    out.say("One matrix product of such a model, billions of operations per second:")
    for name, speed in result["products"].items():
        out.say(f"  {name:44} {speed:8.1f}  {speed / result['products']['float32']:5.2f} ×")
    for name, reason in result["absent"].items():
        out.say(f"  {name}: not measured, {reason}")
    out.result(result)
    return 0


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Run all rounds and return the figures."""
    from inficond.export.bench.products import measure_products
    from inficond.export.source import find_source

    source = find_source(args.model or str(random_vit_b16(scratch / "model")))
    calls, absent, size = exported_calls(args, source, scratch)
    others, more = torch_calls(args, source, size)
    calls |= others
    absent |= more
    pixels = np.random.default_rng(0).integers(0, 256, (args.batch, *size, 3), dtype=np.uint8)
    speeds: dict[str, list[float]] = {name: [] for name in calls}
    clock = clock_of(args.threads)
    for turn in range(args.rounds + 1):
        for name, call in calls.items():
            start = clock()
            call(pixels)
            if turn:
                speeds[name].append(len(pixels) / (clock() - start))
    return {
        "model": source.name,
        "batch": args.batch,
        "threads": args.threads,
        "images_per_second": {name: statistics.median(v) for name, v in speeds.items()},
        "ratios": ratios(speeds),
        "products": measure_products(args.threads, 3 * args.rounds, clock),
        "absent": absent,
    }


def clock_of(threads: int) -> Callable[[], float]:
    """Return a clock: processor time for one thread, which other programs disturb less."""
    import torch

    return time.process_time if threads == 1 and not torch.cuda.is_available() else time.perf_counter


def ratios(speeds: dict[str, list[float]]) -> dict[str, float]:
    """Return the median ratio over rounds of the pairs in the README."""
    pairs = [
        ("ours, float32", "torch eager"),
        ("ours, float32", "torch SDPA"),
        ("ours, float32", "ours, float32, standard operators"),
        ("ours, int8", "ours, float32"),
        ("ours, int8", "ours, float32, standard operators"),
        ("ours, int8", "torch eager"),
    ]
    return {
        f"{a} / {b}": statistics.median(x / y for x, y in zip(speeds[a], speeds[b]))
        for a, b in pairs
        if a in speeds and b in speeds
    }


def random_vit_b16(folder: Path) -> Path:
    """Save a CLIP ViT-B/16 of full size with random weights."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        vision_config={
            "patch_size": 16, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
            "num_attention_heads": 12, "image_size": 224,
        },
        text_config={
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
            "vocab_size": 64, "eos_token_id": 1, "bos_token_id": 2, "pad_token_id": 0,
        },
    )  # fmt: skip
    model = transformers.CLIPModel(config)
    generator = torch.Generator().manual_seed(0)
    for name, p in model.named_parameters():
        if p.ndim > 1 and "embed" not in name:  # fresh weights make each block nearly the identity
            p.data = torch.randn(p.shape, generator=generator) * p[0].numel() ** -0.5
    model.save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[END]": 1, "a": 2, "[UNK]": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", eos_token="[END]", unk_token="[UNK]", model_max_length=77
    ).save_pretrained(folder)
    return folder


def exported_calls(
    args: argparse.Namespace, source: Any, scratch: Path
) -> tuple[dict[str, Call], dict[str, str], tuple[int, int]]:
    """Return calls of the exported graphs, what is absent with the reason, and the input size."""
    from inficond.core.models.encoder import load_encoder
    from inficond.export.encoder import EncoderOptions, export_encoder

    variants = {
        "ours, float32": EncoderOptions(),
        "ours, float32, standard operators": EncoderOptions(fused=False),
    }
    absent: dict[str, str] = {}
    if args.images is None:
        absent["ours, int8"] = "--images gives no photographs to calibrate on"
    else:
        variants["ours, int8"] = EncoderOptions(precision="int8", images=args.images)
    calls: dict[str, Call] = {}
    size = (0, 0)
    for i, (name, options) in enumerate(variants.items()):
        (folder,) = export_encoder(str(source.folder), scratch / f"variant{i}", options)
        encoder = load_encoder(folder, "auto", threads=args.threads)
        size = encoder.size
        calls[name] = lambda x, session=encoder.session: session.run({"pixels": x}, ("image", "regions"))  # type: ignore[misc]
    return calls, absent, size


def torch_calls(
    args: argparse.Namespace, source: Any, size: tuple[int, int]
) -> tuple[dict[str, Call], dict[str, str]]:
    """Return calls of torch and open_clip, and what is absent with the reason."""
    import torch
    from transformers import AutoModel

    from inficond.export.source import load_model

    device = "cuda" if torch.cuda.is_available() else "cpu"
    calls: dict[str, Call] = {}
    absent: dict[str, str] = {}

    def call_of(model: Any, dtype: Any) -> Call:
        def call(pixels: np.ndarray) -> object:
            x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).to(dtype) / 127.5 - 1
            with torch.inference_mode():
                return model.get_image_features(pixel_values=x).pooler_output.cpu()

        return call

    native = load_model(source, AutoModel, attn_implementation="eager").to(device)
    if not hasattr(native, "visual_projection") or not hasattr(
        native.vision_model.embeddings, "class_embedding"
    ):
        raise InputError(f"{source.name}: only models that take plain pixels, such as CLIP, can be compared")
    calls["torch eager"] = call_of(native, torch.float32)
    sdpa = load_model(source, AutoModel, attn_implementation="sdpa").to(device)
    calls["torch SDPA"] = call_of(sdpa, torch.float32)
    if device == "cuda":
        half = load_model(source, AutoModel, attn_implementation="sdpa").to(device).half()
        calls["torch SDPA, half precision"] = call_of(half, torch.float16)
    else:
        absent["torch SDPA, half precision"] = "there is no accelerator"
    if args.compile:
        compiled = load_model(source, AutoModel, attn_implementation="sdpa").to(device)
        compiled.vision_model.forward = torch.compile(compiled.vision_model.forward)
        try:
            call_of(compiled, torch.float32)(np.zeros((args.batch, *size, 3), np.uint8))
            calls["torch compiled"] = call_of(compiled, torch.float32)
        except Exception as error:  # the compiler fails in many ways
            absent["torch compiled"] = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    else:
        absent["torch compiled"] = "--compile was not given"
    _peers(args, device, calls, absent)
    return calls, absent


def _peers(args: argparse.Namespace, device: str, calls: dict[str, Call], absent: dict[str, str]) -> None:
    """Add open_clip's ViT-B-16 with random weights, which needs the same work."""
    import torch

    if args.model is not None:
        absent["open_clip"] = "only the default ViT-B/16 is compared"
        return
    try:
        import open_clip  # pyright: ignore[reportMissingImports]
    except ImportError:
        absent["open_clip"] = "it is not installed"
        return
    model = open_clip.create_model("ViT-B-16", pretrained=None).eval().to(device)

    def call(pixels: np.ndarray) -> object:
        x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            return model.encode_image(x).cpu()

    calls["open_clip"] = call
