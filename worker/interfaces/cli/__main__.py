"""`python -m worker.interfaces.cli`: the console script for a process that starts another one."""

from worker.interfaces.cli import main

main()
