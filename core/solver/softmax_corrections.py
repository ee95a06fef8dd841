"""Corrections that give the Hessian model of a softmax its exact curvature in a subspace."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
NEGLIGIBLE = 1e-3  # share of the largest eigenvalue below which a direction is not corrected
UNCHANGED = 0.02  # relative change of a second derivative below which it is not corrected


def softmax_corrections(
    G: Array, M: Array, subspace_hessian: Array, weights: Array
) -> tuple[Array, Array, Array]:
    """Return the corrections of P = M (x) G in the subspace of all intercepts and all weights.

    The generalization of `kernels.model_corrections.subspace_correction` to C classes: D (n, 2 C) has the
    intercept and the weights of each class as columns, H = D^T F D with F the Hessian of the loss, and the
    corrected model is

        P + P D C D^T P,     C = (D^T P D)^+ (H - D^T P D) (D^T P D)^+.

    Parameters
    ----------
    G : (K+1, K+1) Gram matrix
    M : (C, C) its multipliers
    subspace_hessian : (4 C^2,) H, intercepts first; zero where it is unknown
    weights : (C (K+1),) at which H was computed

    Returns
    -------
    mixing : (2 C, r) and
    signs : (r,) the corrections in factored form (see `kernels.softmax_corrections`)
    GW : (C, K+1) G times the weights
    """
    C, K1 = len(M), len(G)
    H = subspace_hessian.reshape(2 * C, 2 * C)
    W = weights.reshape(C, K1)[:, :-1].astype(G.dtype)
    GW = np.zeros((C, K1), G.dtype)
    if not H.any():
        return np.zeros((2 * C, 0), G.dtype), np.zeros(0, G.dtype), GW
    np.matmul(W, G[:-1, :-1], out=GW[:, :-1])
    P = np.zeros((2 * C, 2 * C))
    P[:C, :C] = M
    P[C:, C:] = M * (GW[:, :-1] @ W.T)
    eigenvalues, eigenvectors = np.linalg.eigh(P)
    keep = eigenvalues > NEGLIGIBLE * eigenvalues[-1]
    if not keep.any():
        return np.zeros((2 * C, 0), G.dtype), np.zeros(0, G.dtype), GW
    D = eigenvectors[:, keep] / np.sqrt(eigenvalues[keep])
    change, V = np.linalg.eigh(D.T @ H @ D - np.eye(D.shape[1]))
    keep = np.abs(change) > UNCHANGED
    mixing = ((D @ V[:, keep]) * np.sqrt(np.abs(change[keep]))).astype(G.dtype)
    return np.ascontiguousarray(mixing), np.sign(change[keep]).astype(G.dtype), GW
