"""Files as surveys publish them, to one record: a class for each."""
