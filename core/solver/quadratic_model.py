"""State of the quadratic model of the loss: the point, the gradient and the terms of the Hessian model."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import threads
from inficond.core.solver.design import Design
from inficond.core.solver.penalties import take_blocks
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]
Indices = NDArray[np.int64]
ROWS_PER_TASK = 8  # changes of weights multiplied by the Gram matrix together


@dataclass
class QuadraticModel:
    """Gradient and Hessian model of the loss at some weights, in the units of the solver.

    Arrays are over blocks: one class each for sigmoids, all classes together for softmax.

    Attributes
    ----------
    design : the rows, with the Gram matrix that all classes share
    targets : targets and sample weights of the loss
    weights : (B, n) the point
    gradient, loss : (B, n) and (B,) there; NaN where they are unknown
    curvature : (B, width, width) multipliers M of the Gram matrix
    subspace_hessian : (B, 3) or (1, 4 C^2) Hessian in the subspace of intercepts and weights (see
        `Evaluation`)
    S, Y : (B, memory, n) ring buffers: changes of weights and of gradients
    GS : (B, memory, n) the Gram matrix times S
    pairs, newest : (B,) number of pairs, and the position of the newest
    """

    design: Design
    targets: Targets
    weights: Array
    gradient: Array
    loss: Array
    curvature: Array
    subspace_hessian: Array
    S: Array
    Y: Array
    GS: Array
    pairs: NDArray[np.int64]
    newest: NDArray[np.int64]

    @classmethod
    def initial(
        cls, design: Design, targets: Targets, weights: Array, width: int, memory: int, subspace: int
    ) -> "QuadraticModel":
        """Return a model with unknown gradient and without corrections.

        Parameters
        ----------
        design, targets : see the attributes
        weights : (B, n)
        width : classes in a block
        memory : room for pairs
        subspace : entries of the subspace Hessian of a block
        """
        B, n = weights.shape
        pairs = np.zeros((B, memory, n), design.X.dtype)
        return cls(
            design, targets, weights.copy(), np.full((B, n), np.nan), np.full(B, np.nan),
            np.tile(np.eye(width) / 4, (B, 1, 1)),
            np.zeros((B, subspace)), pairs, pairs.copy(), pairs.copy(),
            np.zeros(B, np.int64), np.full(B, -1, np.int64),
        )  # fmt: skip

    def copy(self) -> "QuadraticModel":
        """Return an independent copy that shares design and targets."""
        return self._take(slice(None))

    def select(self, classes: NDArray[np.int64]) -> "QuadraticModel":
        """Return the model of some classes (sigmoids)."""
        return replace(self._take(classes), targets=self.targets.select(classes))

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, without design and targets."""
        return sum(a.nbytes for a in self.arrays)

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All arrays, in the order of the attributes."""
        return (
            self.weights, self.gradient, self.loss, self.curvature, self.subspace_hessian, self.S, self.Y,
            self.GS, self.pairs, self.newest,
        )  # fmt: skip

    def _take(self, blocks: Any) -> "QuadraticModel":
        return QuadraticModel(self.design, self.targets, *(a[blocks].copy() for a in self.arrays))

    def forget_corrections(self, block: int) -> None:
        """Reduce the Hessian model of a block to the Gram matrix."""
        self.pairs[block] = 0
        self.subspace_hessian[block] = 0

    def append_pairs(
        self, blocks: Indices, s: Array, y: Array, gram_step: Array | None, workers: int
    ) -> tuple[Indices, Indices]:
        """Append BFGS pairs.

        Parameters
        ----------
        blocks : ascending
        s, y : (len(blocks), n) changes of weights and of gradients; blocks that did not move are skipped
        gram_step : (B, n) the Gram matrix times s for all blocks, NaN in the first entry where it is unknown;
            None if it is unknown everywhere
        workers : number of threads

        Returns
        -------
        blocks, positions : (m,) where the pairs were written
        """
        memory = self.S.shape[1]
        moved = s.any(axis=1)
        b = blocks[moved]
        at = (self.newest[b] + 1) % memory
        changed = np.flatnonzero(moved)
        s, y = take_blocks(s, changed), take_blocks(y, changed)
        self.S[b, at] = s
        self.Y[b, at] = y
        if gram_step is None:
            missing = np.ones(len(b), bool)
        else:
            self.GS[b, at] = take_blocks(gram_step, b)
            missing = np.isnan(gram_step[b, 0])
        if missing.any():
            self.GS[b[missing], at[missing]] = self._gram_product(s[missing], workers)
        self.newest[b] = at
        self.pairs[b] = np.minimum(self.pairs[b] + 1, memory)
        return b, at

    def _gram_product(self, s: Array, workers: int) -> Array:
        """Return changes of weights (m, n) times the Gram matrix."""
        G = self.design.gram()
        change = s.astype(G.dtype).reshape(-1, len(G))
        GS = np.empty_like(change)

        def multiply(rows: slice) -> None:
            used = np.flatnonzero(change[rows].any(0))
            if 4 * len(used) < len(G):  # few weights changed: only their rows of G are read
                np.matmul(change[rows][:, used], G[used], out=GS[rows])
            else:
                np.matmul(change[rows], G, out=GS[rows])

        threads.run(multiply, threads.slices(len(change), ROWS_PER_TASK), workers)
        return GS.reshape(s.shape)
