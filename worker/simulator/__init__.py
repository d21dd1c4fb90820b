"""A local MetaStudio, with an IAM that issues tokens. It checks signatures and injects failures on request."""

from worker.simulator.control_client import SimulatorControl as SimulatorControl
from worker.simulator.controls import Controls as Controls
from worker.simulator.faults import FaultKind as FaultKind
from worker.simulator.faults import OutageMode as OutageMode
from worker.simulator.iam import TOKEN_CANARY as TOKEN_CANARY
from worker.simulator.iam import IamUser as IamUser
from worker.simulator.simulator import DEMO_AK as DEMO_AK
from worker.simulator.simulator import DEMO_DOMAIN as DEMO_DOMAIN
from worker.simulator.simulator import DEMO_PASSWORD as DEMO_PASSWORD
from worker.simulator.simulator import DEMO_PROJECT as DEMO_PROJECT
from worker.simulator.simulator import DEMO_SK as DEMO_SK
from worker.simulator.simulator import DEMO_USER as DEMO_USER
from worker.simulator.simulator import Simulator as Simulator
from worker.simulator.verification import Credential as Credential
from worker.simulator.views import CANARIES as CANARIES
