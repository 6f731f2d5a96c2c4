"""Networks of other libraries, read as ours."""
