"""A local MetaStudio that checks signatures and misbehaves on request."""

from worker.metastudio.simulator.control import Controls, SimulatorControl
from worker.metastudio.simulator.faults import Kind, OutageMode
from worker.metastudio.simulator.simulator import DEMO_AK, DEMO_PROJECT, DEMO_SK, Simulator, serve
from worker.metastudio.simulator.verification import Credential
from worker.metastudio.simulator.views import CANARIES

__all__ = [
    "CANARIES",
    "DEMO_AK",
    "DEMO_PROJECT",
    "DEMO_SK",
    "Controls",
    "Credential",
    "Kind",
    "OutageMode",
    "Simulator",
    "SimulatorControl",
    "serve",
]
