//! The router against the table of routes.
