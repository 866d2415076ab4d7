"""How long the parts of a memory may take under a workflow, wherever the memories lie.

A workflow waits as long as it is told to, and is told what failed: no quick half of an answer, as in a talk. So one
request to one part only ends some time, and whoever waits for several waits longer: else nobody knew which part it was.
"""

from xiaozhi_memory.mem0ai.by_mem0.extract_by_mem0 import ExtractionOptions, policy_of
from xiaozhi_memory.mem0ai.by_mem0.opening import PartLimits
from xiaozhi_memory.mem0ai.by_mem0.rerank import RerankOptions
from xiaozhi_memory.mem0ai.engine import EngineOptions
from xiaozhi_memory.mem0ai.finding.search import SearchOptions

from .constants import MAX_REQUEST_TIMEOUT

_MORE_S = 5.0  # than what is waited for within
_EMBEDDED_S = MAX_REQUEST_TIMEOUT + _MORE_S

LIMITS = PartLimits(embedder_s=MAX_REQUEST_TIMEOUT, store_s=MAX_REQUEST_TIMEOUT)
RERANK = RerankOptions(timeout_s=MAX_REQUEST_TIMEOUT)
ENGINE = EngineOptions(
    database_timeout_s=MAX_REQUEST_TIMEOUT,
    search=SearchOptions(
        timeout_s=_EMBEDDED_S + MAX_REQUEST_TIMEOUT + _MORE_S, vector_timeout_s=_EMBEDDED_S, words_alone=False
    ),
)
EXTRACTION = ExtractionOptions(timeout_s=MAX_REQUEST_TIMEOUT, around_s=_EMBEDDED_S)
# All of an accepted write: what ends it from outside is nothing that it could mend.
WRITE_S = policy_of(EXTRACTION).timeout_s + MAX_REQUEST_TIMEOUT
