"""The paper's experiments by name: arms, figures to compare with, tables, plots, an LP bound."""
