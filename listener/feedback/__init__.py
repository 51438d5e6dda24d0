"""What objects that come back say of our results."""
