"""Products whose sums stay in registers, which Numba's loops cannot be brought to do.

LLVM vectorises the innermost loop. Where that runs over columns, as with residuals times rows, each sum is
read from the cache and written back for every few rows; where it runs over rows, what it reads is not
contiguous. Here the vectors are written out: a few classes by a few vectors of columns are summed over all
rows before anything is written.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

intrinsic: Any = _intrinsic  # what it makes is called without the typing context
BYTES = 32
"""Of a vector."""
CLASSES, VECTORS = 4, 3
"""Of the largest tile: twelve sums and what they are of fit into the sixteen registers of AVX2."""


def tile(classes: int, vectors: int) -> Any:
    """What adds one tile of a product, for kernels to call.

    Parameters
    ----------
    classes, vectors : the tile's size, in rows of the product and in vectors of `BYTES` along them

    Returns
    -------
    callable
        ``add(R, c, n, X, first, k, G, row, column)``: G[row:, column:] += R[c:, :n] X[first : first + n, k:],
        for `classes` rows and as many columns as the vectors hold. All matrices are of the same precision,
        their rows contiguous; the tile must lie inside them.
    """

    @intrinsic
    def add(
        typingctx: Any, R: Any, c: Any, n: Any, X: Any, first: Any, k: Any, G: Any, row: Any, column: Any
    ) -> Any:
        place = types.int64
        signature = types.void(R, place, place, X, place, place, G, place, place)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            residuals, rows, product = (signature.args[i] for i in (0, 3, 6))
            scalar = context.get_value_type(rows.dtype)
            size = rows.dtype.bitwidth // 8
            lanes = BYTES // size
            number, vector = ir.IntType(64), ir.VectorType(scalar, lanes)

            def at(kind: Any, matrix: Any, i: Any, j: Any) -> tuple[Any, Any]:
                """Where an entry of a matrix lies, and how far it is to the same place in the next row."""
                array = context.make_array(kind)(context, builder, matrix)
                stride = cgutils.unpack_tuple(builder, array.strides)[0]
                offset = builder.add(builder.mul(i, stride), builder.mul(j, number(size)))
                return builder.add(builder.ptrtoint(array.data, number), offset), stride

            def load(kind: Any, address: Any) -> Any:
                return builder.load(builder.inttoptr(address, kind.as_pointer()), align=size)

            def spread(value: Any) -> Any:
                none = ir.Constant(vector, ir.Undefined)
                one = builder.insert_element(none, value, ir.IntType(32)(0))
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                return builder.shuffle_vector(one, none, zeros)

            def further(address: Any, stride: Any, steps: int) -> Any:
                return builder.add(address, builder.mul(stride, number(steps)))

            factors, apart = at(residuals, args[0], args[1], number(0))
            start, pitch = at(rows, args[3], args[4], args[5])
            target, below = at(product, args[6], args[7], args[8])
            of_class = [further(factors, apart, a) for a in range(classes)]
            zero = ir.Constant(vector, [0.0] * lanes)

            before = builder.block
            loop, done = builder.append_basic_block("rows"), builder.append_basic_block("summed")
            builder.cbranch(builder.icmp_signed(">", args[2], number(0)), loop, done)
            builder.position_at_end(loop)
            i, x = builder.phi(number), builder.phi(number)
            i.add_incoming(number(0), before)
            x.add_incoming(start, before)
            cells = [(a, v) for a in range(classes) for v in range(vectors)]
            sums = {cell: builder.phi(vector) for cell in cells}
            values = [load(vector, builder.add(x, number(v * BYTES))) for v in range(vectors)]
            along = builder.mul(i, number(size))
            factor = [spread(load(scalar, builder.add(address, along))) for address in of_class]
            added = {}
            for (a, v), total in sums.items():
                term = builder.fmul(factor[a], values[v], flags=("contract",))
                added[a, v] = builder.fadd(total, term, flags=("contract",))
                total.add_incoming(zero, before)
                total.add_incoming(added[a, v], loop)
            following = builder.add(i, number(1))
            i.add_incoming(following, loop)
            x.add_incoming(builder.add(x, pitch), loop)
            builder.cbranch(builder.icmp_signed("<", following, args[2]), loop, done)

            builder.position_at_end(done)
            finals = {}
            for cell in cells:
                finals[cell] = builder.phi(vector)
                finals[cell].add_incoming(zero, before)
                finals[cell].add_incoming(added[cell], loop)
            for (a, v), total in finals.items():
                place = builder.add(further(target, below, a), number(v * BYTES))
                whole = builder.fadd(load(vector, place), total)
                builder.store(whole, builder.inttoptr(place, vector.as_pointer()), align=size)
            return context.get_dummy_value()

        return signature, codegen

    return add
