"""Systems that start from an image: translation between domains, colour, super-resolution."""
