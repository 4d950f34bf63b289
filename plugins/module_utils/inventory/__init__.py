"""Pure helpers of single roles, for the filters: packages, Vosk, labels, cache keys, checks of inputs."""
