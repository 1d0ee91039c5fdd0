"""Steps of many environments by several threads that take the next one without Python.

A thread that asks Python for its next environment waits for whoever runs Python at that moment,
often longer than the asking takes. Here it takes one by a mark in memory, and calls the code of
`step` by its address, so that the event loop is not compiled once more.

A thread takes first what it stepped the last time: the state of that is in the cache of its core,
and would come from there to another core line by line. And it stays awake for a moment after a
step, since to wake a sleeping thread takes as long as a tenth of a step.
"""

# Numba's extension interface has no types.
# mypy: disable-error-code="no-untyped-call, misc, attr-defined"

from __future__ import annotations

import functools
from typing import Any, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import types

from sageserve_env.kernels.buffers import Buffers
from sageserve_env.kernels.decoder import Decoder
from sageserve_env.kernels.scaling import Scaling
from sageserve_env.kernels.step import step
from sageserve_env.simulator._handle import Handle, place_of
from sageserve_env.simulator._jit import jit
from sageserve_env.simulator.state import State
from sageserve_env.simulator.survey import Raw

Array = np.ndarray[Any, Any]

RUNNING = -2  # status of an environment that no thread has finished
NOBODY = -1
AWAY, WAITING, WORKING = range(3)
LINE = 8  # words of a cache line
PATIENCE = 1_000_000  # looks at a word in the cache before a thread goes to sleep: some 0.3 ms
_F8, _I8 = np.dtype(np.float64), np.dtype(np.int64)
_numba: Any = numba
_HANDLES = tuple(handle._numba_type_ for handle in (State, Buffers, Decoder, Raw, Scaling))
HANDLES = len(_HANDLES)


class Crew(Handle):
    """What threads that step the same N environments share."""

    code: Array  # i8 [1]: `address_of_step`
    handles: Array  # i8 [N, 5]: addresses of the arguments of `step`
    order: Array  # i8 [N]: environments that are stepped, those to take first in front
    length: Array  # i8 [1]: how many
    form: Array  # i8 [N]: argument of `step`
    until_s: Array  # f8 [N]: the same
    status: Array  # i8 [N]: what `step` returned; RUNNING before
    taken: Array  # i8 [N]: 1 for those that some thread has taken
    by: Array  # i8 [N]: thread that stepped each the last time
    duty: Array  # i8 [threads LINE]: AWAY, WAITING or WORKING, a line for each thread

    FIELDS = (
        ("code", _I8, 1),
        ("handles", _I8, 2),
        ("order", _I8, 1),
        ("length", _I8, 1),
        ("form", _I8, 1),
        ("until_s", _F8, 1),
        ("status", _I8, 1),
        ("taken", _I8, 1),
        ("by", _I8, 1),
        ("duty", _I8, 1),
    )


def build_crew(n: int, threads: int) -> Crew:
    """Return a crew of threads, number 0 the calling one, for so many environments."""
    zeros = {name: np.zeros(n, dtype) for name, dtype, _ in Crew.FIELDS}
    zeros["code"] = np.array([address_of_step()])
    zeros["handles"] = np.zeros((n, HANDLES), dtype=np.int64)
    zeros["length"] = np.zeros(1, dtype=np.int64)
    zeros["by"] = np.arange(n) % threads
    zeros["duty"] = np.zeros(threads * LINE, dtype=np.int64)
    return Crew(**zeros)


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
        given = []
        for column in range(HANDLES):
            index = [(types.int64, row), (types.int64, context.get_constant(types.int64, column))]
            word = place_of(context, builder, signature.args[1], table, index)
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
def _now_at(typing: Any, words: Any, i: Any) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        index = [(types.int64, arguments[1])]
        place = place_of(context, builder, signature.args[0], arguments[0], index)
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(words, types.int64), generate


@numba.extending.intrinsic
def _exchange(typing: Any, words: Any, i: Any, expected: Any, new: Any) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        index = [(types.int64, arguments[1])]
        place = place_of(context, builder, signature.args[0], arguments[0], index)
        pair = builder.cmpxchg(place, arguments[2], arguments[3], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 0)

    return types.int64(words, types.int64, types.int64, types.int64), generate


# What a decorator without types returns has another signature than what it decorates.
step_at: Any = _step_at
#: ``now_at(words, i)`` is a word that another thread may change meanwhile.
now_at: Any = _now_at
#: ``exchange(words, i, expected, new)`` returns a word, and sets it if it was as expected.
exchange: Any = _exchange


@jit
def _take(crew: Crew, me: int, spare: int) -> int:
    """Take an environment if more than ``spare`` are left, one of this thread's if there is any."""
    n, left = crew.length[0], 0
    for k in range(n):
        left += 1 - now_at(crew.taken, crew.order[k])
    if left <= spare:
        return NOBODY
    for k in range(n):
        i = crew.order[k]
        if crew.by[i] == me and exchange(crew.taken, i, 0, 1) == 0:
            return int(i)
    for k in range(n - 1, -1, -1):  # of others what they would come to last
        i = crew.order[k]
        if exchange(crew.taken, i, 0, 1) == 0:
            crew.by[i] = me
            return int(i)
    return NOBODY


@jit
def step_one(crew: Crew, me: int, spare: int) -> int:
    """Step an environment that no other thread has taken.

    Args:
        crew: What the threads share.
        me: Number of this thread.
        spare: Leave so many to others.

    Returns:
        The environment; NOBODY if no more were left.
    """
    i = _take(crew, me, spare)
    if i != NOBODY:
        crew.status[i] = step_at(crew.code[0], crew.handles, i, crew.form[i], crew.until_s[i])
    return i


@jit
def serve(crew: Crew, me: int) -> int:
    """Step environments until none is left; once more if the next step comes soon.

    Args:
        crew: What the threads share. The calling thread turns WAITING into WORKING where the next
            step begins (`begin_work`).
        me: Number of this thread.

    Returns:
        AWAY, when none came.
    """
    mine = me * LINE
    while True:
        while step_one(crew, me, 0) != NOBODY:
            pass
        exchange(crew.duty, mine, WORKING, WAITING)
        for _ in range(PATIENCE):
            if now_at(crew.duty, mine) == WORKING:
                break
        if exchange(crew.duty, mine, WAITING, AWAY) == WAITING:
            return AWAY


@jit
def begin_work(crew: Crew, thread: int) -> bool:
    """Set a thread to work; False if it is away and has to be called."""
    if exchange(crew.duty, thread * LINE, WAITING, WORKING) == WAITING:
        return True
    exchange(crew.duty, thread * LINE, AWAY, WORKING)
    return False


@jit
def still_working(crew: Crew) -> int:
    """Wait a moment for the threads that work; return how many still do then."""
    working = 0
    for _ in range(PATIENCE):
        working = 0
        for place in range(LINE, crew.duty.shape[0], LINE):
            if now_at(crew.duty, place) == WORKING:
                working += 1
        if working == 0:
            break
    return working
