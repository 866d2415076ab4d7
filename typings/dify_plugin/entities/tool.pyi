from typing import Any

class ToolInvokeMessage:
    type: Any
    message: Any
    meta: dict[str, Any] | None

class ToolRuntime:
    credentials: dict[str, Any]
    credential_type: Any
    user_id: str | None
    session_id: str | None
