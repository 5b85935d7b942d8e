"""The same modules without the bug, and others that look suspicious but are right."""
