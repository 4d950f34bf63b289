"""A stand-in for GitHub's runner program: the same files, commands, messages and exit codes, without .NET."""
