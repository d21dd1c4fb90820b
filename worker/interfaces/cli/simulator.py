"""`eraser simulator`: a local MetaStudio that checks signatures and misbehaves on request."""

from worker.simulator.__main__ import main as simulator

__all__ = ["simulator"]
