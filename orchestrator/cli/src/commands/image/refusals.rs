//! Codes of what is wrong with images, and with where they come from.

use fades_api::codes;
use fades_depot::DepotError;
use fades_pack::ImageError;

use crate::exit::Exit;
use crate::failure::{Failure, chain};

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::new(error.code(), chain(&error))
    }
}

impl From<DepotError> for Failure {
    fn from(error: DepotError) -> Self {
        let code = match &error {
            DepotError::NotThere { .. } => codes::IMAGE_NOT_THERE,
            // as for other arguments that do not say enough
            DepotError::Several { .. } => {
                let failure = Self::new(codes::IMAGE_NOT_THERE, chain(&error));
                return Self { exit: Exit::Usage, ..failure };
            }
            DepotError::Unreachable { .. } => codes::PLACE_UNREACHABLE,
            DepotError::Denied { .. } => codes::PLACE_DENIED,
            DepotError::Answer { .. } => codes::PLACE_ANSWER_MALFORMED,
            DepotError::Plain { .. } => codes::PLACE_PLAIN_HTTP,
            DepotError::PlainPassword { .. } => {
                let hint = "Leave --insecure out, or unset FADES_REGISTRY_PASSWORD.";
                return Self::new(codes::PLACE_PLAIN_HTTP, chain(&error)).hint(hint);
            }
            DepotError::Taken { .. } => codes::IMAGE_NAME_TAKEN,
            DepotError::Changed { .. } => codes::IMAGE_DIGEST_WRONG,
            DepotError::Another { .. } => codes::IMAGE_NOT_THE_ONE,
            DepotError::Signer(_) => codes::IMAGE_SIGNER_UNKNOWN,
            DepotError::Image(image) => return Self::new(image.code(), chain(&error)),
            DepotError::Bundle(_) => codes::IMAGE_BUNDLE_MALFORMED,
            DepotError::Io { source, .. } => {
                let exit = match source.kind() {
                    std::io::ErrorKind::NotFound => Exit::NotFound,
                    _ => Exit::Failed,
                };
                return Self { code: None, exit, message: chain(&error), hint: String::new(), task: None };
            }
        };
        Self::new(code, chain(&error))
    }
}
