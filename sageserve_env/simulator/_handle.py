"""Passing the state to kernels as one pointer.

A named tuple of some forty arrays would be flattened by Numba into hundreds of arguments of every
kernel, which makes calls slow and compilation slower. Instead the state owns a small table of data
pointers and shapes, and kernels receive the address of that table. ``s.vm`` inside a kernel builds
an array from its table entry; as such arrays own nothing, no reference is counted. In plain Python
(``NUMBA_DISABLE_JIT=1``) ``s.vm`` is simply the attribute.

Kernels never count from the end, so the arrays of a state take no negative indices, which saves a
few instructions at each access. ``SAGESERVE_CHECK_BOUNDS=1`` compiles kernels that raise
``IndexError`` for every index outside an array.
"""

# Numba's extension interface has no types.
# mypy: disable-error-code="no-untyped-call, arg-type, untyped-decorator, attr-defined"
# mypy: disable-error-code="override, misc"

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from typing import Any, ClassVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models, register_default
from numba.core.extending import (
    infer_getattr,
    lower_builtin,
    lower_getattr_generic,
    typeof_impl,
    unbox,
)
from numba.core.pythonapi import NativeValue
from numba.core.typing.templates import AttributeTemplate
from numba.core.typing.typeof import Purpose
from numba.np import arrayobj

from sageserve_env.simulator.memory import together

CHECK_BOUNDS = os.environ.get("SAGESERVE_CHECK_BOUNDS") == "1"
WORDS = 6  # per table entry: data pointer and up to five lengths
_POINTER = ir.IntType(8).as_pointer()
_WORD = ir.IntType(64)


class StateArray(types.Array):
    """Array of a state: C-contiguous, without negative indices."""


register_default(StateArray)(models.ArrayModel)


def place_of(
    context: Any,
    builder: Any,
    array_type: StateArray,
    value: Any,
    index: Any,
    check: bool = CHECK_BOUNDS,
) -> Any:
    """Return the pointer to an element; ``index`` is a list of (type, value)."""
    array = arrayobj.make_array(array_type)(context, builder, value)
    shape = cgutils.unpack_tuple(builder, array.shape, array_type.ndim)
    words = [context.cast(builder, v, t, types.intp) for t, v in index]
    if check:
        for axis, (word, length) in enumerate(zip(words, shape, strict=True)):
            cgutils.do_boundscheck(context, builder, word, length, axis)
    flat = words[0]
    for word, length in zip(words[1:], shape[1:], strict=True):
        flat = builder.add(builder.mul(flat, length), word)
    return builder.gep(array.data, [flat])


def _indices(builder: Any, index_type: Any, index: Any) -> list[tuple[Any, Any]]:
    if isinstance(index_type, types.BaseTuple):
        values = cgutils.unpack_tuple(builder, index, len(index_type))
        return [*zip(tuple(index_type), values, strict=True)]
    return [(index_type, index)]


def _complete(array_type: StateArray, index_type: Any) -> bool:
    """Whether an index names one element."""
    kinds = [*index_type] if isinstance(index_type, types.BaseTuple) else [index_type]
    return len(kinds) == array_type.ndim and all(isinstance(t, types.Integer) for t in kinds)


