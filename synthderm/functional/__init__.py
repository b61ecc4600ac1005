"""Floor 1: pure functions of tensors, without state and without random numbers."""
