"""`zebrawatch review`: the web application for reviewers, auditors and dashboards."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.commands.options import ConfigOption, LakeOption, settings


def review(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port (default: review.port, 8321); 0 takes a free one.")
    ] = None,
    lake: LakeOption = None,
    config: ConfigOption = None,
) -> None:
    """Serve worklist, patient pages, dashboard and audit trail on this machine.

    On a demo lake (made data) one account of each role is made, and its new random password printed at every start; on
    a real one, the first start makes an admin.
    """
    from review.app import serve  # brings the web server along, which `--help` does not need

    serve(
        settings(config, lake__folder=str(lake) if lake else None, review__port=None if port is None else str(port)),
        lambda text: print(text, flush=True),
    )
