"""Vectorizable exp, log1p and log; those of Numba call the scalar C library and are slower."""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _intrinsic
from numba.extending import overload

from inficond.core.solver.kernels.compilation import FASTMATH

intrinsic: Any = _intrinsic  # intrinsics are called without the typing context
LOG2E = 1.4426950408889634
LN2_HIGH = 0.693145751953125
LN2_LOW = 1.4286068203094172e-06


@intrinsic
def _power_of_two32(typingctx: Any, n: Any) -> Any:
    """Return 2**n as float32 from its exponent bits (-126 <= n <= 127)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i32 = ir.IntType(32)
        bits = builder.shl(builder.add(args[0], i32(127)), i32(23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.int32), codegen


@intrinsic
def _power_of_two64(typingctx: Any, n: Any) -> Any:
    """Return 2**n as float64 from its exponent bits (-1022 <= n <= 1023)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        bits = builder.shl(builder.add(builder.sext(args[0], i64), i64(1023)), i64(52))
        return builder.bitcast(bits, ir.DoubleType())

    return types.float64(types.int32), codegen


def exp_negative(x: float) -> float:
    """Return exp(x) for x <= 0; results below about 1e-38 (1e-308 in float64) are replaced by that value."""
    raise NotImplementedError


@overload(exp_negative, jit_options={"fastmath": FASTMATH})
def _exp_negative(x: Any) -> Any:
    # Cody and Waite: x = n ln2 + r with |r| <= ln2 / 2, then a Taylor polynomial of r. The int32 conversion
    # truncates, which for x <= 0 rounds y - 0.5 to the nearest integer.
    if x == types.float32:

        def single(x: Any) -> Any:
            f = numba.float32
            x = max(x, f(-87.0))
            n = numba.int32(x * f(LOG2E) - f(0.5))
            r = (x - f(n) * f(LN2_HIGH)) - f(n) * f(LN2_LOW)
            p = f(1 / 5040)
            p = p * r + f(1 / 720)
            p = p * r + f(1 / 120)
            p = p * r + f(1 / 24)
            p = p * r + f(1 / 6)
            p = p * r + f(0.5)
            p = p * r + f(1.0)
            p = p * r + f(1.0)
            return p * _power_of_two32(n)

        return single

    def double(x: Any) -> Any:
        x = max(x, -708.0)
        n = numba.int32(x * LOG2E - 0.5)
        r = (x - n * LN2_HIGH) - n * LN2_LOW
        p = 1 / 6227020800
        p = p * r + 1 / 479001600
        p = p * r + 1 / 39916800
        p = p * r + 1 / 3628800
        p = p * r + 1 / 362880
        p = p * r + 1 / 40320
        p = p * r + 1 / 5040
        p = p * r + 1 / 720
        p = p * r + 1 / 120
        p = p * r + 1 / 24
        p = p * r + 1 / 6
        p = p * r + 0.5
        p = p * r + 1.0
        p = p * r + 1.0
        return p * _power_of_two64(n)

    return double


def log1p_unit(e: float) -> float:
    """Return log(1 + e) for -1/2 <= e <= 1."""
    raise NotImplementedError


@overload(log1p_unit, jit_options={"fastmath": FASTMATH})
def _log1p_unit(e: Any) -> Any:
    # log(1 + e) = 2 atanh(e / (2 + e)); the argument is within 1/3 of 0, so a short odd series suffices.
    if e == types.float32:

        def single(e: Any) -> Any:
            f = numba.float32
            s = e / (f(2.0) + e)
            q = s * s
            p = f(2 / 15)
            p = p * q + f(2 / 13)
            p = p * q + f(2 / 11)
            p = p * q + f(2 / 9)
            p = p * q + f(2 / 7)
            p = p * q + f(2 / 5)
            p = p * q + f(2 / 3)
            p = p * q + f(2.0)
            return p * s

        return single

    def double(e: Any) -> Any:
        s = e / (2.0 + e)
        q = s * s
        p = 2 / 33
        p = p * q + 2 / 31
        p = p * q + 2 / 29
        p = p * q + 2 / 27
        p = p * q + 2 / 25
        p = p * q + 2 / 23
        p = p * q + 2 / 21
        p = p * q + 2 / 19
        p = p * q + 2 / 17
        p = p * q + 2 / 15
        p = p * q + 2 / 13
        p = p * q + 2 / 11
        p = p * q + 2 / 9
        p = p * q + 2 / 7
        p = p * q + 2 / 5
        p = p * q + 2 / 3
        p = p * q + 2.0
        return p * s

    return double


@intrinsic
def _bits32(typingctx: Any, x: Any) -> Any:
    """Return the bits of a float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@intrinsic
def _float32(typingctx: Any, n: Any) -> Any:
    """Return the float32 with the given bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


def log_positive(x: float) -> float:
    """Return log(x) for normal x > 0; float64 uses the C library."""
    raise NotImplementedError


@overload(log_positive, jit_options={"fastmath": FASTMATH})
def _log_positive(x: Any) -> Any:
    if x == types.float32:

        def single(x: Any) -> Any:
            f = numba.float32
            bits = _bits32(x)
            # x = m 2**e with m in [2/3, 4/3): log m = 2 atanh((m - 1) / (m + 1)) needs few terms.
            e = (bits - numba.int32(0x3F2AAAAB)) >> numba.int32(23)
            m = _float32(numba.int32(bits - (e << numba.int32(23))))
            s = (m - f(1.0)) / (m + f(1.0))
            q = s * s
            p = f(2 / 11)
            p = p * q + f(2 / 9)
            p = p * q + f(2 / 7)
            p = p * q + f(2 / 5)
            p = p * q + f(2 / 3)
            p = p * q + f(2.0)
            return p * s + f(e) * f(0.6931471805599453)

        return single

    def double(x: Any) -> Any:
        return np.log(x)

    return double
