"""Matrix products whose sums stay in registers.

LLVM vectorizes the innermost loop. If that loop runs over columns, each sum is read and written back every
few rows; if it runs over rows, the reads are not contiguous. The tiles here are built from vector
instructions: a few classes by a few vectors of columns are summed over all rows before anything is written.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

intrinsic: Any = _intrinsic  # intrinsics are called without the typing context
BYTES = 32
"""Size of a vector."""
CLASSES, VECTORS = 4, 3
"""Size of the largest tile: twelve sums and their operands fit into the sixteen registers of AVX2."""


def tile(classes: int, vectors: int) -> Any:
    """Make a function that adds one tile of a product.

    Parameters
    ----------
    classes, vectors : size of the tile, in rows of the product and in vectors of `BYTES` along them

    Returns
    -------
    callable
        ``add(R, c, n, X, first, k, G, row, column)``: G[row:, column:] += R[c:, :n] X[first : first + n, k:],
        for `classes` rows and as many columns as the vectors have entries. All matrices have the same
        precision and contiguous rows, and the tile must lie inside them.
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

            def address_of(kind: Any, matrix: Any, i: Any, j: Any) -> tuple[Any, Any]:
                """Return the address of an entry of a matrix, and the distance to the next row."""
                array = context.make_array(kind)(context, builder, matrix)
                stride = cgutils.unpack_tuple(builder, array.strides)[0]
                offset = builder.add(builder.mul(i, stride), builder.mul(j, number(size)))
                return builder.add(builder.ptrtoint(array.data, number), offset), stride

            def load(kind: Any, address: Any) -> Any:
                return builder.load(builder.inttoptr(address, kind.as_pointer()), align=size)

            def broadcast(value: Any) -> Any:
                none = ir.Constant(vector, ir.Undefined)
                one = builder.insert_element(none, value, ir.IntType(32)(0))
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                return builder.shuffle_vector(one, none, zeros)

            def advance(address: Any, stride: Any, steps: int) -> Any:
                return builder.add(address, builder.mul(stride, number(steps)))

            factors, factor_pitch = address_of(residuals, args[0], args[1], number(0))
            start, row_pitch = address_of(rows, args[3], args[4], args[5])
            target, target_pitch = address_of(product, args[6], args[7], args[8])
            of_class = [advance(factors, factor_pitch, a) for a in range(classes)]
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
            factor = [broadcast(load(scalar, builder.add(address, along))) for address in of_class]
            added = {}
            for (a, v), total in sums.items():
                term = builder.fmul(factor[a], values[v], flags=("contract",))
                added[a, v] = builder.fadd(total, term, flags=("contract",))
                total.add_incoming(zero, before)
                total.add_incoming(added[a, v], loop)
            following = builder.add(i, number(1))
            i.add_incoming(following, loop)
            x.add_incoming(builder.add(x, row_pitch), loop)
            builder.cbranch(builder.icmp_signed("<", following, args[2]), loop, done)

            builder.position_at_end(done)
            finals = {}
            for cell in cells:
                finals[cell] = builder.phi(vector)
                finals[cell].add_incoming(zero, before)
                finals[cell].add_incoming(added[cell], loop)
            for (a, v), total in finals.items():
                place = builder.add(advance(target, target_pitch, a), number(v * BYTES))
                updated = builder.fadd(load(vector, place), total)
                builder.store(updated, builder.inttoptr(place, vector.as_pointer()), align=size)
            return context.get_dummy_value()

        return signature, codegen

    return add
