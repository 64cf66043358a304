"""What is decided: pure functions of values. No clock, chance, disk, network or log."""
