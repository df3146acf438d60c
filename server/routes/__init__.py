"""HTTP: each module is a router; a route is a signature, one call of the store, one return."""
