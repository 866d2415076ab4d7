"""What the plugin's tools do, without Dify's SDK: parameters, credentials, operations, answers."""
