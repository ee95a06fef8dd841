"""Decoding of pictures of many clients in a few child processes."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np

from inficond.core.models.hardware import available_cores
from inficond.core.models.manifest import ImageInput
from inficond.core.models.scheduler import Busy
from inficond.core.serving.picture_process import SECONDS, PictureProcess

PATIENCE = 5.0
"""Seconds that a picture waits for a worker."""


class DecodingPool:
    """Decodes pictures, as many at a time as there are workers. Belongs to one event loop.

    Parameters
    ----------
    image : ImageInput
        Preprocessing of the model.
    workers : int, optional
        At least two, so that a slow picture does not stop all others; the number of cores, at most four, by
        default.
    seconds : float
        Time to decode one picture.
    """

    def __init__(self, image: ImageInput, workers: int | None = None, seconds: float = SECONDS) -> None:
        count = workers or min(4, max(2, available_cores()))
        self._image, self._seconds = image, seconds
        self._free = asyncio.Semaphore(count)
        self._idle: SimpleQueue[PictureProcess] = SimpleQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decode")
        for _ in range(count):
            self._idle.put(PictureProcess(image))

    async def decode(self, picture: bytes, patience: float = PATIENCE) -> np.ndarray:
        """Decode and preprocess a picture.

        Parameters
        ----------
        picture : bytes
            The file.
        patience : float
            Seconds to wait for a worker.

        Returns
        -------
        (H, W, 3) uint8

        Raises
        ------
        UnreadableImage
            The picture cannot be decoded within the limits.
        Busy
            No worker became free in time.
        """
        try:
            await asyncio.wait_for(self._free.acquire(), patience)
        except TimeoutError:
            raise Busy("too many pictures are being decoded: try again in a moment") from None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._decode, picture)
        finally:
            self._free.release()

    def close(self) -> None:
        """End the workers."""
        while not self._idle.empty():
            self._idle.get().stop()
        self._threads.shutdown(wait=False)

    def _decode(self, picture: bytes) -> np.ndarray:
        worker = self._idle.get()
        try:
            return worker.decode(picture, self._seconds)
        finally:
            self._idle.put(worker if worker.alive else PictureProcess(self._image))
