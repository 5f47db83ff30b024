"""The `zebrawatch` command line, one module a command group.

Belongs here: options, progress, printing, exit codes.
Does not: the work itself.
"""
