//! Routes of the operator. They are answered on the node's local socket only.

use schemars::SchemaGenerator;

use super::{Auth, Body, Parameter, Place, Route, json};
use crate::codes;
use crate::http::{
    EpochRenewed, ImageInfo, IssuerList, IssuerUpdate, IssuerView, RefusalList, SignerDocument, SignerList,
    SourceDocument, SourceList, SourceTest,
};
use crate::task::Name;

/// Media type of an image file as a body.
pub const IMAGE_MEDIA_TYPE: &str = "application/octet-stream";

const NAME: Parameter = Parameter {
    name: "name",
    place: Place::Path,
    description: "Name of the issuer or source.",
    schema: SchemaGenerator::subschema_for::<Name>,
};
const KEY_ID: Parameter = Parameter {
    name: "key_id",
    place: Place::Path,
    description: "Key id, 64 hexadecimal digits.",
    schema: SchemaGenerator::subschema_for::<String>,
};
const DIGEST: Parameter = Parameter {
    name: "digest",
    place: Place::Path,
    description: "Digest of the image's manifest, 64 hexadecimal digits.",
    schema: SchemaGenerator::subschema_for::<String>,
};

const fn admin(
    method: &'static str,
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    success: (u16, &'static str, Option<Body>),
) -> Route {
    Route {
        method,
        path,
        operation,
        summary,
        auth: Auth::Local,
        parameters: &[],
        request: None,
        success,
        problems: &[],
    }
}

/// The table of the operator's routes.
pub const ADMIN_ROUTES: &[Route] = &[
    admin(
        "GET",
        "/v1/admin/issuers",
        "listIssuers",
        "Issuers with their keys, revoked ones included, and policies.",
        (200, "All of them.", json(SchemaGenerator::subschema_for::<IssuerList>)),
    ),
    Route {
        parameters: &[NAME],
        request: json(SchemaGenerator::subschema_for::<IssuerUpdate>),
        problems: &[
            codes::NAME_REFUSED,
            codes::JSON_SYNTAX,
            codes::POSSESSION_NOT_PROVEN,
            codes::KEY_SMALL_ORDER,
            codes::KEY_REVOKED,
            codes::ISSUER_MISMATCH,
            codes::IMAGE_REFERENCE_MALFORMED,
        ],
        ..admin(
            "PUT",
            "/v1/admin/issuers/{name}",
            "putIssuer",
            "Add an issuer, add a key to it, or replace its policy.",
            (200, "The issuer as it is now.", json(SchemaGenerator::subschema_for::<IssuerView>)),
        )
    },
    Route {
        parameters: &[NAME],
        problems: &[codes::ROUTE_NOT_FOUND],
        ..admin(
            "DELETE",
            "/v1/admin/issuers/{name}",
            "revokeIssuer",
            "Revoke all keys of an issuer, for ever.",
            (200, "The issuer as it is now.", json(SchemaGenerator::subschema_for::<IssuerView>)),
        )
    },
    Route {
        parameters: &[NAME, KEY_ID],
        problems: &[codes::ROUTE_NOT_FOUND],
        ..admin(
            "DELETE",
            "/v1/admin/issuers/{name}/keys/{key_id}",
            "revokeKey",
            "Revoke one key of an issuer, for ever.",
            (200, "The issuer as it is now.", json(SchemaGenerator::subschema_for::<IssuerView>)),
        )
    },
    admin(
        "GET",
        "/v1/admin/sources",
        "listSources",
        "Sources with where they are, without passwords.",
        (200, "All of them.", json(SchemaGenerator::subschema_for::<SourceList>)),
    ),
    Route {
        parameters: &[NAME],
        request: json(SchemaGenerator::subschema_for::<SourceDocument>),
        problems: &[codes::NAME_REFUSED, codes::JSON_SYNTAX, codes::NUMBER_OUT_OF_RANGE],
        ..admin(
            "PUT",
            "/v1/admin/sources/{name}",
            "putSource",
            "Register a source, or replace its settings.",
            (200, "The source, without its password.", json(SchemaGenerator::subschema_for::<SourceDocument>)),
        )
    },
    Route {
        parameters: &[NAME],
        problems: &[codes::SOURCE_UNKNOWN],
        ..admin(
            "DELETE",
            "/v1/admin/sources/{name}",
            "removeSource",
            "Forget a source; the broker reaches it no more.",
            (204, "Forgotten.", None),
        )
    },
    Route {
        parameters: &[NAME],
        problems: &[codes::SOURCE_UNKNOWN],
        ..admin(
            "POST",
            "/v1/admin/sources/{name}/test",
            "testSource",
            "Ask a source from the node whether it is one.",
            (200, "What it answered.", json(SchemaGenerator::subschema_for::<SourceTest>)),
        )
    },
    admin(
        "GET",
        "/v1/admin/signers",
        "listSigners",
        "Keys whose images boot here.",
        (200, "All of them.", json(SchemaGenerator::subschema_for::<SignerList>)),
    ),
    Route {
        parameters: &[KEY_ID],
        request: json(SchemaGenerator::subschema_for::<SignerDocument>),
        problems: &[codes::KEY_ID_MALFORMED, codes::KEY_SMALL_ORDER, codes::JSON_SYNTAX],
        ..admin(
            "PUT",
            "/v1/admin/signers/{key_id}",
            "putSigner",
            "Trust a key for images.",
            (200, "The key.", json(SchemaGenerator::subschema_for::<SignerDocument>)),
        )
    },
    Route {
        parameters: &[KEY_ID],
        problems: &[codes::ROUTE_NOT_FOUND],
        ..admin(
            "DELETE",
            "/v1/admin/signers/{key_id}",
            "removeSigner",
            "Trust a key for images no more; what it signed boots no more.",
            (204, "Forgotten.", None),
        )
    },
    Route {
        request: Some(Body { media_type: IMAGE_MEDIA_TYPE, schema: None }),
        problems: &[
            codes::IMAGE_TOO_LARGE,
            codes::IMAGE_NOT_ONE,
            codes::IMAGE_SIGNER_UNKNOWN,
            codes::IMAGE_SIGNATURE_INVALID,
            codes::IMAGE_DIGEST_WRONG,
            codes::IMAGE_ARCHITECTURE_WRONG,
        ],
        ..admin(
            "POST",
            "/v1/admin/images",
            "addImage",
            "Add an image file; verified now and again before it boots.",
            (201, "The image.", json(SchemaGenerator::subschema_for::<ImageInfo>)),
        )
    },
    Route {
        parameters: &[DIGEST],
        problems: &[codes::IMAGE_UNKNOWN, codes::IMAGE_IN_USE, codes::IMAGE_REFERENCE_MALFORMED],
        ..admin(
            "DELETE",
            "/v1/admin/images/{digest}",
            "removeImage",
            "Remove an image that no open task names.",
            (204, "Removed.", None),
        )
    },
    admin(
        "GET",
        "/v1/admin/refusals",
        "listRefusals",
        "The newest refusals at the door, kept at a bounded rate.",
        (200, "Newest first.", json(SchemaGenerator::subschema_for::<RefusalList>)),
    ),
    admin(
        "POST",
        "/v1/admin/epoch",
        "renewEpoch",
        "Give the node a new epoch: everything signed for the old one is refused from now on.",
        (200, "The new epoch.", json(SchemaGenerator::subschema_for::<EpochRenewed>)),
    ),
];
