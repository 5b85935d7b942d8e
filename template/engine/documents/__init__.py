"""Documents: files become searchable chunks by jobs, in OpenAI's protocol of vector stores."""
