"""The one door to numba: typed, cached on disk, without the GIL.

Numba looks only at a function's own file when it asks whether its machine code on disk is still right; what the
function calls from other modules may have changed. So the code is kept under a digest of all modules that compile.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba

_CONFIG: Any = numba.config
_NJIT: Any = numba.njit
_PLAIN = re.compile(r"(tuple\[)?(int|bool|float|None|np\.uint64)(, (int|bool|float))*\]?")
Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def cache_folder() -> Path:
    """Where machine code is kept: beside the sources (or in NUMBA_CACHE_DIR), a folder for each state of them."""
    here = Path(__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(here.glob("*.py")):
        source = path.read_bytes()
        if b"evidence.compiled import" in source or path.name == "lexicon.py":
            digest.update(source)
    return Path(_CONFIG.CACHE_DIR or here / "__pycache__") / f"compiled-{digest.hexdigest()[:16]}"


def _made(function: Function, **options: bool) -> Function:
    before = _CONFIG.CACHE_DIR
    _CONFIG.CACHE_DIR = str(cache_folder())  # read while the function is wrapped, and only then
    try:
        made: Any = _NJIT(cache=True, nogil=True, **options)(function)
    finally:
        _CONFIG.CACHE_DIR = before
    return made  # type: ignore[no-any-return]


def compiled(function: Function) -> Function:
    """Compile a function of numbers and arrays on its first call; the machine code is kept beside the source.

    The plain Python function stays available as `function.py_func`.
    """
    return _made(function)


def borrowing(function: Function) -> Function:
    """The same for a function that makes no array and returns none: it reads and fills those of its caller.

    Nobody then needs to count who holds an array. Numba does so by atomic steps, two an array for every call, and more
    in loops; in the matching functions these took three quarters of the time.
    """
    _refuse_arrays(function)
    return _made(function, _nrt=False)


def inlined(function: Function) -> Function:
    """The same for a small function in an inner loop: its code goes into the caller's."""
    _refuse_arrays(function)
    return _made(function, _nrt=False, forceinline=True)


def _refuse_arrays(function: Function) -> None:
    """An array that is returned uncounted would be freed while in use; Numba itself refuses arrays that are made."""
    told = str(function.__annotations__["return"])
    if not _PLAIN.fullmatch(told):
        raise TypeError(f"{function.__name__} returns {told}: only numbers can be returned without counting")
