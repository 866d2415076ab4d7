from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage

from mem0_tools.process import caller


class GetAllMemoriesTool(Tool):
    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage]:
        answer = caller().call("get_all_memories", tool_parameters, self.runtime.credentials)
        yield self.create_json_message(answer.json)
        yield self.create_text_message(answer.text)
        for name, value in answer.variables():
            yield self.create_variable_message(name, value)
