//! Tests of the envelope, in one program, so that it is linked once.

#[cfg(test)]
mod common;
#[cfg(test)]
mod key_files;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod one_form;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod profile;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod receipt;
