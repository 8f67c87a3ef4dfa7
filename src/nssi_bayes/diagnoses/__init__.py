"""The shelf of code tables: which codes of a manual mean which disorder, one YAML file a manual."""
