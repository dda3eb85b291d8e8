"""Ways for a message to get from one device to the other."""
