"""CI systems that can run the gate. One system, one module."""
