"""The dashboard: figures, pages and the files that they load. Knows neither the database nor HTTP."""
