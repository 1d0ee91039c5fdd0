"""Steps of many environments by several threads that take the next one without Python.

A thread that asks Python for its next environment waits for whoever runs Python at that moment,
often longer than the asking takes. Here it takes one from a counter in memory, and calls the code
of `step` by its address, so that the event loop is not compiled once more.
"""

# Numba's extension interface has no types.
# mypy: disable-error-code="no-untyped-call, misc"

from __future__ import annotations

import functools
from typing import Any, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numpy.typing import NDArray

from sageserve_env.kernels.buffers import Buffers
from sageserve_env.kernels.decoder import Decoder
from sageserve_env.kernels.scaling import Scaling
from sageserve_env.kernels.step import step
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.state import State
from sageserve_env.simulator.survey import Raw

RUNNING = -2  # status of an environment that no thread has finished
NOBODY = -1
_numba: Any = numba
_HANDLES = tuple(handle._numba_type_ for handle in (State, Buffers, Decoder, Raw, Scaling))
HANDLES = len(_HANDLES)


@functools.cache
def address_of_step() -> int:
    """Return where the compiled code of `step` lies; 0 in plain Python."""
    if _numba.config.DISABLE_JIT:
        return 0
    kernel = cast(Any, step)
    arguments = (*_HANDLES, types.int64, types.float64)
    kernel.compile(arguments)
    compiled = kernel.overloads[arguments]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


@numba.extending.intrinsic
def _step_at(
    typing: Any, address: Any, handles: Any, i: Any, form: Any, until_s: Any
) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, table, row, how, end = arguments
        array = context.make_array(signature.args[1])(context, builder, table)
        shape = cgutils.unpack_tuple(builder, array.shape, 2)
        strides = cgutils.unpack_tuple(builder, array.strides, 2)
        given = []
        for column in range(HANDLES):
            index = [row, context.get_constant(types.intp, column)]
            word = cgutils.get_item_pointer2(
                context, builder, array.data, shape, strides, signature.args[1].layout, index
            )
            given.append(builder.inttoptr(builder.load(word), ir.IntType(8).as_pointer()))
        kinds = (*_HANDLES, types.int64, types.float64)
        kind = context.call_conv.get_function_type(types.int64, kinds)
        code = builder.inttoptr(place, kind.as_pointer())
        _, result = context.call_conv.call_function(
            builder, code, types.int64, kinds, [*given, how, end]
        )
        return result

    if not isinstance(handles, types.Array):
        return None, None
    return types.int64(address, handles, types.int64, types.int64, types.float64), generate


@numba.extending.intrinsic
def _take_next(typing: Any, taken: Any) -> tuple[Any, Any]:
    """Return how many were taken before, and count one more; no two threads get the same."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        one = context.get_constant(types.int64, 1)
        return builder.atomic_rmw("add", array.data, one, "seq_cst")

    return types.int64(taken), generate


# What a decorator without types returns has another signature than what it decorates.
take_next: Any = _take_next
step_at: Any = _step_at


@jit
def step_several(
    address: int,
    handles: NDArray[np.int64],
    order: NDArray[np.int64],
    form: NDArray[np.int64],
    until_s: NDArray[np.float64],
    status: NDArray[np.int64],
    taken: NDArray[np.int64],
    most: int,
) -> int:
    """Step environments that no other thread has taken, at most ``most`` of them.

    Args:
        address: `address_of_step`.
        handles: Addresses of the arguments of `step`, [N, 5].
        order: Environments, those to take first in front, [n].
        form: Argument of `step`, [N].
        until_s: The same, [N].
        status: What `step` returned, [N]; written when an environment is done.
        taken: How many of ``order`` are taken, [1].
        most: Return after so many.

    Returns:
        The last environment that was stepped, NOBODY when none was left.
    """
    last = NOBODY
    for _ in range(most):
        k = take_next(taken)
        if k >= order.shape[0]:
            return NOBODY
        last = order[k]
        status[last] = step_at(address, handles, last, form[last], until_s[last])
    return int(last)
