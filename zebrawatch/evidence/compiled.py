"""The one door to numba: typed, cached on disk, without the GIL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function of numbers and arrays on its first call; the machine code is kept beside the source.

    The plain Python function stays available as `function.py_func`.
    """
    made: Any = numba.njit(cache=True, nogil=True)(function)
    return made  # type: ignore[no-any-return]


def inlined(function: Function) -> Function:
    """The same for a small function in an inner loop: its code goes into the caller's.

    A call that hands arrays on costs two atomic counts an array, more than such a function's own work.
    """
    made: Any = numba.njit(cache=True, nogil=True, forceinline=True)(function)
    return made  # type: ignore[no-any-return]
