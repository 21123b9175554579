"""The parameters: what theta may have, and the prior of them."""
