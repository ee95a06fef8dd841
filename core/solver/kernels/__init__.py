"""Compiled loops of the solver: functions over arrays, without any class of the package."""

import inficond.core.kernel_cache  # noqa: F401  # loads Numba before a kernel does, or says why it cannot
