"""Conformance to FHIR R4B as fhir.resources judges it: for a sample of what is usable, and for the wording of what is
not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any


class ConformanceJudge:
    """Judges a share of resources, the same ones every time because their version (a digest) decides."""

    def __init__(self, share: float) -> None:
        """`share` of 0 judges none, 1 all; ValueError outside."""
        if not 0 <= share <= 1:
            raise ValueError(f"validate_share is a share between 0 and 1, not {share}")
        self._bound = round(share * 0xFFFFFFFF)

    def judge(self, resource_type: str, version: str, resource: bytes) -> bool | None:
        """Whether the resource conforms; None where it is not in the sample. `version` is a hex digest of its bytes."""
        if not self._bound or int(version[:8], 16) > self._bound:
            return None
        return not refusals(resource_type, resource, limit=1)


def refusals(resource_type: str, resource: bytes, *, limit: int = 5) -> list[str]:
    """What fhir.resources R4B refuses about a resource, as `element: message`, at most `limit`; empty where it
    conforms.

    Messages name elements and rules, never values.
    """
    model = _model(resource_type)
    if model is None:
        return [f"{resource_type}: not a resource type of FHIR R4B"]
    try:
        model(resource)
    except Exception as error:  # pydantic's own error, or what a validator of fhir.resources raises on odd input
        return _worded(error)[:limit] or ["not FHIR R4B"]
    return []


def _worded(error: Exception) -> list[str]:
    errors = getattr(error, "errors", None)
    if errors is None:
        return [type(error).__name__]
    found = errors(include_url=False, include_context=False, include_input=False)
    return [f"{'.'.join(str(part) for part in one['loc']) or 'resource'}: {one['msg']}" for one in found]


@lru_cache(maxsize=256)
def _model(resource_type: str) -> Callable[[bytes], Any] | None:
    # Imported late: the R4B package takes a second to load, which a worker without a sample need not spend.
    from fhir.resources.R4B import get_fhir_model_class

    try:
        return get_fhir_model_class(resource_type).model_validate_json
    except (ValueError, KeyError, ImportError, AttributeError):
        return None
