"""Operations of a model: chats, completions, embeddings; the model bound to its caller."""
