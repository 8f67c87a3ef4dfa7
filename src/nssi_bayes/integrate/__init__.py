"""The shelf of routes through the integral over people."""
