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
    IMAGE_NOT_ONE = 1504, 400, "not a Fades image", "Give a file that `fades dmf build` or `fades image pack` made.",
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
        "The operator set a least version of this image for the issuer (`NAME:VERSION+` among its images), so that known faults do not come back. It holds for a build named by its digest as well.";
    IMAGE_ELF_REFUSED = 1511, 400, "program in the image cannot be loaded", "Build the image again with the project's tools.",
        "The ELF file has segments that overlap, wrap around, are misaligned or too large, or its entry lies outside.";
    IMAGE_TOO_LARGE = 1512, 413, "image too large", "Strip it, or build it with optimisation.",
        "The image is larger than the node stores.";
    IMAGE_SIGNER_UNKNOWN = 1513, 401, "image is signed by an unknown key", "The operator trusts a key by `--trust FILE.pub` of `fades image add`.",
        "Images run only under a key that the operator trusts for images.";
    IMAGE_NAME_TAKEN = 1514, 409, "image of this name and version exists with other contents", "Give the new image another version.",
        "One name and version means one image.";
    IMAGE_IN_USE = 1515, 409, "image is in use", "Wait for its tasks to end, or cancel them with `fades image rm --cancel`; let the broker run from another.",
        "Tasks under way name this image, or the broker runs from it.";
    IMAGE_NOT_THERE = 1516, 404, "no such image at that place", "Look at what the place has; name a version, a tag or a digest that is there.",
        "The folder, server or registry has no image of this name and version for this processor.";
    PLACE_UNREACHABLE = 1517, 502, "place of images cannot be reached", "Check the address, and that a server or registry runs there.",
        "No connection could be made to where images are kept, or it ended before the answer was complete.";
    PLACE_DENIED = 1518, 403, "place of images does not allow it", "Give FADES_REGISTRY_USER and FADES_REGISTRY_PASSWORD for a registry; for a server, ask who runs it to allow PUT.",
        "The server or registry refuses to serve this, or to take it, from who asks.";
    PLACE_ANSWER_MALFORMED = 1519, 502, "place of images answers otherwise than such places do", "Check that the address is that of images of Fades.",
        "What came from the folder, server or registry is not what one with images of Fades has. Nothing of it was kept.";
    PLACE_PLAIN_HTTP = 1520, 400, "plain HTTP to another machine", "Use https, or give --insecure if the network between is yours.",
        "Over plain HTTP whoever is in between sees what is fetched and by whom, and may hold new versions back. Signatures are checked in any case.";
    IMAGE_BUNDLE_MALFORMED = 1521, 400, "not a file of exported images", "Give a file that `fades image export` made.",
        "The file is no tar of images/DIGEST.img and signers/KEY_ID.json alone, or is larger than what is read. Nothing of it was kept.";
    IMAGE_NOT_THE_ONE = 1522, 400, "another image came than was asked for", "Ask who fills the place; name the image by its digest.",
        "The image is genuine, but its name, version or digest is not the one that was asked for. Nothing was kept.";
    IMAGE_SCHEMA_REFUSED = 1523, 400, "image's schema of its parameters refused", "Build the image again; a schema may refer to its own parts only, and not in a circle.",
        "The manifest holds the JSON Schema of what the function takes. It cannot be compiled, refers to another document or in a circle, or has, with what its references lead to, more than 4096 parts or 64 levels.";
}
