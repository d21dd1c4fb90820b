"""A local MetaStudio, and the IAM that gives its tokens, that checks signatures and misbehaves on request."""

from worker.metastudio.simulator.control import Controls, SimulatorControl
from worker.metastudio.simulator.faults import Kind, OutageMode
from worker.metastudio.simulator.iam import TOKEN_CANARY, IamUser
from worker.metastudio.simulator.simulator import (
    DEMO_AK,
    DEMO_DOMAIN,
    DEMO_PASSWORD,
    DEMO_PROJECT,
    DEMO_SK,
    DEMO_USER,
    Simulator,
    serve,
)
from worker.metastudio.simulator.verification import Credential
from worker.metastudio.simulator.views import CANARIES

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
    "IamUser",
    "Kind",
    "OutageMode",
    "Simulator",
    "SimulatorControl",
    "serve",
]
