"""How many GPUs a recorded traffic needs: from a user's file to an answer in plain words."""
