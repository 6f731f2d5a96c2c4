"""From a recipe to objects."""
