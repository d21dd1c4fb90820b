"""A local MetaStudio, with an IAM that issues tokens. It checks signatures and injects failures on request."""

from worker.simulator.control_client import SimulatorControl
from worker.simulator.controls import Controls
from worker.simulator.faults import FaultKind, OutageMode
from worker.simulator.iam import TOKEN_CANARY, IamUser
from worker.simulator.simulator import (
    DEMO_AK,
    DEMO_DOMAIN,
    DEMO_PASSWORD,
    DEMO_PROJECT,
    DEMO_SK,
    DEMO_USER,
    Simulator,
    serve,
)
from worker.simulator.verification import Credential
from worker.simulator.views import CANARIES

__all__ = [
    "CANARIES",
    "DEMO_AK",
    "DEMO_DOMAIN",
    "DEMO_PASSWORD",
    "DEMO_PROJECT",
    "DEMO_SK",
    "DEMO_USER",
    "TOKEN_CANARY",
    "Controls",
    "Credential",
    "FaultKind",
    "IamUser",
    "OutageMode",
    "Simulator",
    "SimulatorControl",
    "serve",
]
