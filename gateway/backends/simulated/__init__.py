"""A model server that is simulated, and says so: for the demo, for tests, and for trying policies without a GPU.

Speaks OpenAI's dialect, keeps its own books at `/metrics` (so that they can be held against the gateway's), takes as
long as a model would, and can be told to misbehave. `gateway/bootstrap/simulate.py` runs one as a process.

settings   how fast, how many at once          faults   what goes wrong, on command
speech     what it says, a pure function       station  slots, queue and pace
replies    JSON and events                     books    counters, Prometheus text
prefixes   the prefix cache                    server   routes
"""

from gateway.backends.simulated.server import SimulatedServer
from gateway.backends.simulated.settings import SimulatedSettings

__all__ = ["SimulatedServer", "SimulatedSettings"]
