"""What a few layers need to know of the network around them."""
