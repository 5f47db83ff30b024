"""`zebrawatch`: every command, and how errors are said: one line, a non-zero status, never a traceback."""

from __future__ import annotations

import os
import sys

import typer
from typer.exceptions import TyperException

from pipelines.commands import (
    audit,
    benchmark,
    config,
    demo,
    doctor,
    export,
    knowledge,
    lake,
    policy,
    quarantine,
    reasoning,
    replay,
    review,
    runs,
    screen,
)
from pipelines.commands.evidence_benchmark import evidence_arm_speed
from pipelines.commands.growth_benchmark import growth
from pipelines.commands.leadtime_benchmark import leadtime
from pipelines.commands.replay_benchmark import replay_cost
from zebrawatch.errors import ZebrawatchError

app = typer.Typer(
    name="zebrawatch", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="A nightly rare-disease screen over a hospital's own records.",
)  # fmt: skip
app.command("screen")(screen.screen)
app.command("replay")(replay.replay)
app.command("review")(review.review)
app.command("audit")(audit.audit)
app.command("demo-hospital")(demo.demo_hospital)
app.command("doctor")(doctor.doctor)
app.add_typer(benchmark.app, name="benchmark")
benchmark.app.command("evidence-arm")(evidence_arm_speed)
benchmark.app.command("growth")(growth)
benchmark.app.command("replay")(replay_cost)
benchmark.app.command("leadtime")(leadtime)
app.add_typer(config.app, name="config")
app.add_typer(export.app, name="export")
app.add_typer(knowledge.app, name="knowledge")
app.add_typer(lake.app, name="lake")
app.add_typer(policy.app, name="policy")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(reasoning.app, name="reasoning")
app.add_typer(runs.app, name="runs")


def run() -> None:
    """Entry point of the command line."""
    try:
        status = app(standalone_mode=False)
    except ZebrawatchError as error:
        sys.exit(_said(str(error), 1))
    except typer.Abort:
        sys.exit(_said("Stopped.", 130))
    except TyperException as error:
        sys.exit(_said(" ".join(error.format_message().split()), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(_said("Stopped; nothing was published. Run the same command again to go on.", 130))
    except Exception as error:
        if os.environ.get("ZEBRAWATCH_DEBUG"):
            raise
        # The error's own text may hold patient data; its kind may not.
        sys.exit(_said(f"Stopped by an unexpected {type(error).__name__}; set ZEBRAWATCH_DEBUG=1 to see where.", 70))
    sys.exit(status or 0)


def _said(text: str, status: int) -> int:
    print(f"zebrawatch: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    run()
