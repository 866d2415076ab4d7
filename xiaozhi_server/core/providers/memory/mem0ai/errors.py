"""What is wrong with what the caller handed in, and how to mend it. Raised before anything is read or written.

Each is a ValueError whose text is made for the person who called; none of them quotes what somebody said. So is the
text of a PartFailedError, which is nobody's fault here.
"""


class PartFailedError(RuntimeError):
    """A part that the memory stands on failed. Its text may be shown: it quotes neither that part nor anybody."""


class MemoryInputError(ValueError):
    """The call cannot mean anything."""


class InvalidIdError(MemoryInputError):
    """An id that names nobody in particular. Nothing was read or written."""


class InvalidTextError(MemoryInputError):
    """No text, or none that could be remembered."""


class ImageRefusedError(MemoryInputError):
    """A picture that cannot be remembered. What was said with it can: hand it in without the picture."""


class InvalidMetadataError(MemoryInputError):
    """Metadata that is no JSON object, or too much of it."""


class InvalidNumberError(MemoryInputError):
    """A limit or a threshold that is no number, or none of the right kind."""


class InvalidFilterError(MemoryInputError):
    """A filter that cannot be understood, or that is too large."""


class InvalidDateError(MemoryInputError):
    """Nothing that is surely one point or one day in time."""


class InvalidCursorError(MemoryInputError):
    """A cursor that `cursor_of` did not make."""


class ForgottenMeanwhileError(MemoryInputError):
    """The owner was forgotten after this was said. Nothing was written; only an import brings such things back."""

    def __init__(self) -> None:
        super().__init__("this owner was forgotten after this was said: only an import takes it")


class NameTakenError(MemoryInputError):
    """Two things of one agent cannot have the same name."""

    def __init__(self) -> None:
        super().__init__("another person or thing has this name: merge the two, or choose another name")


class ThingNotFoundError(MemoryInputError):
    """This owner knows nobody and nothing with that id."""

    def __init__(self) -> None:
        super().__init__("this owner has no person or thing with that id")


class RelationNotFoundError(MemoryInputError):
    """This owner has no relation with that id."""

    def __init__(self) -> None:
        super().__init__("this owner has no relation with that id")


class NoModelError(MemoryInputError):
    """Facts or summaries are asked for where no language model is set up."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"a language model makes the {wanted} and none is set up: configure an llm")


class MemoryNotFoundError(MemoryInputError):
    """This owner has no memory with that id: there is none, or it is somebody else's, and nobody is told which."""

    def __init__(self) -> None:
        super().__init__("this owner has no memory with that id")


class NoSummaryError(MemoryInputError):
    """This memory, if there is one, stands for no others."""

    def __init__(self) -> None:
        super().__init__("this owner has no summary with that id: nothing is compressed into it")
