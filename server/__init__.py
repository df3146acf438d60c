"""The service: REST, the database, the Ray jobs, the command line."""
