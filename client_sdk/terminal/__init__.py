"""The command-line wallet: options, output and commands."""
