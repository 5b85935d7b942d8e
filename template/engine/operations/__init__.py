"""What callers ask a model for: chats, completions, embeddings; the model bound to its caller."""
