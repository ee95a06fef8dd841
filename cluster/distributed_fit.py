"""Fits of rows that exceed the memory of one machine: actors of Ray hold the rows and answer with sums.

The iteration, the certificate and the result are those of `inficond.core.solver.row_blocks.fit_blocks`. An
actor that ends is replaced by one that loads the same rows, and only its last answer is asked for again.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inficond.cluster.connection import connection
from inficond.cluster.row_actor import Answer, RowActor, RowSource
from inficond.core.errors import InputError, first_line
from inficond.core.processors import available_processors
from inficond.core.solver.row_blocks import fit_blocks
from inficond.core.version import __version__

if TYPE_CHECKING:
    from inficond.core.solver import FitResult

MOST_LOSSES = 3
"""Actors that may end with the rows of one block before the fit stops."""
START_SECONDS = 120.0
"""Longest time in which an actor must start."""
STARTS, RESTART_SECONDS = 4, 5.0
"""Attempts to replace an actor, and the time between them."""


class RayBlocks:
    """Blocks of rows in actors; implements `inficond.core.solver.row_blocks.RowBlocks`.

    Parameters
    ----------
    ray : module
        Ray, connected; see `connection`.
    sources : sequence of RowSource
        Rows of each block.
    link : {"sigmoid", "softmax"}
    threads : int
        Processors of each actor.

    Raises
    ------
    InputError
        The cluster has no room for the actors, or they have another version of InFiConD.
    """

    def __init__(self, ray: Any, sources: Sequence[RowSource], link: str, threads: int = 1) -> None:
        self._ray, self._sources, self._link, self._threads = ray, list(sources), link, threads
        self._kind = ray.remote(RowActor)
        there = int(ray.cluster_resources().get("CPU", 0))
        if there < threads * len(self._sources):
            raise InputError(
                f"{len(self._sources)} blocks of {threads} processors each need more than the {there} "
                "processors of the Ray cluster: use fewer blocks or add machines"
            )
        self._losses = [0] * len(self._sources)
        self._actors = [self._started(number, threads) for number in range(len(self._sources))]
        for number in range(len(self._actors)):
            self._check(number)

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]] | tuple[Any, ...]) -> list[Any]:
        """Call a method of every block at the same time; see `RowBlocks`.

        Raises
        ------
        ValueError
            A block refuses; the message begins with its number.
        InputError
            Actors end again and again with the same rows.
        """
        if isinstance(arguments, list):
            given = [self._ray.put(one) for one in arguments]
        else:
            given = [self._ray.put(arguments)] * len(self._actors)
        asked = [actor.call.remote(method, one) for actor, one in zip(self._actors, given, strict=True)]
        return [self._answer(number, one, method, given[number]) for number, one in enumerate(asked)]

    def stop(self) -> None:
        """End all actors."""
        for actor in self._actors:
            self._end(actor)

    def _answer(self, number: int, reference: Any, method: str, given: Any) -> Any:
        """Return the answer of a block; its actor is replaced as often as it ends."""
        while True:
            try:
                answer: Answer = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError:  # a fault of this program: another actor has it too
                raise
            except self._ray.exceptions.RayError as error:
                self._replace(number, error)
                reference = self._actors[number].call.remote(method, given)
                continue
            if answer.refused:
                raise ValueError(f"block {number}: {answer.refused}")
            return answer.value

    def _replace(self, number: int, error: Exception) -> None:
        self._losses[number] += 1
        self._end(self._actors[number])
        if self._losses[number] > MOST_LOSSES:
            raise InputError(
                f"workers end again and again with the rows of block {number} ({first_line(error)}): give "
                "them more memory, or use more blocks"
            ) from error
        for left in reversed(range(STARTS)):
            # The processors of a machine that has ended are gone: the new actor shares those that are left.
            self._actors[number] = self._started(number, processors=0)
            try:
                self._check(number)
                return
            except InputError:
                self._end(self._actors[number])
                if not left:
                    raise
                time.sleep(RESTART_SECONDS)  # Ray notices the end of a machine late, and starts actors there

    def _started(self, number: int, processors: int) -> Any:
        """Return a new actor for a block, for which Ray reserves processors."""
        kind = self._kind.options(
            num_cpus=processors, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        return kind.remote(self._sources[number], self._link, self._threads)

    def _check(self, number: int) -> None:
        """Wait until an actor has started, and compare its version."""
        try:
            version, where = self._ray.get(self._actors[number].version.remote(), timeout=START_SECONDS)
        except self._ray.exceptions.RayError as error:
            raise InputError(
                f"the worker of block {number} does not start ({first_line(error)}): is InFiConD installed, "
                "and are processors free, on the machines of the cluster?"
            ) from error
        if version != __version__:
            raise InputError(
                f"the worker on {where} has InFiConD {version}, this machine {__version__}: install one "
                "version everywhere"
            )

    def _end(self, actor: Any) -> None:
        try:
            self._ray.kill(actor)
        except Exception:  # it has ended, or the cluster is gone
            return


def fit_on_ray(
    sources: Sequence[RowSource],
    lam: float = 2.5e-3,
    link: str = "sigmoid",
    *,
    address: str | None = None,
    threads: int = 1,
    **options: Any,
) -> "FitResult":
    """Fit students to rows that actors of a Ray cluster hold.

    Parameters
    ----------
    sources : sequence of RowSource
        Rows of each block, such as `ArrayRows`; one actor for each.
    lam, link : float, {"sigmoid", "softmax"}
        As for `inficond.core.solver.fit`.
    address : str, optional
        ``HOST:PORT`` or ``auto`` of a running cluster; by default Ray is started on this machine.
    threads : int
        Processors of each actor.
    **options
        Further options of `inficond.core.solver.row_blocks.fit_blocks`.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        Ray or the cluster cannot be used.
    ValueError
        The rows or an option are invalid.
    """
    if not sources:
        raise ValueError("the list of row blocks is empty: give at least one block")
    processors = max(available_processors(), threads * len(sources))
    with connection(address, processors) as ray:
        blocks = RayBlocks(ray, sources, link, threads)
        try:
            return fit_blocks(blocks, lam, link, **options)
        finally:
            blocks.stop()
