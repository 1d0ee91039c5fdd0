"""How much there is to gain in a scenario: from the least fleet to a search with hindsight."""
