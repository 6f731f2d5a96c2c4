"""From run folders to a report: what they hold is read with care, what they do not hold is measured or said to lack."""
