"""`python -m worker.operations.cli`: the console script for a process that starts another one."""

from worker.operations.cli import main

main()
