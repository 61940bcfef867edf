//! The runtime over real sockets: the hub in this process, behind a port of its own for each test.
//!
//! Nothing sleeps to wait for something: what is waited for has a deadline. The program itself is tested in
//! `sse-runtime/tests/`, where cargo says where it is.

mod direct;
mod events;
mod library;
mod limits;
mod load;
mod manager;
mod publish;
mod reconnect;
mod security;
mod site;
mod tasks;
