"""Adam of torch as a reference in the solver's benchmark."""

from __future__ import annotations

import numpy as np
import torch

from inficond.core.bench.solver_data import Instance
from inficond.core.bench.solver_peers import Array, standardized


def adam(instance: Instance, X: Array, T: Array, tol: float) -> tuple[Array, Array]:
    """Fit with Adam on batches of 256, the penalty in the loss as in the paper; `tol` is 1 / epochs."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    Z = torch.from_numpy(np.ascontiguousarray(standardized(X, "C")))
    Y = torch.from_numpy(T)
    layer = torch.nn.Linear(instance.K, instance.C)
    torch.nn.init.zeros_(layer.weight)
    epochs = round(1 / tol)
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-2)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(Z)).split(256):
            E = layer(Z[rows])
            if instance.link == "softmax":
                loss = torch.nn.functional.cross_entropy(E, Y[rows])
            else:
                loss = (
                    torch.nn.functional.binary_cross_entropy_with_logits(E, Y[rows], reduction="none")
                    .mean(0)
                    .sum()
                )
            loss = loss + instance.lam * layer.weight.abs().sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        decay.step()
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()
