"""Child processes that decode untrusted pictures, each with limits of memory and time.

A picture of a few kilobytes can have many million pixels, and some formats take minutes to decode. A thread
cannot be stopped; a process can.
"""

import threading
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from inficond.core.errors import InputError
from inficond.core.file_access import read_regular
from inficond.core.images import UnreadableImage
from inficond.core.models.child_process import ChildProcess
from inficond.core.models.manifest import ImageInput

WORKER = "inficond.core.serving.decode_worker"
SECONDS = 10.0
"""Time to decode one picture."""
MEMORY = 768 << 20
"""Bytes that a process may allocate: a picture of 64 million pixels takes 192 MB, and resizing it less."""
MAX_FILE = 512 << 20
"""Bytes of one file."""
PROCESSES = 2


class PictureProcess:
    """A process that decodes pictures.

    Parameters
    ----------
    image : ImageInput, optional
        Preprocessing that is applied to the pictures; none by default.
    """

    def __init__(self, image: ImageInput | None = None) -> None:
        self._process = ChildProcess(WORKER)
        self._process.channel.send({"image": asdict(image) if image else None, "memory": MEMORY})
        self._ready = False
        self.alive = True

    def decode(self, picture: bytes, seconds: float, at_least: int | None = None) -> np.ndarray:
        """Decode a picture; the process must not be used again once `alive` is false.

        Parameters
        ----------
        picture : bytes
            The file.
        seconds : float
            Time to decode it.
        at_least : int, optional
            Shorter side to which a picture may be reduced; without preprocessing only.

        Returns
        -------
        (H, W, 3) uint8

        Raises
        ------
        UnreadableImage
            The picture cannot be decoded within the limits.
        InputError
            The process does not start.
        """
        channel = self._process.channel
        try:
            if not self._ready:  # loading Python is not part of the time for the picture
                channel.receive()
                self._ready = True
            with self._process.deadline(seconds) as expired:
                channel.send({"at_least": at_least}, {"body": np.frombuffer(picture, np.uint8)})
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


class PictureDecoder:
    """Decodes pictures in processes that start when they are needed. Thread-safe.

    Parameters
    ----------
    processes : int
        Pictures that are decoded at the same time.
    seconds : float
        Time to decode one picture.
    """

    def __init__(self, processes: int = PROCESSES, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._free = threading.Semaphore(processes)
        self._idle: SimpleQueue[PictureProcess] = SimpleQueue()
        self._closed = False

    def decode(self, path: Path, at_least: int | None = None) -> np.ndarray:
        """Decode an image file.

        Parameters
        ----------
        path : Path
        at_least : int, optional
            Shorter side to which the picture may be reduced.

        Returns
        -------
        (H, W, 3) uint8
            As `inficond.core.images.decode` returns.

        Raises
        ------
        UnreadableImage
            The file cannot be read or decoded within the limits.
        InputError
            The process does not start.
        """
        try:
            content = read_regular(path, limit=MAX_FILE)
        except OSError as error:
            raise UnreadableImage(f"cannot be read: {error.strerror or error}") from error
        except InputError as error:
            raise UnreadableImage(str(error)) from None
        if not content:
            raise UnreadableImage("empty file (0 bytes)")
        with self._free:
            process = PictureProcess() if self._idle.empty() else self._idle.get()
            try:
                return process.decode(content, self._seconds, at_least)
            finally:
                if process.alive and not self._closed:
                    self._idle.put(process)
                else:
                    process.stop()

    def close(self) -> None:
        """End the processes."""
        self._closed = True
        while not self._idle.empty():
            self._idle.get().stop()
