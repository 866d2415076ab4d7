"""What can be wrong with a call. Every text is made for whoever built the workflow; none of them holds a secret."""


class ToolInputError(ValueError):
    """A parameter that cannot mean anything."""


class CredentialsError(ValueError):
    """The settings of the plugin cannot be used. The text says which and how to mend it."""


class OverloadedError(Exception):
    """So much waits already that this call is not taken."""


class NothingThereError(Exception):
    """No memory has this id, or it is somebody else's, and nobody is told which."""


class NotHereError(Exception):
    """This kind of memory cannot do that at all."""
