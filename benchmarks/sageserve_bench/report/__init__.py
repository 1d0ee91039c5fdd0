"""What is shown: the table, the report as HTML, and progress."""
