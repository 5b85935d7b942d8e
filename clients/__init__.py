"""Real clients of the OpenAI protocol, unmodified, against a render: `make clients`."""
