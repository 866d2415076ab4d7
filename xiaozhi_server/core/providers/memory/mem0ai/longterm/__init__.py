"""Long-term extraction: what a person said in the conversations of an app of Dify's becomes memories, once."""
