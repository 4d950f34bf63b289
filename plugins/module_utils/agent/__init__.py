"""The library as a package on a host: what keeps its releases in order."""
