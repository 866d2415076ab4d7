"""What the daemon starts: `python -m main` in this folder."""

import os

# Before anything of mem0's is loaded, which else reports to its makers in a thread that outlives the process.
os.environ["MEM0_TELEMETRY"] = "False"

from dify_plugin import DifyPluginEnv, Plugin  # isort: skip - it replaces sockets and threads, so it comes first
from dify_plugin.config.logger_format import plugin_logger_handler  # isort: skip

from mem0_tools import logs
from mem0_tools.constants import MAX_REQUEST_TIMEOUT
from mem0_tools.ending import end_well
from mem0_tools.process import load_ahead

logs.join(plugin_logger_handler)
logs.set_level("INFO")

plugin = Plugin(DifyPluginEnv(MAX_REQUEST_TIMEOUT=MAX_REQUEST_TIMEOUT))

if __name__ == "__main__":
    with end_well():
        load_ahead()
        plugin.run()
