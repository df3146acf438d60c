"""Published results, typed in from where they were published: what a grid's own results are compared with. Figures only, no labels."""
