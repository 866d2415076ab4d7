"""What can go wrong with Dify's API, in words for whoever set it up. No error quotes a key or what somebody said."""


class DifyError(Exception):
    """Nothing was read."""


class DifyRefusedError(DifyError):
    """The key is not good, or not good for this."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Dify refused the app key (HTTP {status}): take dify_api_key from the app's page API Access")


class DifyUnknownError(DifyError):
    """Dify has nothing there: another address, or what was named is gone."""

    def __init__(self) -> None:
        super().__init__("Dify has nothing there (HTTP 404): check dify_base_url, which ends in /v1")


class DifyRejectedError(DifyError):
    """Dify works and does not take this request. `code` is its own short word for why."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"Dify does not take the request (HTTP {status}{', ' + code if code else ''})")
        self.code = code


class DifyAwayError(DifyError):
    """No answer although it was asked again and again."""


class DifyAnswerError(DifyError):
    """An answer that makes no sense."""
