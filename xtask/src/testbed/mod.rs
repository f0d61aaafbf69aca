//! The sample testbed: an InfluxDB of our own with readings of five rooms, and a node beside it.

pub mod generator;
pub mod influx;
pub mod node;
