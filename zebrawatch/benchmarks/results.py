"""What a benchmark returns: figures by data set, in EVALUATION's names."""

from __future__ import annotations

from typing import Any

Results = dict[str, dict[str, Any]]
"""Keyed by data set: `{n, <metric>: value, ci95: {<metric>: [low, high]}, seconds}`."""
