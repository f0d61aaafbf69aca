//! Tests of image files, in one program, so that it is linked once.

#[cfg(test)]
mod common;
#[cfg(test)]
mod inspection;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod packing;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
