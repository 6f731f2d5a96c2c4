"""Pure mathematics that two or more losses share."""
