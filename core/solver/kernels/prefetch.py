"""Prefetch instruction for kernels."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

intrinsic: Any = _intrinsic  # intrinsics are called without the typing context
LINE = 64
"""Bytes per cache line."""


@intrinsic
def prefetch(typingctx: Any, X: Any, i: Any, k: Any) -> Any:
    """Prefetch the cache line of X[i, k], which must lie inside the matrix; results do not change."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        matrix = context.make_array(signature.args[0])(context, builder, args[0])
        shape = cgutils.unpack_tuple(builder, matrix.shape)
        strides = cgutils.unpack_tuple(builder, matrix.strides)
        place = cgutils.get_item_pointer2(
            context, builder, matrix.data, shape, strides, signature.args[0].layout, args[1:]
        )
        line, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch", (line,), ir.FunctionType(ir.VoidType(), [line, number, number, number])
        )
        # Read access (0), into the L2 cache (locality 2 of 3), data rather than instructions (1).
        builder.call(hint, [builder.bitcast(place, line), number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(X, types.intp, types.intp), codegen
