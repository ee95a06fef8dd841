"""Decoding of untrusted pictures in a few child processes, each with limits of memory and time.

A picture of a few kilobytes can have many million pixels, and some formats take minutes to decode. A thread
cannot be stopped; a process can.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from queue import SimpleQueue

import numpy as np

from inficond.core.errors import InputError
from inficond.core.images import UnreadableImage
from inficond.core.models.child_process import ChildProcess
from inficond.core.models.hardware import available_cores
from inficond.core.models.manifest import ImageInput
from inficond.core.models.scheduler import Busy

WORKER = "inficond.core.serving.decode_worker"
SECONDS = 10.0
"""Time to decode one picture."""
MEMORY = 768 << 20
"""Bytes that a worker may allocate: a picture of 64 million pixels takes 192 MB, and resizing it less."""
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
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decode")
        for _ in range(count):
            self._idle.put(_Worker(image))

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
            self._idle.put(worker if worker.alive else _Worker(self._image))


class _Worker:
    """A decoding process."""

    def __init__(self, image: ImageInput) -> None:
        self._process = ChildProcess(WORKER)
        self._process.channel.send({"image": asdict(image), "memory": MEMORY})
        self._ready = False
        self.alive = True

    def decode(self, picture: bytes, seconds: float) -> np.ndarray:
        """Decode a picture; the worker must not be used again once `alive` is false."""
        channel = self._process.channel
        try:
            if not self._ready:  # loading Python is not part of the time for the picture
                channel.receive()
                self._ready = True
            with self._process.deadline(seconds) as expired:
                channel.send({}, {"body": np.frombuffer(picture, np.uint8)})
                header, arrays = channel.receive()
        except (OSError, EOFError):
            self.stop()
            if self._ready and expired.is_set():
                raise UnreadableImage(f"takes more than {seconds:g} s to decode") from None
            if self._ready:
                raise UnreadableImage("needs too much memory") from None
            raise InputError("the process that decodes pictures cannot be started") from None
        if "error" in header:
            raise UnreadableImage(str(header["error"]))
        return arrays["pixels"]

    def stop(self) -> None:
        """End the process."""
        self.alive = False
        self._process.stop()
