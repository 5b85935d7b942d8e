"""OpenAI's Responses: translated to chats, with a state of their own in SQL."""
