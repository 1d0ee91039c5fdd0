"""What only this repository needs: the paper's experiments, publishing, generated tables."""
