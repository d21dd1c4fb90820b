"""`eraser simulator`: a local MetaStudio that checks signatures and injects failures on request."""

from worker.simulator.__main__ import main as simulator

__all__ = ["simulator"]
