//! Pure tests: no socket, no clock, no sleep.

mod encode;
