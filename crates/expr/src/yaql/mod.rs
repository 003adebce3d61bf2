//! YAQL: under construction.
