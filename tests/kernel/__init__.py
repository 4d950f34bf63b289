"""Claims that need a kernel of their own: a host under User-Mode Linux."""
