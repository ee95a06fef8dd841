"""Child process that decodes pictures within a memory limit; started by `picture_process`.

The first message states the preprocessing, or none, and the limit. Each further message is one picture.
"""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.images import UnreadableImage, open_picture
from inficond.core.models.child_process import limit_memory, parent_channel
from inficond.core.models.manifest import read_image_input
from inficond.core.models.preprocess import Preprocess


def decode(
    preprocess: Preprocess | None, body: np.ndarray, at_least: int | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the message with the pixels of a picture, or with the reason why there are none."""
    try:
        if preprocess is not None:
            picture = open_picture(io.BytesIO(body.tobytes()), preprocess.at_least)
            return {}, {"pixels": preprocess(picture.image)}
        image = open_picture(io.BytesIO(body.tobytes()), at_least).image
        factor = min(image.size) // at_least if at_least else 1
        return {}, {"pixels": np.asarray(image.reduce(factor) if factor > 1 else image)}
    except UnreadableImage as error:
        return {"error": error.reason}, {}
    except MemoryError:
        return {"error": "needs too much memory"}, {}


def main() -> None:
    """Answer until the parent closes the channel."""
    channel = parent_channel()
    request, _ = channel.receive()
    image = request["image"]
    preprocess = None if image is None else Preprocess(read_image_input(Path("the student"), image))
    limit_memory(request["memory"])
    channel.send({"ready": True})
    while True:
        try:
            header, arrays = channel.receive()
        except EOFError:
            os._exit(0)
        channel.send(*decode(preprocess, arrays["body"], header.get("at_least")))


if __name__ == "__main__":
    main()
