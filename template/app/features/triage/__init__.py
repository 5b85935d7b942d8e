"""The example feature, yours to change or to delete: sorts support tickets."""
