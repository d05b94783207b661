"""Tables: reading them, what their columns are, rows as vectors and back, and what rows obey."""
