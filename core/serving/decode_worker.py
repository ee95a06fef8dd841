"""Child process that decodes pictures within a memory limit; started by `decoding`.

The first message states the preprocessing and the limit. Each further message is one picture.
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


def decode(preprocess: Preprocess, body: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the message with the pixels of a picture, or with the reason why there are none."""
    try:
        picture = open_picture(io.BytesIO(body.tobytes()), preprocess.at_least)
        return {}, {"pixels": preprocess(picture.image)}
    except UnreadableImage as error:
        return {"error": error.reason}, {}
    except MemoryError:
        return {"error": "needs too much memory"}, {}


def main() -> None:
    """Answer until the parent closes the channel."""
    channel = parent_channel()
    request, _ = channel.receive()
    preprocess = Preprocess(read_image_input(Path("the student"), request["image"]))
    limit_memory(request["memory"])
    channel.send({"ready": True})
    while True:
        try:
            _, arrays = channel.receive()
        except EOFError:
            os._exit(0)
        channel.send(*decode(preprocess, arrays["body"]))


if __name__ == "__main__":
    main()
