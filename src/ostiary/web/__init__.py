"""HTTP on our side: routes, bodies, responses, and the one table from outcomes to status codes."""
