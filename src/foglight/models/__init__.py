"""Networks; they know no loss, no data set and no metric."""
