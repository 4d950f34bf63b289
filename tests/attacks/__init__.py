"""Attacks on a converged host, each as a real job."""
