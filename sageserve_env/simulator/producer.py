"""The next piece of the trace, made in a thread while the engine works on the current one.

Trace and engine run without the GIL, so on two cores the trace costs no time. There is one thread
for all simulations of a process, since a piece takes a small part of the time it lasts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

_pool: ThreadPoolExecutor | None = None


def _forget() -> None:
    """A forked child has none of its parent's threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def pays() -> bool:
    """Return whether a second core may be free; ``SAGESERVE_READ_AHEAD=0`` says that none is."""
    if os.environ.get("SAGESERVE_READ_AHEAD") == "0":
        return False
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) > 1
    return (os.cpu_count() or 1) > 1


class Producer(Generic[T]):
    """An iterator that is one item ahead of its reader.

    The items and their order are those of the iterator underneath; an exception is raised where
    the item would have been. In a forked child `forked` is true and the producer is of no use.

    Args:
        items: Where the items come from; nothing else may read it.
        ahead: Make the next item in a thread; otherwise when it is asked for.
    """

    def __init__(self, items: Iterator[T], *, ahead: bool) -> None:
        self._items = items
        self._ahead = ahead
        self._next: Future[T | None] | None = None
        self._process = os.getpid()

    @property
    def forked(self) -> bool:
        """Whether this is a copy in a forked child, whose thread stayed behind."""
        return self._next is not None and os.getpid() != self._process

    def __next__(self) -> T:
        """Return the next item and start on the one after it."""
        item = next(self._items, None) if self._next is None else self._next.result()
        self._next = None
        if item is None:
            raise StopIteration
        if self._ahead:
            self._next = _threads().submit(next, self._items, None)
        return item

    def make_next(self) -> bool:
        """Make the next item now; return False where it is made or is being made already."""
        if self._next is not None:
            return False
        self._next = Future()
        try:
            self._next.set_result(next(self._items, None))
        except Exception as error:  # raised where the item would have been
            self._next.set_exception(error)
        return True


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(1, thread_name_prefix="trace")
    return _pool
