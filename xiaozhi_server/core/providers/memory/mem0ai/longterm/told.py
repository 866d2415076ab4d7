"""What went wrong, in a form that anybody may read: no key, no text of anybody, no words of a service."""

from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout

from ..by_mem0.mem0_add import ModelFailedError
from ..compressing.compress import SummaryFailedError
from ..errors import MemoryInputError
from .classify import BrokenAnswerError
from .dify_errors import DifyError
from .records import LockHeldError, LockLostError

LONGEST = 500
_OURS = (MemoryInputError, ModelFailedError, BrokenAnswerError, DifyError, LockHeldError, LockLostError)


def told(error: BaseException) -> str:
    if isinstance(error, _OURS):
        return str(error)[:LONGEST]
    if isinstance(error, SummaryFailedError):  # it names the kind of what had happened
        return f"the model gave no answer: {error}"[:LONGEST]
    if isinstance(error, TimeoutError | PoolTimeout):
        return "no answer in time"
    if isinstance(error, DatabaseError):
        return f"the database failed: {type(error).__name__}"
    return type(error).__name__
