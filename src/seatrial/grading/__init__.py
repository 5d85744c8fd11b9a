"""How a run is graded, by an SLO file: pure, and one for those who prove and for the server that trusts no verdict."""
