"""Money: budgets, and paid calls that are on record before their bytes leave."""
