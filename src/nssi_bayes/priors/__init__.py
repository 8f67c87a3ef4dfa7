"""The shelf of prior sets: one YAML each, every prior with its unit and source."""
