//! Image files: how a loader and an application become one signed file, and how that file is trusted again.
//!
//! [`pack()`] makes one; [`open`], then [`PackedImage::verify`], then [`Image::admit`] read one; [`inspect()`] shows one.
//! Everything works on bytes that the caller has read, so what was checked is what boots.
//!
//! A new key in the manifest means a new schema, once there was a release: add it beside `fades.image.v1` in [`manifest`].

#![forbid(unsafe_code)]

mod error;
pub mod image;
mod inspect;
pub mod manifest;
mod name;
mod pack;
mod reference;
mod sections;
mod version;

pub use error::{ImageError, ManifestError, NotWanted, PackError};
pub use image::{Image, MAX_IMAGE, PackedImage, Wanted, open};
pub use inspect::{Inspection, Signature, inspect};
pub use manifest::{Architecture, Function, Manifest, Part, PartName, Role};
pub use name::{ImageName, NameError};
pub use pack::{Description, pack};
pub use reference::{Reference, ReferenceError};
pub use sections::{Section, build_id, sections};
pub use version::{Version, VersionError};
