"""A student as a file that runs without foglight, and what that file was measured to say and to cost."""
