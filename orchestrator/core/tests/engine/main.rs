//! The engine from outside: told stories, and thousands of stories that nobody would think of.

mod actors;
mod dormant;
mod interleavings;
mod laws;
mod periods;
mod scenarios;
mod stalls;
mod supervision;
mod world;
