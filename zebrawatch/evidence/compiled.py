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
    made: Function = numba.njit(cache=True, nogil=True, boundscheck=False)(function)
    return made