@lower_builtin(operator.getitem, StateArray, types.Integer)
@lower_builtin(operator.getitem, StateArray, types.BaseTuple)
def _get(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array_type, index_type = signature.args
    if not _complete(array_type, index_type):
        raise NotImplementedError("kernels index the arrays of a state in full")
    index = _indices(builder, index_type, arguments[1])
    pointer = place_of(context, builder, array_type, arguments[0], index)
    return arrayobj.load_item(context, builder, array_type, pointer)


@lower_builtin(operator.setitem, StateArray, types.Integer, types.Any)
@lower_builtin(operator.setitem, StateArray, types.BaseTuple, types.Any)
def _set(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
    array_type, index_type, value_type = signature.args
    if not _complete(array_type, index_type):
        raise NotImplementedError("kernels index the arrays of a state in full")
    index = _indices(builder, index_type, arguments[1])
    pointer = place_of(context, builder, array_type, arguments[0], index)
    value = context.cast(builder, arguments[2], value_type, array_type.dtype)
    arrayobj.store_item(context, builder, array_type, value, pointer)


@numba.extending.intrinsic
def _prefetch(typing: Any, array: Any, index: Any, offset: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type, index_type, offset_type = signature.args
        place = _indices(builder, index_type, arguments[1])
        element = place_of(context, builder, array_type, arguments[0], place, check=False)
        pointer = builder.bitcast(element, _POINTER)  # need not exist: nothing is read
        pointer = builder.gep(
            pointer, [context.cast(builder, arguments[2], offset_type, types.intp)]
        )
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [_POINTER, flag, flag, flag])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(call, [pointer, flag(0), flag(3), flag(1)])  # read, keep in all caches, data
        return context.get_dummy_value()

    return types.void(array, index, offset), generate


def _nothing(array: Any, index: Any, offset: int) -> None:
    """Stand in for `prefetch` in plain Python."""


#: ``prefetch(s.vm, v, 64)`` asks for the cache line that lies 64 bytes into an element, without
#: waiting for it and without effect on any result.
prefetch = cast(
    "Callable[[Any, Any, int], None]", _nothing if numba.config.DISABLE_JIT else _prefetch
)


@numba.extending.intrinsic
def _rare(typing: Any, test: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bit = ir.IntType(1)
        kind = ir.FunctionType(bit, [bit, bit])
        expect = cgutils.get_or_insert_function(builder.module, kind, "llvm.expect.i1")
        return builder.call(expect, [arguments[0], bit(0)])

    return types.boolean(test), generate


#: ``if rare(test):`` is ``if test:`` for what is mostly off: the compiler moves its code out of the
#: way of what runs at every event.
rare = cast("Callable[[bool], bool]", bool if numba.config.DISABLE_JIT else _rare)


@numba.extending.intrinsic
def _in_wide_vectors(typing: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite knows no attributes with values
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


#: ``in_wide_vectors()`` lets a kernel compare eight numbers at a time where the processor can;
#: compilers take four, since long passages of wide ones slow some processors down.
in_wide_vectors = cast(
    "Callable[[], None]", (lambda: None) if numba.config.DISABLE_JIT else _in_wide_vectors
)


class HandleType(types.Type):
    """Numba type of a handle: the ordered names, dtypes and dimensions of its arrays."""

    def __init__(self, name: str, fields: tuple[tuple[str, np.dtype[Any], int], ...]) -> None:
        self.fields = {
            field: (i, StateArray(numba.from_dtype(dtype), ndim, "C"))
            for i, (field, dtype, ndim) in enumerate(fields)
        }
        super().__init__(name=f"Handle({name})")


@register_default(HandleType)
class _HandleModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: HandleType) -> None:
        super().__init__(manager, fe_type, _POINTER)


@infer_getattr
class _HandleAttributes(AttributeTemplate):
    key = HandleType

    def generic_resolve(self, typ: HandleType, attr: str) -> Any:
        entry = typ.fields.get(attr)
        return None if entry is None else entry[1]


@lower_getattr_generic(HandleType)
def _load_array(context: Any, builder: Any, typ: HandleType, value: Any, attr: str) -> Any:
    index, array_type = typ.fields[attr]
    table = builder.bitcast(value, _WORD.as_pointer())
    constant = builder.module.add_metadata([])

    def word(i: int) -> Any:
        place = builder.gep(table, [ir.Constant(_WORD, index * WORDS + i)])
        loaded = builder.load(place)
        loaded.set_metadata("invariant.load", constant)
        return loaded

    array = context.make_array(array_type)(context, builder)
    shape = [word(1 + i) for i in range(array_type.ndim)]
    itemsize = context.get_constant(types.intp, _itemsize(array_type.dtype, context))
    strides = [itemsize]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    count = context.get_constant(types.intp, 1)
    for length in shape:
        count = builder.mul(count, length)
    data = builder.inttoptr(word(0), array.data.type)
    array.data = data
    array.shape = cgutils.pack_array(builder, shape)
    array.strides = cgutils.pack_array(builder, strides)
    array.itemsize = itemsize
    array.nitems = count
    array.meminfo = cgutils.get_null_value(array.meminfo.type)
    array.parent = cgutils.get_null_value(array.parent.type)
    return array._getvalue()


def _itemsize(dtype: Any, context: Any) -> int:
    if isinstance(dtype, types.Record):
        return int(dtype.size)
    return int(context.get_abi_sizeof(context.get_data_type(dtype)))


@unbox(HandleType)
def _unbox_handle(typ: HandleType, obj: Any, c: Any) -> NativeValue:
    number = c.pyapi.object_getattr_string(obj, "address")
    address = c.pyapi.long_as_voidptr(number)
    c.pyapi.decref(number)
    return NativeValue(address, is_error=c.pyapi.c_api_error())


@numba.extending.intrinsic
def _part_of(typing: Any, handle: Any, m: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        typ, number_type = signature.args
        index, _ = typ.fields[PARTS]
        table = builder.bitcast(arguments[0], _WORD.as_pointer())
        parts = builder.load(builder.gep(table, [ir.Constant(_WORD, index * WORDS)]))
        row = context.cast(builder, arguments[1], number_type, types.intp)
        bytes_of_row = ir.Constant(_WORD, len(typ.fields) * WORDS * 8)
        return builder.inttoptr(builder.add(parts, builder.mul(row, bytes_of_row)), _POINTER)

    return handle(handle, m), generate


PARTS = "parts"

#: ``part_of(s, m)`` is `Handle.part` in kernels.
part_of = cast(
    "Callable[[Any, int], Any]",
    (lambda handle, m: handle.part(m)) if numba.config.DISABLE_JIT else _part_of,
)


class Handle:
    """Base of a state: named arrays, and the table that kernels see.

    Subclasses set ``FIELDS`` to ``(name, dtype, dimensions)`` and annotate the names. A handle
    holds copies of the arrays it is made from, all in one block of memory. ``IN_WORDS`` names those
    that show another one, of records of 8-byte numbers, as integers with one axis more.

    A handle may have *parts*: handles on the same arrays, but for those that ``IN_PARTS`` names.
    Of these each part has its own, a row of the array that stands there. Then the field ``parts``
    holds the tables of the parts, [parts, words].
    """

    FIELDS: tuple[tuple[str, np.dtype[Any], int], ...] = ()
    IN_WORDS: ClassVar[dict[str, str]] = {}
    IN_PARTS: ClassVar[dict[str, str]] = {}
    _places: dict[str, tuple[int, np.dtype[Any], int]]
    _shown_by: dict[str, str]
    _tables_of_parts: np.ndarray[Any, Any] | None = None  # [parts, fields, WORDS]
    _numba_type_: HandleType

    def __init_subclass__(cls) -> None:
        """Create the Numba type of the subclass."""
        cls._places = {name: (i, *kind) for i, (name, *kind) in enumerate(cls.FIELDS)}
        cls._shown_by = {of: other for other, of in {**cls.IN_WORDS, **cls.IN_PARTS}.items()}
        cls._numba_type_ = HandleType(cls.__name__, cls.FIELDS)

        @typeof_impl.register(cls)
        def _typeof(value: Any, context: Purpose) -> HandleType:
            return cls._numba_type_

    def __init__(self, **arrays: np.ndarray[Any, Any]) -> None:
        self._table = np.zeros((len(self.FIELDS), WORDS), dtype=np.int64)
        self.address = int(self._table.ctypes.data)
        missing = self._own() ^ set(arrays)
        if missing:
            raise TypeError(f"{type(self).__name__}: wrong or missing arrays: {sorted(missing)}")
        placed = together(arrays)
        if self.IN_PARTS:
            parts = len(placed[next(iter(self.IN_PARTS.values()))])
            self.put(PARTS, np.zeros((parts, self._table.size), dtype=np.int64))
        for name, array in placed.items():
            self.put(name, array)

    def put(self, name: str, array: np.ndarray[Any, Any]) -> None:
        """Set one array, and its entry in the table."""
        index, dtype, ndim = self._places[name]
        if array.dtype != dtype or array.ndim != ndim or not array.flags.c_contiguous:
            raise TypeError(f"{name}: expected C-contiguous {dtype} with {ndim} axes")
        setattr(self, name, array)
        entry = (array.__array_interface__["data"][0], *array.shape)
        self._table[index, : 1 + ndim] = entry
        if name == PARTS:
            self._tables_of_parts = array.reshape(len(array), *self._table.shape)
        elif self._tables_of_parts is not None and name not in self.IN_PARTS:
            self._tables_of_parts[:, index, : 1 + ndim] = entry
        if name in self._shown_by:
            self._show(self._shown_by[name], name, array)

    def _show(self, other: str, name: str, array: np.ndarray[Any, Any]) -> None:
        """Set what shows an array: its words, or the rows of the parts."""
        if other in self.IN_WORDS:
            self.put(other, array.view(np.int64).reshape(*array.shape, -1))
            return
        assert self._tables_of_parts is not None
        for table, row in zip(self._tables_of_parts, array, strict=True):
            place = row.__array_interface__["data"][0]
            table[self._places[other][0], : row.ndim + 1] = place, *row.shape

    def part(self, m: int) -> Any:
        """Return a part; good until an array of the whole is put anew."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        part.address = int(getattr(self, PARTS)[m].ctypes.data)
        for own, rows in self.IN_PARTS.items():
            setattr(part, own, getattr(self, rows)[m])
        return part

    def _own(self) -> set[str]:
        """Return the names of the arrays that do not show others."""
        return {name for name, _, _ in self.FIELDS} - {*self.IN_WORDS, PARTS}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arrays, not their addresses."""
        return _from_arrays, (type(self), {name: getattr(self, name) for name in self._own()})

    def copy(self) -> Any:
        """Return a handle on copies of all arrays."""
        return _from_arrays(type(self), {name: getattr(self, name) for name in self._own()})


def _from_arrays(cls: type[Handle], arrays: dict[str, np.ndarray[Any, Any]]) -> Handle:
    return cls(**arrays)
