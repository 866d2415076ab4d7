from typing import Any

from dify_plugin import ToolProvider
from dify_plugin.errors.tool import ToolProviderCredentialValidationError

from mem0_tools.process import caller


class Mem0Provider(ToolProvider):
    def _validate_credentials(self, credentials: dict[str, Any]) -> None:
        problem = caller().validate(credentials)
        if problem is not None:
            raise ToolProviderCredentialValidationError(problem)
