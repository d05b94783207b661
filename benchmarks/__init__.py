"""The commands that make every published number. Each writes benchmarks/results/<name>.json with its protocol."""
