"""How a workflow's questions are asked, wherever the memories lie."""

from xiaozhi_memory.mem0ai.by_mem0.rerank import RerankOptions
from xiaozhi_memory.mem0ai.finding.search import SearchOptions

from . import constants

# A workflow waits as long as it is told to, and is told what failed: no quick half of an answer, as in a talk.
SEARCH = SearchOptions(
    timeout_s=constants.MAX_REQUEST_TIMEOUT, vector_timeout_s=constants.MAX_REQUEST_TIMEOUT, words_alone=False
)
RERANK = RerankOptions(timeout_s=constants.MAX_REQUEST_TIMEOUT)
