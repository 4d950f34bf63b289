"""The artifact mirror: builds the files that a host downloads, and serves them with faults on demand."""
