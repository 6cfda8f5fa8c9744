"""Who changed what, when, from what to what. Knows no other stage, so that each may record."""
