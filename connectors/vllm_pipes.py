"""Starts the vLLM runner by Dagster Pipes, so that its progress and token figures show in the run.

Pipes alone would call a process that died early a success (dagster issue 17868); the signed record decides.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.errors import DagsterPipesExecutionError  # no DagsterError, and dagster does not export it

from connectors.vllm_batch import Launch


def pipes_launcher(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, client: dg.PipesSubprocessClient
) -> Launch:
    """A launcher for connectors.vllm_batch.VllmBatch inside an asset; a process that fails has the status 1.

    Dagster then asks the asset to return a MaterializeResult.
    """

    def launch(command: Sequence[str], variables: Mapping[str, str]) -> int:
        try:
            client.run(command=list(command), context=context, env={**os.environ, **variables})
        except DagsterPipesExecutionError:
            return 1
        return 0

    return launch
