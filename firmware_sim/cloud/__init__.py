"""A stand-in for the cloud: model, recogniser, voice, embeddings and memory over HTTP, for tests and benchmarks."""

from firmware_sim.cloud.faults import Extraction, Fault, Faults
from firmware_sim.cloud.server import CloudRequest, StandInCloud

__all__ = ["CloudRequest", "Extraction", "Fault", "Faults", "StandInCloud"]
