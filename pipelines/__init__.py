"""WHEN it runs: Dagster definitions, jobs, schedules, sensors, and the `zebrawatch` command line.

Belongs here: wiring and wording of commands.
Does not: steps (assets), doors (connectors), science (zebrawatch).
"""
