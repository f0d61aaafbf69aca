//! E15xx: images.

catalogue! {
    IMAGE_UNKNOWN = 1500, 404, "no such image on this node", "Add it with `fades image add`, or name one that `fades image ls` shows.",
        "The node holds no image of this digest. The digest decides, the name alone does not.";
    IMAGE_DIGEST_WRONG = 1501, 400, "image digest differs", "Fetch or build the image again.",
        "A part of the image does not hash to what the signed manifest says.";
    IMAGE_TRUNCATED = 1502, 400, "image ends too early", "Fetch the whole file.",
        "The file is shorter than its own lengths say.";
    IMAGE_TRAILING_BYTES = 1503, 400, "bytes after the image", "Fetch or build the image again.",
        "Something follows the image. It would not be covered by its signature.";
    IMAGE_NOT_ONE = 1504, 400, "not a Fades image", "Give a file that `fades image pack` made.",
        "The file does not begin as an image does.";
    IMAGE_FORMAT_VERSION = 1505, 400, "image format of another version", "Pack the image with this version's tools.",
        "The file says that it is of a format version that this program does not know.";
    IMAGE_MANIFEST_MALFORMED = 1506, 400, "image manifest is malformed", "Pack the image again.",
        "The signed manifest is not one of schema fades.image.v1.";
    IMAGE_SIGNATURE_INVALID = 1507, 401, "image signature does not hold", "Fetch the image again from who made it.",
        "The manifest's signature does not fit. Nothing of the image was used.";
    IMAGE_ARCHITECTURE_WRONG = 1508, 400, "image is for another architecture", "Use the image built for this node's processor, or have the node translate others (`backend.emulate`).",
        "The manifest names an architecture that this node does not run.";
    IMAGE_ROLE_WRONG = 1509, 400, "image has another role", "Use a function's image in `dmf.image`, and a broker's for the broker.",
        "The manifest says drb where dmf is needed, or the reverse.";
    IMAGE_BELOW_FLOOR = 1510, 403, "image is older than the floor", "Use a newer version of the image.",
        "The operator set a lowest version for this image, so that known faults do not come back.";
    IMAGE_ELF_REFUSED = 1511, 400, "program in the image cannot be loaded", "Build the image again with the project's tools.",
        "The ELF file has segments that overlap, wrap around, are misaligned or too large, or its entry lies outside.";
    IMAGE_TOO_LARGE = 1512, 413, "image too large", "Strip it, or build it with optimisation.",
        "The image is larger than the node stores.";
    IMAGE_SIGNER_UNKNOWN = 1513, 401, "image is signed by an unknown key", "Have the operator trust the key that signs images.",
        "Images run only under a key that the operator trusts for images.";
    IMAGE_NAME_TAKEN = 1514, 409, "image of this name and version exists with other contents", "Give the new image another version.",
        "One name and version means one image.";
    IMAGE_IN_USE = 1515, 409, "image is in use", "Wait for its tasks to end, or cancel them; let the broker run from another.",
        "Tasks under way name this image, or the broker runs from it.";
}
