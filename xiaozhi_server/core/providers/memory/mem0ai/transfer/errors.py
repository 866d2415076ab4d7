"""Why a file cannot be written or read at all. The text is for whoever gave it, and quotes nothing of it."""

from ..errors import MemoryInputError


class TransferError(MemoryInputError):
    """Nothing more of this file is taken; what was taken before stays."""
