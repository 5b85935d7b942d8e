"""`app lab`: the rules of docs/execution-model.md, broken and kept, measured on this machine."""
