//! What goes wrong around the hub, over real sockets, against the program: nobody else notices, and memory stays bounded.
//!
//! Nothing sleeps to wait for something: what is waited for has a deadline. Figures that depend on the machine are printed
//! (`--nocapture` shows them) and not judged.

mod crowd;
mod descriptors;
mod hub;
mod publishers;
mod readers;
mod vanished;
