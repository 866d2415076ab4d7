"""The plugin's tools as a workflow calls them, with one set of credentials."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.dify.daemon import PluginProcess, Reply
from tests.dify.world import Credentials, eventually

ToolsOn = Callable[..., "Tools"]


@dataclass(frozen=True, slots=True)
class Tools:
    plugin: PluginProcess
    credentials: Credentials

    @property
    def is_async(self) -> bool:
        return bool(self.credentials["async_mode"])

    def call(self, tool: str, **parameters: Any) -> Reply:
        return self.plugin.invoke(tool, parameters, self.credentials)

    def start(self, tool: str, **parameters: Any) -> str:
        return self.plugin.ask(tool, parameters, self.credentials)

    def warm(self) -> "Tools":
        """Once the memory is open, which takes its time on a busy machine."""
        self.done("get_all_memories", user_id="nobody", timeout=60)
        return self

    def done(self, tool: str, **parameters: Any) -> Any:
        """The results of a call that must succeed."""
        reply = self.call(tool, **parameters)
        assert reply.status == "SUCCESS", reply.json
        return reply.json.get("results")

    def listed(self, user: str, **more: Any) -> list[dict[str, Any]]:
        found = self.done("get_all_memories", user_id=user, **more)
        assert isinstance(found, list)
        return found

    def texts(self, user: str, **more: Any) -> list[str]:
        return sorted(one["memory"] for one in self.listed(user, **more))

    def remember(self, user: str, text: str, **more: Any) -> str:
        """The id of a new memory, once it is there."""
        known = {one["id"] for one in self.listed(user)}
        self.done("add_memory", user=text, user_id=user, **more)
        new = eventually(lambda: [one["id"] for one in self.listed(user) if one["id"] not in known])
        return str(new[0])
