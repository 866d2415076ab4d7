"""The stand-in model at work for a memory: what it reads in a request, what it answers, and how it errs."""

from firmware_sim.cloud.extraction.answering import answer_for_memory, first_known, is_for_memory
from firmware_sim.cloud.extraction.erring import Erring
from firmware_sim.cloud.extraction.wordings import Wording, worded

__all__ = ["Erring", "Wording", "answer_for_memory", "first_known", "is_for_memory", "worded"]
