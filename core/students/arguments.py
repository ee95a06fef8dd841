"""Conversion of the arrays that users pass to students."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.core.real_arrays import real_array

Float32 = NDArray[np.float32]


def float32_array(name: str, value: Any) -> Float32:
    """Convert numbers, frames and tensors to an array of float32; NaN and infinity are kept.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    value : array-like

    Raises
    ------
    InputError
        The value is not an array of real numbers: sparse, masked, text.
    """
    try:
        array = real_array(name, value)
    except ValueError as error:
        raise InputError(str(error)) from None
    with np.errstate(over="ignore"):  # becomes infinite, which `check_finite` reports
        return np.asarray(array, np.float32)


def check_finite(name: str, array: NDArray[Any]) -> None:
    """Refuse an array with entries that are NaN, infinite, or beyond float32.

    Raises
    ------
    InputError
        The message names the first such entry.
    """
    bad = ~np.isfinite(array)
    if bad.any():
        place = ", ".join(map(str, np.argwhere(bad)[0].tolist()))
        raise InputError(f"{name} must be finite numbers of float32: {name}[{place}] is {array[bad][0]}")
