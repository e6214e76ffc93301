"""What produces every figure that the README quotes. Not installed; run from a checkout."""
