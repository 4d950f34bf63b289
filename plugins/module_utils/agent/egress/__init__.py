"""Load the rules that bound what jobs can reach in the network."""
