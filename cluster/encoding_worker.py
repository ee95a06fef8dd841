"""The part of an engine that runs in a worker; it does not depend on the cluster's software."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from inficond.core.errors import InputError, one_line
from inficond.core.pipeline.engines import ShardWorker, WorkerSettings
from inficond.core.pipeline.shards import SourceFile
from inficond.core.version import __version__


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Answer of a worker.

    Parameters
    ----------
    where : str
        Machine and process.
    refused : str
        Why the worker or the images cannot be used; empty where all is well.
    failed : str
        Why this attempt failed; another worker may succeed.
    """

    where: str
    refused: str = ""
    failed: str = ""


class EncodingWorker:
    """One process that encodes shards with models of its own."""

    def __init__(self) -> None:
        self._where = f"{socket.gethostname()}, process {os.getpid()}"
        self._worker: ShardWorker | None = None

    def version(self) -> str:
        """Return the version of InFiConD in this process."""
        return __version__

    def open(self, settings: WorkerSettings) -> Reply:
        """Open the models."""
        try:
            self._worker = ShardWorker(settings)
        except InputError as error:
            return Reply(where=self._where, refused=str(error))
        return Reply(where=self._where)

    def encode(self, sources: Sequence[SourceFile]) -> Reply:
        """Make one shard and write it to the store."""
        assert self._worker is not None
        try:
            self._worker.encode(sources)
        except InputError as error:
            return Reply(where=self._where, refused=str(error))
        except Exception as error:  # also of file systems and runtimes: another worker may succeed
            return Reply(where=self._where, failed=f"{type(error).__name__}: {one_line(error, 300)}")
        return Reply(where=self._where)
