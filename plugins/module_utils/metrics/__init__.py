"""One sample of a runner host, and the forms in which it is written."""
