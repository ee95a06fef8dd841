"""Certified solver for L1-penalized linear students with soft targets: arrays in, arrays out.

The whole method is stated here; `docs/solver.md` has derivations, measurements and references.

**Problem.** Rows z_n in R^K (standardized), targets t_n, sample weights s_n normalized to sum 1. With logits
eta = w.z + b, one objective per class for the sigmoid link, one for all classes (W, b) for the softmax link:

    P(w, b) = sum_n s_n L(eta_n; t_n) + h(w),      h(w) = sum_j lam_j |w_j|,    lower <= w <= upper,
    L(eta; t) = log(1 + exp eta) - t eta           sigmoid,  p = 1 / (1 + exp(-eta)),
    L(eta; t) = tau logsumexp(eta) - t.eta         softmax,  p = softmax(eta), tau = sum_c t_c.

The intercepts b are free. lam_j is lam times a multiplier of the user times the ratio of units.

**Layout.** Coefficients are (C, K + 1), for each class its K weights and then its intercept. A *block* is
what is solved independently: one class (sigmoid, B = C blocks of n = K + 1 coefficients), or all classes
(softmax, B = 1, n = C (K + 1), class by class). Arrays over blocks are (B, n).

**Gradient.** g = Z^T s (p - t), the intercept's entry being sum_n s_n (p_n - t_n).

**Hessian model.** G = Z^T Z / N (from at most 2,048 rows, or 2 K), shared by all classes:

    B = a G + ridge I + U diag(sign) U^T           sigmoid,  a = sum_n s_n p_n (1 - p_n),
    B = M (x) G + ridge I + U diag(sign) U^T       softmax,  M = sum_n s_n tau_n (diag p_n - p_n p_n^T).

The low-rank term first gives B the exact Hessian in the subspace of intercept and current weights (per class
two directions), then applies BFGS pairs, at most 16 (sigmoid) or 40 (softmax). Dense classes that converge
slowly get their own matrix in place of a G: exact for the 640 rows of largest p (1 - p), a multiple of G for
the others.

**Iteration** (proximal quasi-Newton), for all blocks that have not converged:

    1. minimize  g.d + d.B d / 2 + h(w + d)  by coordinate descent and conjugate gradients on a working set,
       until the largest violation of optimality is 0.3 (softmax, single classes: 0.1) of the first one;
    2. evaluate objective, gradient, curvatures and duality gap at w + d in one pass over the rows;
    3. accept the step if the objective decreases by 1e-4 of the predicted decrease, else keep w and multiply
       B by 4; append the pair (d, change of g) to B in both cases;
    4. stop a block when  gap <= tol max(P, 0.001).

Cold fits with many rows first iterate on a sample of them. A softmax with few rows begins with Newton steps
(`softmax_newton`), one of very many classes with sweeps over the classes (`softmax_sweeps`). A refit of one
class polishes step 1 by passes over the columns in use. Where float32 does not reach the tolerance, passes
continue in float64. With more than 4,096 columns steps 1 to 4 run on a working set of columns, and a pass
over all of them gives the certificate and the columns that are missing (`wide`).

**Duality gap.** For any p' in [0, 1]^N with sum_n s_n (p'_n - t_n) = 0, with g' = Z^T s (p' - t) and h* the
conjugate of h,

    P(w, b) - min P <= sum_j [h_j(w_j) + g'_j w_j + h*_j(-g'_j)] + KL_s(p' || p).

p' is p moved along p (1 - p) until the intercept's condition holds, then moved towards t until |g'_j| <=
lam_j where a bound is infinite. Weights without penalty need g'_j = 0; p is then moved along diag(p (1 - p))
Z as well.

**Modules.** `datafits` (the losses, one pass over the rows), `penalties` (h), `subproblems` (step 1),
`certificate` (the gap), `problem` (datafit plus penalty), `newton` (the iteration), `design`, `targets` and
`data` (rows, targets, arguments), `kernels` (compiled loops), `api` and `path` (what users call).
"""

from inficond.core.solver.api import NotConverged, fit
from inficond.core.solver.path import lambda_for_nec, lambda_max, path
from inficond.core.solver.result import FitResult
from inficond.core.solver.warmup import warm_up

__all__ = ["FitResult", "NotConverged", "fit", "lambda_for_nec", "lambda_max", "path", "warm_up"]
