"""The shelf of the joint model's parts: what each declares, and what it says of a person's data."""
