"""Systems that make rows of tables, or fill in what is missing in them."""
