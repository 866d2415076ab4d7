"""Long-term extraction as a workflow asks for it."""

from typing import Any

from tests.dify.tools import Tools
from tests.dify.world import APP_KEY, World


def extraction(world: World, *users: str, **more: Any) -> dict[str, Any]:
    address = {"dify_base_url": f"{world.dify}/v1", "dify_api_key": APP_KEY}
    return {"user_ids": ",".join(users), "app_id": "app-1", **address, **more}


def finished(tools: Tools, task_id: str) -> dict[str, Any] | None:
    """How the task ended; None while it runs."""
    told = tools.call("check_extraction_status", task_id=task_id).json
    return None if told["task_status"] == "running" else told
