"""Networks and their parts. They compute no losses."""
