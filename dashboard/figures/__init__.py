"""Figures: records become a table, which tests assert on, and the table becomes a Plotly figure, which never touches a database."""
