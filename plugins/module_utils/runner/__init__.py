"""Runner instances on a host: names, environment, plan, files, processes."""
