"""YAML -> Matrix."""
