"""Networks from the papers' tables, one file a family; none of it needs torch."""
