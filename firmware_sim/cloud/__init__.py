"""A stand-in for the cloud: model, recogniser, voice and embeddings over real HTTP, for tests and benchmarks."""

from firmware_sim.cloud.faults import Fault, Faults
from firmware_sim.cloud.server import CloudRequest, StandInCloud

__all__ = ["CloudRequest", "Fault", "Faults", "StandInCloud"]
